import Foundation
import HoldfastModel

/// Proves that a restored server stands at the mark, and checks what it holds.
struct PostgreSQLVerification {
    /// Indexes are checked from the smallest on until this many bytes are read.
    private static let indexBytes = 128 << 20

    let adapter: PostgreSQLAdapter
    let instance: ServiceInstance

    private var timeout: Duration { adapter.options.recoveryTimeout }

    func run() throws -> [String] {
        try waitUntilReady()
        let session = try adapter.session(instance, settings: ["statement_timeout": "0"])
        defer { session.close() }
        let conf = try GuardedDirectory(instance.configurationDirectory)
        var lines: [String] = []
        if let mark = try pendingMark(conf) {
            lines.append(try checkMark(mark, session))
        }
        let databases = try session.query(
            "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template1' ORDER BY 1",
            timeout: timeout)
        for database in databases.compactMap({ $0[0] }) { lines += try check(database) }
        lines += try subscriptions(session)
        _ = try adapter.afterStart(instance)
        lines.append("role and password are set")
        // Once all that was recovered is in the data files, the log beside them is needed no more.
        try session.query("CHECKPOINT", timeout: timeout)
        lines += try checkPages(session)
        try conf.remove(PostgreSQLRestore.recoveryFile)
        try conf.remove(PostgreSQLRestore.markFile)
        try GuardedDirectory(instance.directory).removeAll(PostgreSQLRestore.logDirectory)
        return lines
    }

    private func waitUntilReady() throws {
        let deadline = Deadline(after: timeout, time: adapter.options.time)
        let data = try GuardedDirectory(instance.dataDirectory)
        var gone: Deadline?
        while try !adapter.isReady(instance) {
            if try data.status("postmaster.pid") != nil {
                gone = nil
            } else {
                // Gone for a moment only while it is being started.
                let limit = gone ?? Deadline(after: adapter.options.startPatience, time: adapter.options.time)
                gone = limit
                if limit.hasPassed { throw notRecovered("its server has ended") }
            }
            if deadline.hasPassed {
                throw HoldfastError(.timedOut, "service '\(instance.name)' was not recovered in time")
            }
            Thread.sleep(forTimeInterval: 0.1)
        }
    }

    private func notRecovered(_ reason: String) -> HoldfastError {
        HoldfastError(
            .damaged, "service '\(instance.name)' was not recovered to its mark: \(reason)",
            hint: "Read the service's log")
    }

