import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `environment:pause`
package struct EnvironmentPause: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:pause", abstract: "Stop an environment; its data stays.")

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
            operation: "pause", verb: "pause",
            question: "Pause environment \(selected.environment.value.name)?", outcome: "is paused")
        try await operation.run(on: selected.environment, in: session, confirm, wait)
    }
}
