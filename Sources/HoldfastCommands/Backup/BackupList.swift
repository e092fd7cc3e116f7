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

            Columns: created_at, id, restorable (shown by default), automated, commit_id, environment, expires_at, \
            index, live, status, updated_at, size, added, sites, degraded. Ends with status 1 if there are none.
            """,
        aliases: ["backups"])

    @Argument(help: "The environment.")
    var environment: String?

    @Flag(
        name: [.customShort("a"), .customLong("all"), .customLong("all-environments")],
        help: "Of all environments of the project, deleted ones too.")
    var all = false

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
            let hint = all ? nil : "`holdfast backup:list --all` lists those of deleted environments too."
            throw session.nothingFound("No backups found", hint: hint, table, pipe: pipe)
        }
        if pipe { return session.output.out(backups.map { "\($0.value.id)\n" }.joined()) }
        try session.show(
            Self.table(backups, showsEnvironment: all), table, heading: "Backups on the project \(place):")
    }

    /// The backups, and where they are from, for people.
    private func find(in session: Session) async throws -> ([Resource<API.Backup>], String) {
        let project = try await session.project(selection.project)
        let place = session.label(project)
        if all { return (try await session.client.backups(in: project), place) }
        let name =
            try session.environmentName(selection, argument: environment, project: project)
            ?? project.value.defaultBranch
        if let found = try await session.findEnvironment(name, of: project) {
            return (try await session.client.backups(of: found), "\(place), environment \(session.label(found))")
        }
        let gone = try await session.backupsOfGone(name, in: project)
        guard !gone.isEmpty else { throw Session.noEnvironment(name, in: project) }
        return (gone, "\(place), deleted environment \(name)")
    }

    static func table(_ backups: [Resource<API.Backup>], showsEnvironment: Bool) -> Table {
        let columns = [
            Table.Column("created_at", "Created"), Table.Column("id", "Backup ID"),
            Table.Column("environment", "Environment", isDefault: showsEnvironment),
            Table.Column("restorable", "Restorable"), Table.Column("automated", "Automated", isDefault: false),
            Table.Column("commit_id", "Commit ID", isDefault: false),
            Table.Column("expires_at", "Expires", isDefault: false), Table.Column("index", "Index", isDefault: false),
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
        ]
    }
}
