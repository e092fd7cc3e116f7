import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `variable:list`
package struct VariableList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "variable:list", abstract: "List the variables of a project or of an environment.",
        discussion: """
            Columns: name, value, is_sensitive (shown by default), created_at, updated_at. Values are shown to admins, \
            and sensitive ones to nobody.
            """,
        aliases: ["variables", "var"])

    @OptionGroup var options: VariableOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let place = try await session.place(options)
        let found = try await session.client.variables(under: place.base).map(\.value)
        guard !found.isEmpty else { throw session.nothingFound("No variables found", table) }
        let columns = [
            Table.Column("name", "Name"), Table.Column("value", "Value"), Table.Column("is_sensitive", "Sensitive"),
            Table.Column("created_at", "Created", isDefault: false),
            Table.Column("updated_at", "Updated", isDefault: false),
        ]
        let rows = found.map { variable -> [String: Cell] in
            [
                "name": .text(variable.name), "value": variable.value.map(Cell.text) ?? .none,
                "is_sensitive": .flag(variable.isSensitive), "created_at": .date(variable.createdAt),
                "updated_at": .date(variable.updatedAt),
            ]
        }
        try session.show(Table(columns: columns, rows: rows), table, heading: "Variables of \(place.name):")
    }
}
