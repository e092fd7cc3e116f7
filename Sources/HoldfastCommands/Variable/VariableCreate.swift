import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `variable:create`
package struct VariableCreate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "variable:create", abstract: "Create a variable of a project or of an environment.",
        discussion: """
            Apps see it in PLATFORM_VARIABLES; one whose name begins with 'env:' is an environment variable. Without \
            --value the value is read from standard input, where no list of processes shows it.
            """)

    @Argument(help: "The variable's name.")
    var name: String

    @OptionGroup var value: ValueOptions

    @Flag(help: "Show its value to nobody.")
    var sensitive = false

    @OptionGroup var options: VariableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let place = try await session.place(options)
        let input = API.VariableInput(name: name, value: try value.text(in: session), isSensitive: sensitive)
        try await session.client.createVariable(input, under: place.base)
        session.say(name, "created in \(place.name)")
    }
}
