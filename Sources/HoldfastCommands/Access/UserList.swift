import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `user:list`
package struct UserList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "user:list", abstract: "List who has access to a project.",
        discussion: "Columns: email, name, permissions (shown by default), id, granted_at.", aliases: ["users"])

    @OptionGroup var selection: ProjectOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        let access = try await session.client.userAccess(of: project.value.id)
        guard !access.value.items.isEmpty else { throw session.nothingFound("No users found", table) }
        let people = try await session.client.people(of: access)
        let columns = [
            Table.Column("email", "Email address"), Table.Column("name", "Name"),
            Table.Column("permissions", "Permissions"), Table.Column("id", "ID", isDefault: false),
            Table.Column("granted_at", "Granted", isDefault: false),
        ]
        let rows = access.value.items.map { item -> [String: Cell] in
            let person = people[item.userId.rawValue]
            let name = [person?.firstName, person?.lastName].compactMap { $0 }.filter { !$0.isEmpty }
            return [
                "id": .text(item.userId.rawValue), "email": person.map { .text($0.email) } ?? .none,
                "name": .text(name.joined(separator: " ")), "permissions": .list(item.permissions),
                "granted_at": .date(item.grantedAt),
            ]
        }
        try session.show(
            Table(columns: columns, rows: rows), table, heading: "Users on the project \(session.label(project)):")
    }
}
