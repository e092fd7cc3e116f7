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
            try BackupRecord(backup).insert(database)
        }
    }

    /// - Throws: `notFound`.
    package func backup(_ id: BackupID) throws -> Backup {
        try read { try Self.backup(id, $0) }
    }

    /// All backups of an environment, newest first, those being deleted included.
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
                    WHERE project = ? AND status = 'CREATED' GROUP BY environment
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

    /// From here on it can no longer be restored.
    package func markDeleting(_ id: BackupID, at date: Date) throws {
        try write { database in
            var backup = try Self.backup(id, database)
            backup.status = .deleting
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
        }
    }

    private static func backup(_ id: BackupID, _ database: Database) throws -> Backup {
        guard let record = try BackupRecord.fetchOne(database, key: id.rawValue) else {
            throw HoldfastError(.notFound, "there is no backup '\(id)'", hint: "List them with backup:list")
        }
        return try record.model()
    }
}
