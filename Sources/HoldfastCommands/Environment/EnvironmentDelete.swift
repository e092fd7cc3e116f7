import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `environment:delete`
package struct EnvironmentDelete: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:delete",
        abstract: "Delete an environment with its services and data; its backups stay.",
        discussion: """
            The branch stays in Git. `backup:list -e NAME` still lists the backups, and `backup:restore ID --target \
            OTHER` restores one into another environment. Asks first; without a terminal it needs --yes.
            """)

    @Argument(help: "The environment.")
    var environment: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, argument: environment)
        let environment = try await session.offering("delete", selected.environment, "delete")
        try confirm.ask(
            "Delete environment \(environment.value.name) with all its data? Its backups stay.", on: session.output,
            isDangerous: true)
        let started = try await session.client.delete(environment)
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Environment \(environment.value.name) is deleted; its backups stay.")
    }
}
