import Foundation
import GRDB
import HoldfastModel

/// What keeps backups, deletes them, and brings them back.
extension Catalogue {
    /// All backups of an environment in the order in which they were recorded, deleted ones too.
    package func recordedBackups(of environment: EnvironmentID) throws -> [Backup] {
        try read { database in
            try BackupRecord.filter(sql: "environment = ?", arguments: [environment.rawValue]).order(sql: "position")
                .fetchAll(database).map { try $0.model() }
        }
    }

    /// All backups of a project in the order in which they were recorded: those of deleted environments too.
    package func recordedBackups(in project: ProjectID) throws -> [Backup] {
        try read { database in
            try BackupRecord.filter(sql: "project = ?", arguments: [project.rawValue]).order(sql: "position")
                .fetchAll(database).map { try $0.model() }
        }
    }

    /// The slots of an environment that backups claimed; at least the newest of each interval is there, also if its
    /// backup is gone.
    package func claims(of environment: EnvironmentID) throws -> [SlotClaim] {
        try read { database in
            let sql = "SELECT interval, slot FROM claim WHERE environment = ? ORDER BY interval, slot"
            return try Row.fetchAll(database, sql: sql, arguments: [environment.rawValue])
                .map { SlotClaim(interval: $0["interval"], slot: $0["slot"]) }
        }
    }

    /// Deletes a backup so that it can still be brought back. It is on record in the audit log.
    ///
    /// - Parameters:
    ///   - reason: for people.
    ///   - force: also if it is protected; one that is locked never goes.
    /// - Throws: `conflict` if it is protected, locked, or an open activity reads it; `notFound`.
    package func deleteBackup(_ id: BackupID, because reason: String, force: Bool = false, at date: Date) throws {
        try write { database in
            var backup = try Self.backup(id, database)
            guard !backup.keeping.isDeleted else { return }
            try Self.checkMayGo(backup, force: force, at: date, database)
            backup.keeping.deletedAt = date
            backup.keeping.deletedBecause = reason
            backup.updatedAt = date
            try BackupRecord(backup).update(database)
            try database.execute(
                sql: """
                    INSERT INTO audit (at, action, project, subject, result, detail)
                    VALUES (?, 'environment.backup.delete', ?, ?, 'allowed', ?)
                    """, arguments: [Column.stamp(date), backup.project.rawValue, id.rawValue, reason])
        }
    }

    /// From here on it can no longer be restored, nor brought back.
    ///
    /// - Parameter limit: only if it was deleted at that time or before, and still is; nil for also if it never was.
    /// - Throws: `conflict` if it is locked, or protected and not deleted yet, or an open activity reads it; or it was
    ///   brought back.
    package func markDeleting(
        _ id: BackupID, force: Bool = false, onlyIfDeletedBy limit: Date? = nil, at date: Date
    ) throws {
        try write { database in
            var backup = try Self.backup(id, database)
            if let limit, backup.status != .deleting, backup.keeping.deletedAt.map({ $0 <= limit }) != true {
                throw HoldfastError(.conflict, "backup \(id) was brought back")
            }
            if backup.status != .deleting {
                try Self.checkMayGo(backup, force: force || backup.keeping.isDeleted, at: date, database)
            }
            backup.status = .deleting
            backup.updatedAt = date
            try BackupRecord(backup).update(database)
        }
    }

    /// Brings a deleted backup back.
    ///
    /// - Parameter protect: the policy would delete it again at once.
    /// - Throws: `conflict` if it is not deleted, or its data are going already, or are about to: its deletion is
    ///   queued or running.
    @discardableResult
    package func undeleteBackup(_ id: BackupID, protect: Bool, at date: Date) throws -> Backup {
        try change(id, at: date) { backup, database in
            guard backup.status == .created, backup.keeping.isDeleted else {
                throw HoldfastError(
                    .conflict,
                    backup.status == .created ? "backup \(id) is not deleted" : "the data of backup \(id) are going",
                    hint: "List what can be brought back with backup:list --deleted")
            }
            let deletion = try Self.openActivity(
                with: id, "type = '\(ActivityType.backupDelete.rawValue)'", database)
            if let deletion {
                throw HoldfastError(
                    .conflict, "backup \(id) is being deleted by activity \(deletion.id)",
                    hint: "Cancel that if it is pending, with activity:cancel \(deletion.id), and try again")
            }
            backup.keeping.deletedAt = nil
            backup.keeping.deletedBecause = nil
            if protect { backup.keeping.isProtected = true }
        }
    }

