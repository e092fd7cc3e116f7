import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `environment:deactivate`
package struct EnvironmentDeactivate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:deactivate",
        abstract: "Deactivate an environment: its services and data go, its backups stay.",
        discussion: "Asks first; without a terminal it needs --yes.")

    @Argument(help: "The environment.")
    var environment: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, argument: environment)
        let operation = EnvironmentOperation(
            operation: "deactivate", verb: "deactivate",
            question: "Delete all data and services of environment \(selected.environment.value.name)?",
            isDangerous: true, outcome: "is inactive")
        try await operation.run(on: selected.environment, in: session, confirm, wait)
    }
}
