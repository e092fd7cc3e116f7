import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `variable:delete`
package struct VariableDelete: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "variable:delete", abstract: "Delete a variable.",
        discussion: "Asks first; without a terminal it needs --yes.")

    @Argument(help: "The variable's name.")
    var name: String

    @OptionGroup var options: VariableOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let place = try await session.variable(name, options).place
        try confirm.ask("Delete variable \(name) of \(place.name)?", on: session.output, isDangerous: true)
        try await session.client.deleteVariable(name, under: place.base)
        session.say(name, "deleted from \(place.name)")
    }
}
