import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `activity:list`
package struct ActivityList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "activity:list", abstract: "List activities, newest first.",
        discussion: """
            Columns: id, created, description, progress, state, result (shown by default), completed, type, \
            environments, time_execute, time_wait.
            """,
        aliases: ["activities", "act"])

    @Option(name: [.customShort("t"), .customLong("type")], help: "Only this type, such as environment.backup.")
    var type: [String] = []

    @Option(help: ArgumentHelp("No more than so many.", valueName: "number"))
    var limit = 10

    @Option(help: ArgumentHelp("Only activities created at that time or before.", valueName: "time"))
    var start: String?

    @Flag(name: [.customShort("a"), .customLong("all")], help: "Of all environments of the project.")
    var all = false

    @OptionGroup var which: ActivityKindOptions
    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit takes 1 to 1000, not \(limit)") }
        if let start, Self.time(start) == nil {
            throw ValidationError("'\(start)' in --start is not a time; use one such as 2026-01-31T12:00:00Z")
        }
    }

    package func run(in session: Session) async throws {
        let project: Resource<API.Project>
        let base: String
        var heading: String
        if all {
            project = try await session.project(selection.project)
            base = try project.link("self")
            heading = "Activities on the project \(session.label(project)):"
        } else {
            let selected = try await session.selection(selection, usesDefault: true)
            project = selected.project
            base = try selected.environment.link("self")
            heading =
                "Activities on the project \(session.label(project)), environment "
                + "\(session.label(selected.environment)):"
        }
        let found = try await session.client.activities(under: base, filter())
        guard !found.isEmpty else {
            throw session.nothingFound("No activities found", table)
        }
        try session.show(Self.table(found), table, heading: heading)
    }

    private func filter() -> ActivityFilter {
        var filter = which.filter(types: type)
        filter.startsAt = start.flatMap(Self.time)
        filter.limit = limit
        return filter
    }

    private static func time(_ text: String) -> Date? {
        Timestamp.parse(text) ?? Timestamp.parse(text + "T00:00:00Z")
    }

    static func table(_ activities: [Resource<API.Activity>]) -> Table {
        let columns = [
            Table.Column("id", "ID"), Table.Column("created", "Created"),
            Table.Column("completed", "Completed", isDefault: false), Table.Column("description", "Description"),
            Table.Column("type", "Type", isDefault: false), Table.Column("progress", "Progress"),
            Table.Column("state", "State"), Table.Column("result", "Result"),
            Table.Column("environments", "Environment(s)", isDefault: false),
            Table.Column("time_execute", "Exec time (s)", isDefault: false),
            Table.Column("time_wait", "Wait time (s)", isDefault: false),
        ]
        return Table(columns: columns, rows: activities.map { row($0.value) })
    }

    private static func row(_ activity: API.Activity) -> [String: Cell] {
        func seconds(_ name: String) -> Cell {
            activity.timings[name].map { .value(.number($0), shown: String(format: "%.1f", $0)) } ?? .none
        }
        return [
            "id": .text(activity.id.rawValue), "created": .date(activity.createdAt),
            "completed": .date(activity.completedAt), "description": .text(activity.text),
            "type": .text(activity.type),
            "progress": .value(
                .integer(Int64(activity.completionPercent)), shown: "\(activity.completionPercent)%"),
            "state": .text(activity.state), "result": activity.result.map(Cell.text) ?? .none,
            "environments": .list(activity.environments),
            "time_execute": seconds("execute"), "time_wait": seconds("wait"),
        ]
    }
}
