import Foundation
import GRDB
import HoldfastModel

/// Which activities one wants; what is empty or nil does not restrict.
package struct ActivityFilter: Sendable, Hashable {
    package var environment: EnvironmentID?
    package var types: [String] = []
    package var states: [String] = []
    package var results: [String] = []
    /// Created at that time or before.
    package var startsAt: Date?
    package var limit: Int

    package init(limit: Int) { self.limit = limit }
}

/// An activity with what its view needs: the names may be of things that are gone.
package struct ActivityDetails: Sendable, Hashable {
    package var activity: Activity
    package var environmentName: String?
    /// Nil for Holdfast itself, and for people who are gone.
    package var user: User?
}

extension Catalogue {
    /// Queues an activity.
    ///
    /// - Throws: `conflict` if it is a backup or a restore and the environment is not active, or is dirty; checked in
    ///   the same transaction, so that of two requests at once only one gets in.
    package func createActivity(_ activity: Activity) throws {
        try write { database in
            let environment = try activity.environment.map { try Self.activityTarget($0, of: activity, database) }
            if [.backup, .restore, .drill].contains(activity.type), let environment = environment.flatMap(\.self) {
                try Self.checkIsActiveAndClean(environment, database)
            }
            if activity.type == .restore || activity.type == .drill,
                let id = activity.parameters["backup"].flatMap({ BackupID($0) })
            {
                try Self.checkIsThere(id, database)
            }
            let name = environment.map { $0?.name ?? activity.parameters["environment"] ?? "(deleted)" }
            try ActivityRecord(activity, environmentName: name).insert(database)
        }
        feed.changed(activity.id)
    }

    /// The types that build, as a list for SQL.
    private static var builds: String {
        ActivityType.allCases.filter(\.builds).map { "'\($0.rawValue)'" }.joined(separator: ", ")
    }

    /// Those that a prune of their project excludes, as a list for SQL.
    private static var repositoryUsers: String {
        ActivityType.allCases.filter(\.usesRepository).map { "'\($0.rawValue)'" }.joined(separator: ", ")
    }

    /// The oldest pending activity of the queue whose environment has none running, production first; it is moved to
    /// `in_progress`. A prune runs only while nothing else uses its project's repository, and after the restores that
    /// wait; one that has waited for an hour is overtaken by nothing else that would use it. Builds have bounds of
    /// their own, in a project and in all. Nil if there is nothing to do.
    package func claimActivity(in queue: ActivityQueueName, at date: Date) throws -> Activity? {
        // Workers ask every second: nothing is locked for those who find nothing.
        let isAnyPending = try read { database in
            try Bool.fetchOne(
                database, sql: "SELECT EXISTS (SELECT 1 FROM activity WHERE state = 'pending' AND queue = ?)",
                arguments: [queue.rawValue])
        }
        guard isAnyPending == true else { return nil }
        let claimed: Activity? = try write { database in
            let record = try ActivityRecord.fetchOne(
                database,
                sql: """
                    SELECT activity.* FROM activity LEFT JOIN environment ON environment.id = activity.environment
                    WHERE activity.state = 'pending' AND activity.queue = ? AND NOT EXISTS (
                        SELECT 1 FROM activity AS other
                        WHERE other.environment = activity.environment AND other.state = 'in_progress')
                    AND NOT EXISTS (
                        SELECT 1 FROM activity AS other
                        WHERE other.project = activity.project AND other.state = 'in_progress'
                        AND activity.type IN (\(Self.repositoryUsers))
                        AND other.type IN (\(Self.repositoryUsers))
                        AND 'project.prune' IN (activity.type, other.type))
                    AND NOT EXISTS (
                        SELECT 1 FROM activity AS other
                        WHERE other.project = activity.project AND other.state = 'pending' AND CASE activity.type
                            WHEN 'project.prune' THEN other.type = 'environment.restore'
                            WHEN 'environment.restore' THEN 0
                            ELSE activity.type IN (\(Self.repositoryUsers)) AND other.type = 'project.prune'
                                AND other.sequence < activity.sequence AND other.created_at <= ?
                            END)
                    AND (activity.type NOT IN (\(Self.builds)) OR (
                        (SELECT count(*) FROM activity AS other WHERE other.state = 'in_progress'
                            AND other.type IN (\(Self.builds))) < \(ActivityQueueName.builds)
                        AND (SELECT count(*) FROM activity AS other WHERE other.state = 'in_progress'
                            AND other.type IN (\(Self.builds)) AND other.project = activity.project)
                            < \(ActivityQueueName.default.projectLimit)))
                    ORDER BY ifnull(environment.type = 'production', 0) DESC, activity.sequence LIMIT 1
                    """, arguments: [queue.rawValue, Column.stamp(date.addingTimeInterval(-3600))])
            guard let record else { return nil }
            var activity = try record.model()
            activity.state = .inProgress
            activity.startedAt = date
            activity.updatedAt = date
            try Self.store(activity, database)
            return activity
        }
        if let claimed { feed.changed(claimed.id) }
        return claimed
    }