    /// Protects a backup, or hands it back to the policy.
    ///
    /// - Parameter lockedUntil: nobody deletes it before; nil leaves a lock as it is.
    /// - Throws: `conflict` if it is locked and is to be unprotected, or the lock would end earlier; or it is deleted.
    @discardableResult
    package func protectBackup(
        _ id: BackupID, _ isProtected: Bool, lockedUntil: Date? = nil, at date: Date
    ) throws -> Backup {
        try change(id, at: date) { backup, _ in
            guard backup.status == .created, !backup.keeping.isDeleted else {
                throw HoldfastError(.conflict, "backup \(id) is deleted", hint: "Bring it back with backup:undelete")
            }
            let isLocked = backup.keeping.isLocked(at: date)
            if isLocked, let old = backup.keeping.lockedUntil, !isProtected || lockedUntil.map({ $0 < old }) == true {
                throw HoldfastError(
                    .conflict, "backup \(id) is locked until \(Self.text(old))",
                    hint: "Wait until then; a lock can only be made longer")
            }
            backup.keeping.isProtected = isProtected
            if let lockedUntil { backup.keeping.lockedUntil = lockedUntil }
            if !isProtected { backup.keeping.lockedUntil = nil }
        }
    }

    /// Writes on a backup: nil leaves what is there, an empty text takes it away.
    @discardableResult
    package func describeBackup(_ id: BackupID, label: String?, note: String?, at date: Date) throws -> Backup {
        try change(id, at: date) { backup, _ in
            if let label { backup.keeping.label = label.isEmpty ? nil : label }
            if let note { backup.keeping.note = note.isEmpty ? nil : note }
        }
    }

    /// Backups that were deleted at that time or before and whose data are still there, the oldest deletion first, and
    /// those whose data had begun to go; of one environment, or of all.
    package func deletedBackups(of environment: EnvironmentID?, before date: Date) throws -> [Backup] {
        try read { database in
            try BackupRecord.filter(
                sql: "(deleted_at <= ?1 OR status = 'DELETING') AND (?2 IS NULL OR environment = ?2)",
                arguments: [Column.stamp(date), environment?.rawValue]
            ).order(sql: "deleted_at, id").fetchAll(database).map { try $0.model() }
        }
    }