    private func pendingMark(_ conf: GuardedDirectory) throws -> PostgreSQLMark? {
        guard try conf.status(PostgreSQLRestore.markFile) != nil else { return nil }
        do {
            let bytes = try conf.read(PostgreSQLRestore.markFile, limit: 65536)
            return try JSONDecoder().decode(PostgreSQLMark.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw HoldfastError(.damaged, "'\(conf.path)/\(PostgreSQLRestore.markFile)' is damaged", cause: error)
        }
    }

    /// The server writes into the history of its new timeline why the old one ended.
    private func checkMark(_ mark: PostgreSQLMark, _ session: PostgreSQLSession) throws -> String {
        let identifier = try session.value("SELECT system_identifier FROM pg_control_system()", timeout: timeout)
        guard identifier == mark.systemIdentifier else {
            throw notRecovered("the data is of cluster \(identifier), the mark of \(mark.systemIdentifier)")
        }
        let timeline = try session.value(
            "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", timeout: timeout)
        let log = try GuardedDirectory(instance.dataDirectory).directory("pg_wal")
        let text = String(decoding: try log.read(timeline + ".history", limit: 1 << 20), as: UTF8.self)
        let last = text.split(whereSeparator: \.isNewline).last { !$0.isEmpty } ?? ""
        let fields = last.split(separator: "\t", maxSplits: 2).map(String.init)
        guard fields.count == 3, fields[0] == String(mark.timeline),
            fields[2] == "at restore point \"\(mark.restorePoint)\"",
            try LogPosition(fields[1]) >= LogPosition(mark.start)
        else { throw notRecovered("its timeline \(timeline) began '\(last.prefix(120))'") }
        return "recovered to restore point \(mark.restorePoint) at \(mark.position)"
    }

    /// Connects, counts and reads indexes through amcheck, which leaves no trace: its extension is rolled back.
    ///
    /// - Throws: `damaged` for an index that is wrong, unless this machine orders text otherwise than the one that it
    ///   was made on: making the index anew helps then, and refusing the restore does not.
    private func check(_ database: String) throws -> [String] {
        let session = try adapter.session(instance, database: database, settings: ["statement_timeout": "0"])
        defer { session.close() }
        let relations = try session.value("SELECT count(*) FROM pg_class", timeout: timeout)
        let needs = try PostgreSQLNeeds(session, major: instance.postgreSQLMajor, timeout: timeout)
        let warnings = needs.warnings(of: database)
        let available = try session.value(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'", timeout: timeout)
        guard available == "1" else {
            return warnings + ["database \(database) has \(relations) relations; amcheck is not installed"]
        }
        try session.query("BEGIN", timeout: timeout)
        try session.query("CREATE SCHEMA holdfast_amcheck", timeout: timeout)
        let existing = try session.query(
            """
            SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
            WHERE extname = 'amcheck'
            """, timeout: timeout)
        let schema = existing.first?[0] ?? "holdfast_amcheck"
        if existing.isEmpty {
            try session.query("CREATE EXTENSION amcheck SCHEMA holdfast_amcheck", timeout: timeout)
        }
        try session.query("SELECT set_config('search_path', $1, true)", [schema], timeout: timeout)
        do {
            let checked = try checkIndexes(session, database: database)
            try session.query("ROLLBACK", timeout: timeout)
            return warnings + ["database \(database) has \(relations) relations; \(checked) indexes are sound"]
        } catch let error as HoldfastError where error.code == .damaged && needs.hasOtherOrder {
            return warnings + ["warning: \(error)"]
        }
    }

    private func checkIndexes(_ session: PostgreSQLSession, database: String) throws -> Int {
        do {
            return try session.query(
                """
                SELECT bt_index_check(oid) FROM (
                    SELECT c.oid, sum(pg_relation_size(c.oid)) OVER (ORDER BY pg_relation_size(c.oid), c.oid) AS bytes
                    FROM pg_catalog.pg_class c
                    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                    JOIN pg_catalog.pg_am a ON a.oid = c.relam
                    WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p'
                        AND i.indisvalid AND i.indisready
                ) AS indexes WHERE bytes <= $1::bigint
                """, [String(Self.indexBytes)], timeout: timeout
            ).count
        } catch let error as HoldfastError where error.code == .damaged || error.code == .system {
            throw HoldfastError(
                .damaged, "an index of database '\(database)' of service '\(instance.name)' is damaged", cause: error)
        }
    }

    /// Reads the files and not what the server has counted: it looks only at pages that somebody asks for.
    ///
    /// What was recovered has to be in the files already.
    private func checkPages(_ session: PostgreSQLSession) throws -> [String] {
        let data = try GuardedDirectory(instance.dataDirectory)
        guard let pages = try PostgreSQLPages(data, of: session, timeout: timeout) else {
            return ["the data has no page checksums"]
        }
        let findings = try pages.check()
        guard findings.wrongPages == 0 else {
            throw HoldfastError(
                .damaged, "service '\(instance.name)' is damaged: \(findings.description)",
                hint: "Restore an older backup")
        }
        return ["the checksums of all \(findings.pages) pages are right"]
    }

    /// A server that was started for its recovery has no workers for them, and stays as it is until it is restarted.
    private func subscriptions(_ session: PostgreSQLSession) throws -> [String] {
        let count = try session.value("SELECT count(*) FROM pg_subscription WHERE subenabled", timeout: timeout)
        return count == "0" ? [] : ["\(count) subscriptions do nothing until the service is started again"]
    }
}