    /// Everything that is pending or in progress, oldest first. After a restart, those in progress are what an
    /// earlier process left behind.
    package func openActivities() throws -> [Activity] {
        try read { database in
            try ActivityRecord.filter(sql: "state IN ('pending', 'in_progress')").order(sql: "sequence")
                .fetchAll(database).map { try $0.model() }
        }
    }

    /// - Throws: `notFound`.
    package func activity(_ id: ActivityID) throws -> Activity {
        try read { try Self.activity(id, $0) }
    }

    /// - Throws: `notFound`, also if it is of another project.
    package func activityDetails(_ id: ActivityID, in project: ProjectID) throws -> ActivityDetails {
        try read { database in
            let found = try Self.details(
                database, where: "activity.id = ? AND activity.project = ?", [id.rawValue, project.rawValue], limit: 1)
            guard let first = found.first else {
                throw HoldfastError(.notFound, "project \(project) has no activity '\(id)'")
            }
            return first
        }
    }

    /// Newest first.
    package func activities(in project: ProjectID, _ filter: ActivityFilter) throws -> [ActivityDetails] {
        var conditions = ["activity.project = ?"]
        var arguments: [any DatabaseValueConvertible] = [project.rawValue]
        if let environment = filter.environment {
            conditions.append("activity.environment = ?")
            arguments.append(environment.rawValue)
        }
        for (column, values) in [("type", filter.types), ("state", filter.states), ("result", filter.results)]
        where !values.isEmpty {
            conditions.append("activity.\(column) IN (\(values.map { _ in "?" }.joined(separator: ", ")))")
            arguments += values
        }
        if let startsAt = filter.startsAt {
            conditions.append("activity.created_at <= ?")
            arguments.append(Column.stamp(startsAt))
        }
        let condition = conditions.joined(separator: " AND ")
        return try read { try Self.details($0, where: condition, StatementArguments(arguments), limit: filter.limit) }
    }

    /// Environments of a project with an open activity that changes deployment or data.
    package func dirtyEnvironments(in project: ProjectID) throws -> Set<EnvironmentID> {
        try read { database in
            let sql = """
                SELECT DISTINCT environment FROM activity WHERE project = ? AND makes_dirty
                AND state IN ('pending', 'in_progress') AND environment IS NOT NULL
                """
            return Set(try String.fetchAll(database, sql: sql, arguments: [project.rawValue]).map { try Column.id($0) })
        }
    }

    /// The activity that makes an environment dirty; nil if it is clean.
    package func dirtyingActivity(of environment: EnvironmentID) throws -> Activity? {
        try read { try Self.dirtyingActivity(of: environment, $0) }
    }

    /// 0 to 99; it never goes back. Failures are reported, not thrown.
    package func setProgress(_ id: ActivityID, percent: Int, at date: Date) {
        writeLightly { database in
            try database.execute(
                sql: """
                    UPDATE activity SET completion_percent = max(completion_percent, ?), updated_at = ?
                    WHERE id = ? AND state = 'in_progress'
                    """, arguments: [min(max(percent, 0), 99), Column.stamp(date), id.rawValue])
        }
        feed.changed(id)
    }

    /// Ends a running activity.
    ///
    /// - Throws: `conflict` if it is not in progress.
    package func finishActivity(
        _ id: ActivityID, result: ActivityResult, failure: String?, at date: Date
    ) throws {
        try write { database in
            var activity = try Self.activity(id, database)
            guard activity.state == .inProgress else {
                throw HoldfastError(.conflict, "activity \(id) is \(activity.state.rawValue) and cannot be finished")
            }
            activity.state = .complete
            activity.result = result
            activity.failure = result == .failure ? failure ?? "no reason was given" : nil
            activity.completionPercent = 100
            activity.completedAt = date
            activity.updatedAt = date
            try Self.store(activity, database)
        }
        feed.changed(id)
    }

    /// Puts an activity that was in progress when the control plane stopped back among those that wait.
    ///
    /// - Throws: `conflict` if it is not in progress.
    package func requeueActivity(_ id: ActivityID, at date: Date) throws {
        try write { database in
            var activity = try Self.activity(id, database)
            guard activity.state == .inProgress else {
                throw HoldfastError(
                    .conflict, "activity \(id) is \(activity.state.rawValue) and cannot be queued again")
            }
            activity.state = .pending
            activity.startedAt = nil
            activity.updatedAt = date
            try Self.store(activity, database)
        }
        feed.changed(id)
    }

    /// - Throws: `conflict` if it has begun already.
    package func cancelActivity(_ id: ActivityID, at date: Date) throws {
        try write { database in
            var activity = try Self.activity(id, database)
            guard activity.state == .pending else {
                throw HoldfastError(.conflict, "activity \(id) is \(activity.state.rawValue) and cannot be cancelled")
            }
            activity.state = .cancelled
            activity.completedAt = date
            activity.updatedAt = date
            try Self.store(activity, database)
        }
        feed.changed(id)
    }

