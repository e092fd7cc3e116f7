import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `environment:redeploy`
package struct EnvironmentRedeploy: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:redeploy", abstract: "Build and deploy the head of the branch again.",
        aliases: ["redeploy"])

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
            operation: "redeploy", verb: "redeploy",
            question: "Redeploy environment \(selected.environment.value.name)?", outcome: "is deployed",
            showsAddress: true)
        try await operation.run(on: selected.environment, in: session, confirm, wait)
    }
}
