import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `environment:resume`
package struct EnvironmentResume: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:resume", abstract: "Start a paused environment again.")

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
            operation: "resume", verb: "resume",
            question: "Resume environment \(selected.environment.value.name)?", outcome: "runs again",
            showsAddress: true)
        try await operation.run(on: selected.environment, in: session, confirm, wait)
    }
}
