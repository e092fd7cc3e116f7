import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `variable:get`
package struct VariableGet: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "variable:get", abstract: "Show a variable's properties.",
        discussion: "With --property value its value alone, for admins; that of a sensitive one is shown to nobody.")

    @Argument(help: "The variable's name.")
    var name: String

    @OptionGroup var property: PropertyOptions
    @Option(help: "The format: yaml or json.")
    var format: ObjectFormat = .yaml
    @OptionGroup var dates: DateOptions
    @OptionGroup var options: VariableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.variable(name, options).found
        try session.show(found.properties, property: property.property, format, dates)
    }
}