    /// How many automated backups of an environment have failed or were cancelled since the last one that did not and
    /// was not, and when the last of them ended; nil if the last one was good.
    package func automatedFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)? {
        try failures(
            of: environment, "type = 'environment.backup' AND json_extract(parameters, '$.automated') = 'true'")
    }

    /// As `automatedFailures`, of the activities that apply the environment's policy.
    package func retentionFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)? {
        try failures(of: environment, "type = 'environment.retention'")
    }

    private func failures(of environment: EnvironmentID, _ condition: String) throws -> (count: Int, last: Date)? {
        try read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT result, completed_at FROM activity WHERE environment = ? AND \(condition)
                    AND state IN ('complete', 'cancelled') ORDER BY sequence DESC LIMIT 32
                    """, arguments: [environment.rawValue])
            let failures = rows.prefix { ($0["result"] as String?) != "success" }
            guard let first = failures.first else { return nil }
            return (failures.count, Column.date(first["completed_at"]))
        }
    }

    /// When an environment became active last, as far as its activities say: with the first deployment or resume after
    /// it was paused or deactivated last. Nil if none of them made it so.
    package func activeSince(_ environment: EnvironmentID) throws -> Date? {
        let (begins, ends) = ([ActivityType.push, .activate, .redeploy, .resume], [ActivityType.pause, .deactivate])
        func list(_ types: [ActivityType]) -> String { types.map { "'\($0.rawValue)'" }.joined(separator: ", ") }
        return try read { database in
            try Int64.fetchOne(
                database,
                sql: """
                    SELECT min(completed_at) FROM activity WHERE environment = ?1 AND result = 'success'
                    AND type IN (\(list(begins))) AND sequence > ifnull((
                        SELECT max(sequence) FROM activity WHERE environment = ?1 AND state = 'complete'
                        AND type IN (\(list(ends)))), 0)
                    """, arguments: [environment.rawValue]
            ).map(Column.date)
        }
    }

    /// When a backup was last really restored in an environment, aside or for good; nil if none ever was. Undoing a
    /// restore proves nothing.
    package func lastDrill(of environment: EnvironmentID) throws -> Date? {
        try read { database in
            try Int64.fetchOne(
                database,
                sql: """
                    SELECT max(completed_at) FROM activity WHERE environment = ? AND state = 'complete'
                    AND result = 'success' AND type IN ('environment.backup.drill', 'environment.restore')
                    AND json_extract(parameters, '$.undo') IS NULL
                    """, arguments: [environment.rawValue]
            ).map(Column.date)
        }
    }

    /// How many backups of an environment were tried since the catalogue began, and how many of them failed.
    package func backupAttempts(of environment: EnvironmentID) throws -> (attempts: Int, failures: Int) {
        try read { database in
            let row = try Row.fetchOne(
                database,
                sql: """
                    SELECT count(*) AS attempts, ifnull(sum(result = 'failure'), 0) AS failures FROM activity
                    WHERE environment = ? AND type = 'environment.backup' AND state = 'complete'
                    """, arguments: [environment.rawValue])
            return (row?["attempts"] ?? 0, row?["failures"] ?? 0)
        }
    }

    /// Projects of which something was deleted since their last good prune, and that none was begun for lately.
    ///
    /// - Parameter pause: seconds.
    package func projectsToPrune(at now: Date, pause: TimeInterval) throws -> [ProjectID] {
        try read { database in
            let ids = try String.fetchAll(
                database,
                sql: """
                    SELECT id FROM project WHERE EXISTS (
                        SELECT 1 FROM activity WHERE activity.project = project.id AND result = 'success'
                        AND type IN ('environment.backup.delete', 'environment.retention') AND sequence > ifnull((
                            SELECT max(sequence) FROM activity AS prune WHERE prune.project = project.id
                            AND prune.type = 'project.prune' AND prune.result = 'success'), 0))
                    AND NOT EXISTS (
                        SELECT 1 FROM activity AS prune WHERE prune.project = project.id
                        AND prune.type = 'project.prune'
                        AND (prune.state IN ('pending', 'in_progress') OR prune.created_at BETWEEN ? AND ?))
                    ORDER BY id
                    """, arguments: [Column.stamp(now.addingTimeInterval(-pause)), Column.stamp(now)])
            return try ids.map { try Column.id($0) }
        }
    }

    private func change(
        _ id: BackupID, at date: Date, _ body: (inout Backup, Database) throws -> Void
    ) throws -> Backup {
        try write { database in
            var backup = try Self.backup(id, database)
            try body(&backup, database)
            backup.updatedAt = date
            try BackupRecord(backup).update(database)
            return backup
        }
    }

    private static func checkMayGo(_ backup: Backup, force: Bool, at date: Date, _ database: Database) throws {
        let id = backup.id
        try backup.keeping.checkMayGo(id, force: force, at: date)
        let reader = try openActivity(
            with: id, "type NOT IN ('environment.backup', 'environment.backup.delete', 'environment.retention')",
            database)
        if let reader {
            throw HoldfastError(
                .conflict, "backup \(id) is read by activity \(reader.id) (\(reader.type))",
                hint: "Wait until it has ended, see activity:get \(reader.id)")
        }
    }

    /// One that is pending or in progress and names a backup.
    private static func openActivity(
        with backup: BackupID, _ condition: String, _ database: Database
    ) throws -> ActivityRecord? {
        try ActivityRecord.filter(
            sql: "state IN ('pending', 'in_progress') AND json_extract(parameters, '$.backup') = ? AND \(condition)",
            arguments: [backup.rawValue]
        ).fetchOne(database)
    }

    private static func text(_ date: Date) -> String { date.formatted(.iso8601) }
}
