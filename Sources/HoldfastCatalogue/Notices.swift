import Foundation
import GRDB
import HoldfastModel

/// What was told to whom, and what is still on its way.
extension Catalogue {
    /// The newest activity of a type that ended, well or not; those that were cancelled do not count.
    ///
    /// - Parameter environment: nil for activities that are about a project as a whole.
    package func lastEnded(
        _ type: ActivityType, of environment: EnvironmentID?, in project: ProjectID
    ) throws -> Activity? {
        try read { database in
            try ActivityRecord.filter(
                sql: "state = 'complete' AND type = ? AND environment IS ? AND project = ?",
                arguments: [type.rawValue, environment?.rawValue, project.rawValue]
            ).order(sql: "sequence DESC").limit(1).fetchOne(database)?.model()
        }
    }

    /// What each channel was told that is not over yet.
    package func toldAlarms() throws -> [ToldAlarm] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT channel, key, notice FROM alarm ORDER BY channel, key").map { row in
                ToldAlarm(
                    channel: row["channel"], key: row["key"],
                    notice: try Column.value(Notice.self, json: row["notice"]))
            }
        }
    }

    /// Remembers what channels are told and puts it on its way, in one transaction: a crash tells nothing twice, and
    /// leaves nothing out.
    package func tell(_ told: [ToldAlarm], at date: Date) throws {
        guard !told.isEmpty else { return }
        try write { database in
            for alarm in told {
                let notice = try Column.json(alarm.notice)
                if alarm.notice.change == .raised {
                    try database.execute(
                        sql: "INSERT OR REPLACE INTO alarm (channel, key, notice) VALUES (?, ?, ?)",
                        arguments: [alarm.channel, alarm.key, notice])
                } else {
                    try database.execute(
                        sql: "DELETE FROM alarm WHERE channel = ? AND key = ?", arguments: [alarm.channel, alarm.key])
                }
                try database.execute(
                    sql: "INSERT INTO notice (channel, notice, attempts, next_at) VALUES (?, ?, 0, ?)",
                    arguments: [alarm.channel, notice, Column.stamp(date)])
            }
        }
    }

    /// The oldest notice of each channel that is not delivered: the others wait behind it.
    package func nextNotices() throws -> [WaitingNotice] {
        try read { database in
            let sql = """
                SELECT * FROM notice WHERE sequence IN (SELECT min(sequence) FROM notice GROUP BY channel)
                ORDER BY sequence
                """
            return try Row.fetchAll(database, sql: sql).map { row in
                WaitingNotice(
                    sequence: row["sequence"], channel: row["channel"],
                    notice: try Column.value(Notice.self, json: row["notice"]), attempts: row["attempts"],
                    nextAt: Column.date(row["next_at"]), problem: row["problem"])
            }
        }
    }

    /// How many notices wait, by channel.
    package func waitingNotices() throws -> [String: Int] {
        try read { database in
            let rows = try Row.fetchAll(
                database, sql: "SELECT channel, count(*) AS waiting FROM notice GROUP BY channel")
            return Dictionary(rows.map { ($0["channel"], $0["waiting"]) }) { first, _ in first }
        }
    }

    /// It arrived, or is given up: it does not wait any more.
    package func removeNotice(_ sequence: Int64) throws {
        try write { try $0.execute(sql: "DELETE FROM notice WHERE sequence = ?", arguments: [sequence]) }
    }

    /// It did not arrive, and is tried again.
    package func postponeNotice(_ sequence: Int64, until date: Date, because problem: String) throws {
        try write { database in
            try database.execute(
                sql: "UPDATE notice SET attempts = attempts + 1, next_at = ?, problem = ? WHERE sequence = ?",
                arguments: [Column.stamp(date), problem, sequence])
        }
    }

    /// Forgets what was told to channels that are not there any more, and what is on its way to them.
    package func forgetChannels(except names: [String]) throws {
        try write { database in
            let known = try Column.json(names)
            for table in ["alarm", "notice"] {
                try database.execute(
                    sql: "DELETE FROM \(table) WHERE channel NOT IN (SELECT value FROM json_each(?))",
                    arguments: [known])
            }
        }
    }
}
