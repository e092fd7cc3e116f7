import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `token:list`
package struct TokenList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "token:list", abstract: "List API tokens; the tokens themselves are never shown again.",
        discussion: "Columns: id, name, project, permissions, last_used_at (shown by default), created_at.",
        aliases: ["tokens"])

    @Option(help: ArgumentHelp("Whose tokens: an id or an address; only for operators.", valueName: "user"))
    var user: String?

    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let tokens = try await session.client.tokens(of: user).map(\.value)
        guard !tokens.isEmpty else { throw session.nothingFound("No tokens found", table) }
        let columns = [
            Table.Column("id", "ID"), Table.Column("name", "Name"), Table.Column("project", "Project"),
            Table.Column("permissions", "Permissions"), Table.Column("last_used_at", "Last used"),
            Table.Column("created_at", "Created", isDefault: false),
        ]
        let rows = tokens.map { token -> [String: Cell] in
            [
                "id": .text(token.id.rawValue), "name": .text(token.name),
                "project": token.project.map { .text($0.rawValue) } ?? .none,
                "permissions": token.permissions.map(Cell.list) ?? .none,
                "last_used_at": .date(token.lastUsedAt), "created_at": .date(token.createdAt),
            ]
        }
        let whose = user.map { "Tokens of \($0)" } ?? "Your tokens"
        try session.show(Table(columns: columns, rows: rows), table, heading: "\(whose) on \(session.server):")
    }
}