    /// Appends one line to an activity's log; a line longer than 16 KiB is cut. Failures are reported, not thrown.
    package func appendLog(_ activity: ActivityID, _ message: String, at date: Date) {
        let limit = 16 << 10
        let isShort = message.utf8.count <= limit
        let line = isShort ? message : String(decoding: message.utf8.prefix(limit), as: UTF8.self) + "…\n"
        writeLightly { database in
            try database.execute(
                sql: """
                    INSERT INTO activity_log (activity, sequence, at, message)
                    SELECT ?, ifnull(max(sequence), 0) + 1, ?, ? FROM activity_log WHERE activity = ?
                    """, arguments: [activity.rawValue, Column.stamp(date), line, activity.rawValue])
        }
        feed.changed(activity)
    }

    /// The lines after `sequence`, at most `limit` of them.
    package func log(
        of activity: ActivityID, after sequence: Int = 0, limit: Int = 1000
    ) throws -> [ActivityLogLine] {
        try read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT sequence, at, message FROM activity_log WHERE activity = ? AND sequence > ?
                    ORDER BY sequence LIMIT ?
                    """, arguments: [activity.rawValue, sequence, limit]
            ).map { ActivityLogLine(sequence: $0["sequence"], at: Column.date($0["at"]), message: $0["message"]) }
        }
    }

    private static func activity(_ id: ActivityID, _ database: Database) throws -> Activity {
        let record = try ActivityRecord.filter(sql: "id = ?", arguments: [id.rawValue]).fetchOne(database)
        guard let record else { throw HoldfastError(.notFound, "there is no activity '\(id)'") }
        return try record.model()
    }

    /// Writes what changes in an activity's life.
    private static func store(_ activity: Activity, _ database: Database) throws {
        try database.execute(
            sql: """
                UPDATE activity SET state = ?, result = ?, failure = ?, completion_percent = ?, updated_at = ?,
                    started_at = ?, completed_at = ? WHERE id = ?
                """,
            arguments: [
                activity.state.rawValue, activity.result?.rawValue, activity.failure, activity.completionPercent,
                Column.stamp(activity.updatedAt), activity.startedAt.map(Column.stamp),
                activity.completedAt.map(Column.stamp), activity.id.rawValue,
            ])
    }

    /// A deletion and a restore exclude each other: whoever comes first, in whichever environment.
    private static func checkIsThere(_ id: BackupID, _ database: Database) throws {
        let backup = try backup(id, database)
        guard backup.status == .created, !backup.keeping.isDeleted else {
            throw HoldfastError(
                .conflict, "backup \(id) is deleted and cannot be restored",
                hint: "Bring it back with backup:undelete, if its grace is not over")
        }
    }

    /// Nil for the deletion of a backup whose environment is gone: backups outlive environments.
    private static func activityTarget(
        _ id: EnvironmentID, of activity: Activity, _ database: Database
    ) throws -> Environment? {
        if activity.type == .backupDelete || activity.type == .retention,
            try EnvironmentRecord.fetchOne(database, key: id.rawValue) == nil
        {
            return nil
        }
        return try environment(id, database)
    }

    private static func dirtyingActivity(of environment: EnvironmentID, _ database: Database) throws -> Activity? {
        try ActivityRecord.filter(
            sql: "environment = ? AND makes_dirty AND state IN ('pending', 'in_progress')",
            arguments: [environment.rawValue]
        ).order(sql: "sequence").fetchOne(database)?.model()
    }

    private static func checkIsActiveAndClean(_ environment: Environment, _ database: Database) throws {
        guard environment.status == .active else {
            throw HoldfastError(
                .conflict, "environment \(environment.name) is \(environment.status.rawValue), not active",
                hint: environment.status.wayToActive)
        }
        if let other = try dirtyingActivity(of: environment.id, database) {
            throw HoldfastError(
                .conflict,
                "environment \(environment.name) is dirty: activity \(other.id) (\(other.type.rawValue)) is open",
                hint: "Wait until it has ended, see activity:get \(other.id)")
        }
    }

    private static func details(
        _ database: Database, where condition: String, _ arguments: StatementArguments, limit: Int
    ) throws -> [ActivityDetails] {
        let records = try ActivityRecord.fetchAll(
            database,
            sql: "SELECT * FROM activity WHERE \(condition) ORDER BY created_at DESC, sequence DESC LIMIT \(limit)",
            arguments: arguments)
        let people = try UserRecord.fetchAll(database, keys: Set(records.compactMap(\.user)))
        let byID = Dictionary(people.map { ($0.id, $0) }) { first, _ in first }
        return try records.map { record in
            ActivityDetails(
                activity: try record.model(), environmentName: record.environmentName,
                user: try record.user.flatMap { try byID[$0]?.model() })
        }
    }
}
