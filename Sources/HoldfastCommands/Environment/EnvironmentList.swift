import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `environment:list`
package struct EnvironmentList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:list", abstract: "List a project's environments.",
        aliases: ["environments", "env"])

    @Flag(name: [.customShort("I"), .customLong("no-inactive")], help: "Leave out inactive environments.")
    var noInactive = false

    @Option(help: "Only environments of this status: active, inactive, dirty, paused or deleting.")
    var status: [String] = []

    @Option(help: "Only environments of this type: production, staging or development.")
    var type: [String] = []

    @Flag(help: "Print only the names.")
    var pipe = false

    @Option(help: "The property to sort by: id, title, status, type, created_at or updated_at.")
    var sort = "title"

    @Flag(help: "Sort the other way round.")
    var reverse = false

    @OptionGroup var selection: ProjectOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        for status in status where EnvironmentStatus(rawValue: status) == nil {
            throw ValidationError(Self.refusal(status, "status", EnvironmentStatus.allCases.map(\.rawValue)))
        }
        for type in type where EnvironmentType(rawValue: type) == nil {
            throw ValidationError(Self.refusal(type, "type", EnvironmentType.allCases.map(\.rawValue)))
        }
        let keys = ["id", "name", "title", "status", "type", "machine_name", "created_at", "updated_at"]
        guard keys.contains(sort) else { throw ValidationError(Self.refusal(sort, "property to sort by", keys)) }
    }

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        let all = try await session.client.environments(of: project)
        var found = all.filter { resource in
            let value = resource.value
            return (status.isEmpty || status.contains(value.status)) && (type.isEmpty || type.contains(value.type))
                && !(noInactive && value.status == "inactive")
        }
        found.sort { sortText($0) == sortText($1) ? $0.value.name < $1.value.name : sortText($0) < sortText($1) }
        if reverse { found.reverse() }
        guard !found.isEmpty else {
            let message = all.isEmpty ? "No environments found; push a branch to make one." : "No environments match."
            throw session.nothingFound(message, table, pipe: pipe)
        }
        if pipe { return session.output.out(found.map { "\($0.value.name)\n" }.joined()) }
        try session.show(
            Self.table(found), table, heading: "Environments of the project \(session.label(project)):")
    }

    private func sortText(_ environment: Resource<API.Environment>) -> String {
        environment.properties[sort]?.string ?? ""
    }

    private static func refusal(_ value: String, _ what: String, _ known: [String]) -> String {
        "'\(value)' is not a \(what); use one of \(known.joined(separator: ", "))"
    }

    static func table(_ environments: [Resource<API.Environment>]) -> Table {
        let columns = [
            Table.Column("id", "ID"), Table.Column("machine_name", "Machine name", isDefault: false),
            Table.Column("title", "Title"), Table.Column("status", "Status"), Table.Column("type", "Type"),
            Table.Column("created", "Created", isDefault: false),
            Table.Column("updated", "Updated", isDefault: false),
        ]
        let rows = environments.map { resource -> [String: Cell] in
            let value = resource.value
            return [
                "id": .text(value.id), "machine_name": .text(value.machineName), "title": .text(value.title),
                "status": .value(.string(value.status), shown: statusText(value.status)), "type": .text(value.type),
                "created": .date(value.createdAt), "updated": .date(value.updatedAt),
            ]
        }
        return Table(columns: columns, rows: rows)
    }

    /// As Upsun shows it.
    private static func statusText(_ status: String) -> String {
        status == "dirty" ? "In progress" : status.prefix(1).uppercased() + status.dropFirst()
    }
}
