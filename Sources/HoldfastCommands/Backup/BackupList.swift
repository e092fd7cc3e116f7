import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:list`
package struct BackupList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:list", abstract: "List an environment's backups, newest first.",
        discussion: """
            Backups outlive environments: with --all those of deleted environments are listed too, and -e takes the \
            name of one that is deleted.

            'Kept because' is why the policy keeps a backup: '1d #3' is the third newest of the schedule 1d. 'Expires' \
            is when newer ones will have taken its place, about; never before they are there. With --deleted those are \
            listed that can still be brought back.

            Columns: created_at, id, restorable, kept, expires_at (shown by default), automated, commit_id, \
            environment, index, live, status, updated_at, size, added, sites, degraded, protected, locked_until, \
            label, note, deleted_at, deleted_because. Ends with status 1 if there are none.
            """,
        aliases: ["backups"])

    @Argument(help: "The environment.")
    var environment: String?

    @Flag(
        name: [.customShort("a"), .customLong("all"), .customLong("all-environments")],
        help: "Of all environments of the project, deleted ones too.")
    var all = false

    @Flag(help: "Those that are deleted and can be brought back.")
    var deleted = false

    @Flag(help: "Print only the ids.")
    var pipe = false

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        if all, environment != nil || selection.environment != nil {
            throw ValidationError("--all is for all environments; leave out the environment, or --all")
        }
    }

    package func run(in session: Session) async throws {
        let (backups, place) = try await find(in: session)
        guard !backups.isEmpty else {
            if deleted { throw session.nothingFound("No deleted backups found", table, pipe: pipe) }
            let hint = all ? nil : "`holdfast backup:list --all` lists those of deleted environments too."
            throw session.nothingFound("No backups found", hint: hint, table, pipe: pipe)
        }
        if pipe { return session.output.out(backups.map { "\($0.value.id)\n" }.joined()) }
        let what = deleted ? "Deleted backups" : "Backups"
        try session.show(
            Self.table(backups, showsEnvironment: all, showsDeleted: deleted), table,
            heading: "\(what) on the project \(place):")
    }

    /// The backups, and where they are from, for people.
    private func find(in session: Session) async throws -> ([Resource<API.Backup>], String) {
        let project = try await session.project(selection.project)
        let place = session.label(project)
        if all { return (try await session.client.backups(in: project, deleted: deleted), place) }
        let name =
            try session.environmentName(selection, argument: environment, project: project)
            ?? project.value.defaultBranch
        if let found = try await session.findEnvironment(name, of: project) {
            return (
                try await session.client.backups(of: found, deleted: deleted),
                "\(place), environment \(session.label(found))"
            )
        }
        let gone = try await session.backupsOfGone(name, in: project, deleted: deleted)
        guard !gone.isEmpty || deleted else { throw Session.noEnvironment(name, in: project) }
        return (gone, "\(place), deleted environment \(name)")
    }

    static func table(
        _ backups: [Resource<API.Backup>], showsEnvironment: Bool, showsDeleted: Bool = false
    ) -> Table {
        let columns = [
            Table.Column("created_at", "Created"), Table.Column("id", "Backup ID"),
            Table.Column("environment", "Environment", isDefault: showsEnvironment),
            Table.Column("restorable", "Restorable", isDefault: !showsDeleted),
            Table.Column("kept", "Kept because", isDefault: !showsDeleted),
            Table.Column("expires_at", "Expires", isDefault: !showsDeleted),
            Table.Column("deleted_at", "Deleted", isDefault: showsDeleted),
            Table.Column("deleted_because", "Deleted because", isDefault: showsDeleted),
            Table.Column("protected", "Protected", isDefault: false),
            Table.Column("locked_until", "Locked until", isDefault: false),
            Table.Column("label", "Label", isDefault: false), Table.Column("note", "Note", isDefault: false),
            Table.Column("automated", "Automated", isDefault: false),
            Table.Column("commit_id", "Commit ID", isDefault: false),
            Table.Column("index", "Index", isDefault: false),
            Table.Column("live", "Live", isDefault: false), Table.Column("status", "Status", isDefault: false),
            Table.Column("updated_at", "Updated", isDefault: false), Table.Column("size", "Size", isDefault: false),
            Table.Column("added", "New data", isDefault: false), Table.Column("sites", "Sites", isDefault: false),
            Table.Column("degraded", "Degraded", isDefault: false),
            Table.Column("environment_deleted", "Environment deleted", isDefault: false, isHidden: true),
            Table.Column("safe", "Safe", isDefault: false, isHidden: true),
        ]
        return Table(columns: columns, rows: backups.map { row($0.value) })
    }

    private static func row(_ backup: API.Backup) -> [String: Cell] {
        let isGone = backup.environmentDeleted == true
        let sites = backup.sites.filter(\.complete).map(\.name)
        return [
            "environment": .value(
                .string(backup.environment), shown: backup.environment + (isGone ? " (deleted)" : "")),
            "environment_deleted": .flag(isGone),
            "created_at": .date(backup.createdAt), "id": .text(backup.id.rawValue),
            "restorable": .flag(backup.restorable), "automated": .flag(backup.automated),
            "commit_id": .text(backup.commitId), "expires_at": .date(backup.expiresAt),
            "index": backup.index.map { .integer(Int64($0)) } ?? .none, "live": .flag(!backup.safe),
            "status": .text(backup.status), "updated_at": .date(backup.updatedAt),
            "size": backup.sizeOfVolumes.map(Cell.integer) ?? .none,
            "added": backup.sizeUsed.map(Cell.integer) ?? .none,
            "sites": .list(sites),
            "degraded": .flag(backup.degraded), "safe": .flag(backup.safe),
            "kept": .list(backup.kept ?? []), "protected": .flag(backup.protected == true),
            "locked_until": .date(backup.lockedUntil), "deleted_at": .date(backup.deletedAt),
            "deleted_because": backup.deletedBecause.map(Cell.text) ?? .none,
            "label": backup.label.map(Cell.text) ?? .none, "note": backup.note.map(Cell.text) ?? .none,
        ]
    }
}
