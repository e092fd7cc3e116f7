import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:list`
package struct BackupList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:list", abstract: "List an environment's backups, newest first.",
        discussion: """
            Columns: created_at, id, restorable (shown by default), automated, commit_id, expires_at, index, live, \
            status, updated_at, size, added, sites, degraded. Ends with status 1 if there are none.
            """,
        aliases: ["backups"])

    @Argument(help: "The environment.")
    var environment: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, argument: environment, usesDefault: true)
        let backups = try await session.client.backups(of: selected.environment)
        guard !backups.isEmpty else {
            if table.format == .json { session.output.out("[]\n") }
            session.output.error("No backups found")
            throw CommandFailure(.failure)
        }
        let heading =
            "Backups on the project \(session.label(selected.project)), environment "
            + "\(session.label(selected.environment)):"
        try session.show(Self.table(backups), table, heading: heading)
    }

    static func table(_ backups: [Resource<API.Backup>]) -> Table {
        let columns = [
            Table.Column("created_at", "Created"), Table.Column("id", "Backup ID"),
            Table.Column("restorable", "Restorable"), Table.Column("automated", "Automated", isDefault: false),
            Table.Column("commit_id", "Commit ID", isDefault: false),
            Table.Column("expires_at", "Expires", isDefault: false), Table.Column("index", "Index", isDefault: false),
            Table.Column("live", "Live", isDefault: false), Table.Column("status", "Status", isDefault: false),
            Table.Column("updated_at", "Updated", isDefault: false), Table.Column("size", "Size", isDefault: false),
            Table.Column("added", "New data", isDefault: false), Table.Column("sites", "Sites", isDefault: false),
            Table.Column("degraded", "Degraded", isDefault: false),
            Table.Column("safe", "Safe", isDefault: false, isHidden: true),
        ]
        return Table(columns: columns, rows: backups.map { row($0.value) })
    }

    private static func row(_ backup: API.Backup) -> [String: Cell] {
        [
            "created_at": .date(backup.createdAt), "id": .text(backup.id.rawValue),
            "restorable": .flag(backup.restorable), "automated": .flag(backup.automated),
            "commit_id": .text(backup.commitId), "expires_at": .date(backup.expiresAt),
            "index": backup.index.map { .integer(Int64($0)) } ?? .none, "live": .flag(!backup.safe),
            "status": .text(backup.status), "updated_at": .date(backup.updatedAt),
            "size": backup.sizeOfVolumes.map(Cell.integer) ?? .none,
            "added": backup.sizeUsed.map(Cell.integer) ?? .none,
            "sites": .text(backup.sites.filter(\.complete).map(\.name).joined(separator: ", ")),
            "degraded": .flag(backup.degraded), "safe": .flag(backup.safe),
        ]
    }
}
