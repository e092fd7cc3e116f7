import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `token:create`
package struct TokenCreate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "token:create", abstract: "Create an API token.",
        discussion: """
            Prints the token; it is never shown again. With --role it is good for one project only, and for no more \
            than these roles, such as -r production:viewer -r staging:admin. Give it to the CLI in HOLDFAST_TOKEN.
            """)

    @Argument(help: "What it is for, for people.")
    var name: String

    @Option(help: ArgumentHelp("Whose token: an id or an address; only for operators.", valueName: "user"))
    var user: String?

    @Option(
        name: [.customShort("r"), .customLong("role")],
        help: ArgumentHelp("A role; may be given several times.", valueName: "role"))
    var role: [String] = []

    @OptionGroup var selection: ProjectOptions
    @Option(help: "The format: plain or json.")
    var format: TokenFormat = .plain
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        guard !name.isEmpty else { throw ValidationError("a token needs a name that says what it is for") }
        if !role.isEmpty { _ = try RoleList.permissions(role) }
    }

    package func run(in session: Session) async throws {
        var input = API.TokenCreateInput(name: name, user: user)
        if !role.isEmpty {
            input.permissions = try RoleList.permissions(role).strings
            input.project = try await session.project(selection).value.id
        } else if selection.project != nil {
            throw HoldfastError(
                .invalidInput, "a token for one project needs roles",
                hint: "Add --role, such as --role production:admin")
        }
        let token = try await session.client.createToken(input)
        if format == .json { return session.output.out(try PropertyRenderer.json(.object(token.properties))) }
        guard let secret = token.value.token else {
            throw HoldfastError(.internalFault, "the server made token '\(token.value.id)' and did not send it")
        }
        session.output.error("Created token \(token.value.id) '\(token.value.name)'. It is not shown again:")
        session.output.out(secret.reveal() + "\n")
    }
}

package enum TokenFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case plain
    case json
}
