import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `user:add`
package struct UserAdd: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "user:add", abstract: "Give a user access to a project.",
        discussion: """
            Makes the user if there is none with that address. Roles: admin or viewer for the whole project, or one \
            per environment type, such as -r viewer -r production:admin -r development:contributor.
            """)

    @Argument(help: "The user's e-mail address.")
    var email: String

    @Option(
        name: [.customShort("r"), .customLong("role")],
        help: ArgumentHelp("A role; may be given several times.", valueName: "role"))
    var role: [String] = []

    @Option(help: ArgumentHelp("The name to log in with, if the user is new.", valueName: "name"))
    var username: String?

    @Option(help: ArgumentHelp("The name for people, if the user is new.", valueName: "name"))
    var displayName: String?

    @OptionGroup var selection: ProjectOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        guard email.contains("@"), !email.hasPrefix("@"), !email.hasSuffix("@") else {
            throw ValidationError("'\(email)' is not an e-mail address")
        }
        guard !role.isEmpty else {
            throw ValidationError("a role is required, such as --role viewer or --role production:admin")
        }
        _ = try RoleList.permissions(role)
    }

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        let permissions = try RoleList.permissions(role)
        let input = API.UserAddInput(
            email: email, username: username, displayName: displayName, permissions: permissions.strings)
        let access = try await session.client.addUser(input, to: project.value.id)
        session.output.error(
            "User \(email) has access to the project \(session.label(project)): "
                + access.value.permissions.joined(separator: ", "))
        session.output.error("Make a token for them with: holdfast token:create cli --user \(email)")
        session.output.out("\(access.value.userId)\n")
    }
}

/// Reads the roles of `--role`.
enum RoleList {
    /// - Throws: a validation error naming the role that is none.
    static func permissions(_ roles: [String]) throws -> Permissions {
        let parts = roles.flatMap { $0.split(separator: ",") }.map { String($0).lowercased() }
        do {
            return try Permissions(strings: parts)
        } catch let error as HoldfastError {
            let hint = error.hint.map { $0.prefix(1).lowercased() + $0.dropFirst() }
            throw ValidationError([error.message, hint].compactMap { $0 }.joined(separator: "; "))
        }
    }
}
