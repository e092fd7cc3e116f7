import Foundation
import GRDB
import HoldfastModel

extension Catalogue {
    /// Records a finished backup. Called after its bytes are durable on the quorum: from here on it exists.
    ///
    /// - Throws: `conflict` if there is one with that id or snapshot, or it claims to be safe without evidence.
    package func insertBackup(_ backup: Backup) throws {
        guard backup.sites.contains(where: \.isComplete) else {
            throw HoldfastError(.conflict, "backup \(backup.id) is complete on no site")
        }
        guard !backup.safe || backup.hold?.unbroken == true else {
            throw HoldfastError(.conflict, "backup \(backup.id) claims to be safe without an unbroken hold")
        }
        try write { database in
            _ = try Self.environment(backup.environment, database)
            try Self.record(backup, database)
        }
    }

    /// Writes the row, and takes those of its slots that nobody has claimed.
    static func record(_ backup: Backup, _ database: Database) throws {
        var backup = backup
        var granted: [SlotClaim] = []
        for claim in backup.keeping.claims {
            try database.execute(
                sql:
                    "INSERT OR IGNORE INTO claim (environment, interval, slot, project, backup) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    backup.environment.rawValue, claim.interval, claim.slot, backup.project.rawValue,
                    backup.id.rawValue,
                ])
            if database.changesCount > 0 { granted.append(claim) }
        }
        backup.keeping.claims = granted
        try BackupRecord(backup).insert(database)
        try database.execute(
            sql: "UPDATE backup SET position = (SELECT max(position) + 1 FROM backup) WHERE id = ?",
            arguments: [backup.id.rawValue])
    }

    /// - Throws: `notFound`.
    package func backup(_ id: BackupID) throws -> Backup {
        try read { try Self.backup(id, $0) }
    }

    /// All backups of an environment, newest first, those being deleted included, and those that are deleted and can be
    /// brought back.
    package func backups(of environment: EnvironmentID) throws -> [Backup] {
        try read { database in
            try BackupRecord.filter(sql: "environment = ?", arguments: [environment.rawValue])
                .order(sql: "created_at DESC, id DESC").fetchAll(database).map { try $0.model() }
        }
    }

    /// All backups of a project, newest first: those of deleted environments too.
    package func backups(in project: ProjectID) throws -> [Backup] {
        try read { database in
            try BackupRecord.filter(sql: "project = ?", arguments: [project.rawValue])
                .order(sql: "created_at DESC, id DESC").fetchAll(database).map { try $0.model() }
        }
    }

    /// When the newest backup of each environment of a project was taken.
    package func lastBackups(in project: ProjectID) throws -> [EnvironmentID: Date] {
        try read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT environment, max(created_at) AS newest FROM backup
                    WHERE project = ? AND status = 'CREATED' AND deleted_at IS NULL GROUP BY environment
                    """, arguments: [project.rawValue])
            let pairs = try rows.map { (try Column.id($0["environment"]) as EnvironmentID, Column.date($0["newest"])) }
            return Dictionary(pairs) { first, _ in first }
        }
    }

    /// What is known now about the sites that hold a backup.
    package func updateSites(of id: BackupID, to sites: [SitePlacement], at date: Date) throws {
        try write { database in
            var backup = try Self.backup(id, database)
            backup.sites = sites
            backup.updatedAt = date
            try BackupRecord(backup).update(database)
        }
    }

    /// Forgets a backup whose snapshot is gone from the sites.
    ///
    /// - Throws: `conflict` if it was not marked as being deleted.
    package func removeBackup(_ id: BackupID) throws {
        try write { database in
            guard try Self.backup(id, database).status == .deleting else {
                throw HoldfastError(.conflict, "backup \(id) is not marked as being deleted")
            }
            try database.execute(sql: "DELETE FROM backup WHERE id = ?", arguments: [id.rawValue])
            try database.execute(
                sql: """
                    DELETE FROM claim WHERE backup = ? AND slot < (
                        SELECT max(newer.slot) FROM claim AS newer
                        WHERE newer.environment = claim.environment AND newer.interval = claim.interval)
                    """, arguments: [id.rawValue])
        }
    }

    static func backup(_ id: BackupID, _ database: Database) throws -> Backup {
        guard let record = try BackupRecord.fetchOne(database, key: id.rawValue) else {
            throw HoldfastError(.notFound, "there is no backup '\(id)'", hint: "List them with backup:list")
        }
        return try record.model()
    }
}
