import Foundation
import HoldfastModel

/// The copy of a MariaDB server, in the order that makes it hold exactly what is committed:
///
/// 1. `begin`: `BACKUP STAGE START`; from here the files may be copied.
/// 2. `mark`, in the hold: the mark's row is committed, then the stages up to `BLOCK_COMMIT` close tables without
///    transactions and keep commits out; the server is frozen, what changed is copied, the server goes on.
/// 3. `BACKUP STAGE END`, also if the session is lost, because stages belong to a session.
///
/// InnoDB and Aria recover such a copy as they recover from a crash. Source: MariaDB documentation, "Storage Snapshots
/// and BACKUP STAGE Commands".
enum MariaDBBackup {
    static let schema = "holdfast"
    static let table = "\(MariaDBSession.identifier(schema)).`marks`"

    static func begin(_ instance: ServiceInstance, adapter: MariaDBAdapter) throws -> any ServiceBackupSession {
        let stages = try adapter.session(instance)
        do {
            try MariaDBPreflight.check(stages, adapter: adapter, instance: instance)
            let writer = try adapter.session(instance)
            let fence = MariaDBFence(stages: stages, writer: writer, service: instance.name, options: adapter.options)
            do {
                try fence.begin()
                let rules = FrozenBackup.Rules(
                    skips: { leavesOut($0) }, check: { try check($0, instance.name) },
                    bound: adapter.options.frozenTimeout, time: adapter.options.time, fence: fence)
                return try FrozenBackup(instance, rules: rules)
            } catch {
                fence.close()
                throw error
            }
        } catch {
            stages.close()
            throw error
        }
    }

    /// Temporary tables, the log of the backup's own stages, and files that name a process.
    static func leavesOut(_ path: String) -> Bool {
        ["ibtmp1", "ddl.log", "ib_buffer_pool.incomplete"].contains(path) || path.hasSuffix(".pid")
    }

    private static func check(_ paths: [String], _ service: String) throws {
        guard let path = paths.filter({ $0.hasSuffix(".isl") }).min() else { return }
        throw HoldfastError(
            .unsupported, "table '\(path.dropLast(4))' of service '\(service)' lies outside of the data directory",
            hint: "Make it anew without DATA DIRECTORY")
    }
}

/// The stages of a backup in a session of their own, and another one that writes: one with stages may not.
package final class MariaDBFence: BackupFence {
    private let stages: MariaDBSession
    private let writer: MariaDBSession
    private let service: String
    private let options: MariaDBAdapter.Options
    private let token: String
    /// How many seconds later than asked for the server ends a silent session; it counts in whole ones.
    private static let leaseMargin: Int64 = 2

    package init(stages: MariaDBSession, writer: MariaDBSession, service: String, options: MariaDBAdapter.Options) {
        self.stages = stages
        self.writer = writer
        self.service = service
        self.options = options
        var generator = SystemRandomNumberGenerator()
        token = BackupID.random(using: &generator).rawValue
    }

    /// - Throws: `locked` while somebody else, `mariadb-backup` say, is at it.
    package func begin() throws {
        let timeout = options.statementTimeout
        // Whole seconds, which end statements and waits for locks in the server itself.
        let bounds = max(1, options.fenceTimeout.components.seconds)
        let schema = MariaDBSession.identifier(MariaDBBackup.schema)
        try writer.query("CREATE DATABASE IF NOT EXISTS \(schema)", timeout: timeout)
        try writer.query(
            "CREATE TABLE IF NOT EXISTS \(MariaDBBackup.table) (id INT PRIMARY KEY, mark VARCHAR(64) NOT NULL) "
                + "ENGINE = InnoDB", timeout: timeout)
        try writer.query(
            "SET SESSION lock_wait_timeout = \(bounds), innodb_lock_wait_timeout = \(bounds), "
                + "max_statement_time = \(bounds)", timeout: timeout)
        try stages.query("SET SESSION lock_wait_timeout = 2", timeout: timeout)
        do {
            try stages.query("BACKUP STAGE START", timeout: timeout)
        } catch let error as HoldfastError where (error.cause as? MariaDBFailure)?.number == 1205 {
            throw HoldfastError(
                .locked, "another backup of service '\(service)' is running", hint: "Wait until it has ended",
                cause: error.cause)
        }
        try stages.query(
            "SET SESSION lock_wait_timeout = \(bounds), max_statement_time = \(bounds)", timeout: timeout)
    }

    /// - Throws: `timedOut` with the transactions and statements that were open, if it was kept waiting.
    package func raise(until end: UInt64) throws -> [String: String] {
        let own = stages.number
        do {
            return try raiseStages(until: end)
        } catch let error as HoldfastError where error.code == .timedOut {
            // First the service goes on; what it waited for is there all the same.
            lower()
            throw naming(try? blockers(besides: own, until: end), in: error)
        }
    }

    /// The session that writes has nothing to do any more, and a bound of its own in the server.
    private func blockers(besides own: UInt, until end: UInt64) throws -> [String] {
        let left = try options.time.left(of: options.blockersTimeout, until: end)
        return try MariaDBPreflight.blockers(writer, besides: own, timeout: left)
    }

    private func naming(_ blockers: [String]?, in error: HoldfastError) -> HoldfastError {
        guard let blockers, !blockers.isEmpty else { return error }
        return HoldfastError(
            .timedOut,
            "the mark of service '\(service)' was kept waiting; open then: " + blockers.joined(separator: "; "),
            hint: "End these, or sessions that have locked tables, and try again", cause: error.cause)
    }

    private func raiseStages(until end: UInt64) throws -> [String: String] {
        // The server ends a statement by itself; a server that does not is given up a little later.
        let bound = options.fenceTimeout + .seconds(1)
        func left() throws -> Duration { try options.time.left(of: bound, until: end) }
        // The lease of the stages: a session that says nothing for so long is ended by the server, and they with it.
        let whole = Deadline(at: end, time: options.time).left.components.seconds + Self.leaseMargin
        try stages.query("SET SESSION wait_timeout = \(whole)", timeout: left())
        try writer.query(
            "REPLACE INTO \(MariaDBBackup.table) VALUES (1, \(MariaDBSession.literal(token)))", timeout: left())
        for stage in ["FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
            try stages.query("BACKUP STAGE \(stage)", timeout: left())
        }
        let position = try stages.query("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_flushed'", timeout: left())
        return ["mark": token, "lsn": position.first.flatMap { $0.last ?? nil } ?? "0"]
    }

    package func lower() {
        // Whatever hinders this, the end of the session ends the stages; nothing else is done in it any more.
        do { try stages.query("BACKUP STAGE END", timeout: .seconds(1)) } catch { stages.close() }
    }

    package func close() {
        stages.close()
        writer.close()
    }
}
