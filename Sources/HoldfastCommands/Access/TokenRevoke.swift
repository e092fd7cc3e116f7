import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `token:revoke`
package struct TokenRevoke: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "token:revoke", abstract: "End an API token, at once and for good.",
        discussion: "`holdfast token:list` shows the ids. Whoever uses the token has to get another one.")

    @Argument(help: "The token's id.")
    var id: String

    @Option(help: ArgumentHelp("Whose token: an id or an address; only for operators.", valueName: "user"))
    var user: String?

    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        try await session.client.revokeToken(id, of: user)
        session.output.error("Token \(id) is revoked.")
    }
}
