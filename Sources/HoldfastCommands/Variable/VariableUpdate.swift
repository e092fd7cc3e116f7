import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `variable:update`
package struct VariableUpdate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "variable:update", abstract: "Give a variable another value.",
        discussion: "Without --value the value is read from standard input, where no list of processes shows it.")

    @Argument(help: "The variable's name.")
    var name: String

    @OptionGroup var value: ValueOptions
    @OptionGroup var options: VariableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let place = try await session.variable(name, options).place
        let input = API.VariableInput(value: try value.text(in: session))
        try await session.client.updateVariable(name, input, under: place.base)
        session.say(name, "updated in \(place.name)")
    }
}
