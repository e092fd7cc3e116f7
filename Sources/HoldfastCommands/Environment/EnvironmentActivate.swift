import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `environment:activate`
package struct EnvironmentActivate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:activate", abstract: "Activate an environment: build, start and serve it.")

    @Argument(help: "The environment.")
    var environment: String?

    @Option(help: ArgumentHelp("Resources of its services: parent, default or minimum.", valueName: "strategy"))
    var resourcesInit: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        let known = ["parent", "default", "minimum"]
        if let resourcesInit, !known.contains(resourcesInit) {
            throw ValidationError("'\(resourcesInit)' is no such strategy; use one of \(known.joined(separator: ", "))")
        }
    }

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, argument: environment)
        let value = selected.environment.value
        if value.status == "active", !value.isDirty {
            session.output.error("Environment \(value.name) is active already.")
            return
        }
        var operation = EnvironmentOperation(
            operation: "activate", verb: "activate", question: "Activate environment \(value.name)?",
            outcome: "is active", showsAddress: true)
        operation.body = resourcesInit.map { API.ResourcesInput(resources: .init($0)) }
        try await operation.run(on: selected.environment, in: session, confirm, wait)
    }
}
