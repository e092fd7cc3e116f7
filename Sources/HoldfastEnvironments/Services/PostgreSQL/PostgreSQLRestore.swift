import Foundation
import HoldfastModel

/// Makes restored files ready for a server that recovers to the mark and no further.
struct PostgreSQLRestore {
    static let markFile = "restore.json"
    static let recoveryFile = "recovery.conf"
    static let logDirectory = "wal"

    let adapter: PostgreSQLAdapter
    let instance: ServiceInstance

    func prepare(_ manifest: ServiceManifest) throws {
        try checkVersion(manifest)
        let mark = try PostgreSQLMark(fields: manifest.mark)
        let root = try GuardedDirectory(instance.directory)
        let data = try root.directory("data")
        let written = try PostgreSQLCluster.version(of: data, service: instance.name)
        guard written == instance.type.version else { throw PostgreSQLAdapter.wrongVersion(instance, found: written) }
        try checkLabel(data, mark: mark)
        try checkTablespaces(data)
        for name in ["postmaster.pid", "postmaster.opts", "standby.signal"] { try data.remove(name) }
        for name in PostgreSQLCopyRules.emptyDirectories.sorted() {
            _ = try data.makeDirectory(name, mode: 0o700)
        }
        try moveLog(of: data, into: root, mark: mark)
        try data.write("recovery.signal", [], mode: 0o600)
        try data.setMode(0o700)
        try data.giveAll(to: instance.user)
        try writeConfiguration(root, mark: mark)
    }

    private func checkVersion(_ manifest: ServiceManifest) throws {
        let type = try TypeReference(manifest.type)
        guard manifest.method == "physical" else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' was backed up by the method '\(manifest.method)'")
        }
        let major = String(manifest.serverVersion.prefix { $0 != "." })
        guard type.name == instance.type.name, major == instance.type.version else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' is of \(type.name) \(manifest.serverVersion), "
                    + "and '\(instance.type)' cannot read it",
                hint: "Restore it into a service of type '\(type.name):\(major)'")
        }
        // The server has to be here before anything is touched.
        _ = try PostgreSQLPrograms(instance.type)
    }

    /// Without its label a copy starts, and is silently corrupt.
    private func checkLabel(_ data: GuardedDirectory, mark: PostgreSQLMark) throws {
        guard try data.status("backup_label") != nil else {
            throw HoldfastError(.damaged, "the backup of service '\(instance.name)' has no backup_label")
        }
        let label = try BackupLabel(String(decoding: data.read("backup_label", limit: 65536), as: UTF8.self))
        guard label.segment == mark.firstSegment, label.start.description == mark.start else {
            throw HoldfastError(
                .damaged,
                "the backup of service '\(instance.name)' has a label that begins at \(label.start) "
                    + "and a mark that begins at \(mark.start)")
        }
    }

    private func checkTablespaces(_ data: GuardedDirectory) throws {
        let names = try data.directory("pg_tblspc").names()
        guard names.isEmpty else {
            throw HoldfastError(
                .unsupported, "the backup of service '\(instance.name)' has tablespaces: "
                    + names.joined(separator: ", "))
        }
    }

    /// Puts the log beside the data, from where `restore_command` fetches it.
    private func moveLog(of data: GuardedDirectory, into root: GuardedDirectory, mark: PostgreSQLMark) throws {
        let source = try data.directory("pg_wal")
        let target = try root.makeDirectory(Self.logDirectory, mode: 0o755)
        for name in try source.names() {
            guard LogSegments.isSegmentName(name) || name.hasSuffix(".history") else { continue }
            // A link or a directory in place of a log file would be moved as such: opening it refuses them.
            close(try source.openFile(name).descriptor)
            try source.move(name, to: target)
        }
        try target.giveAll(to: instance.user)
        try target.take()
        try target.sync()
        try source.sync()
        for name in [mark.firstSegment, mark.lastSegment] where try target.status(name) == nil {
            throw HoldfastError(
                .damaged, "the backup of service '\(instance.name)' lacks the log file '\(name)'")
        }
    }

    private func writeConfiguration(_ root: GuardedDirectory, mark: PostgreSQLMark) throws {
        let directory = try root.makeDirectory("conf", mode: 0o755)
        let text = PostgreSQLConfigurationFiles.recovery(
            logDirectory: instance.directory + "/" + Self.logDirectory, restorePoint: mark.restorePoint)
        try directory.write(Self.recoveryFile, Array(text.utf8), mode: 0o644)
        try directory.write(Self.markFile, Array(JSONEncoder().encode(mark)), mode: 0o644)
    }
}

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
        for database in databases.compactMap({ $0[0] }) { lines.append(try check(database)) }
        lines.append(try checksums(session))
        _ = try adapter.afterStart(instance)
        lines.append("\(instance.name): role and password are set")
        // Once all that was recovered is in the data files, the log beside them is needed no more.
        try session.query("CHECKPOINT", timeout: timeout)
        try conf.remove(PostgreSQLRestore.recoveryFile)
        try conf.remove(PostgreSQLRestore.markFile)
        try GuardedDirectory(instance.directory).removeAll(PostgreSQLRestore.logDirectory)
        return lines
    }

    private func waitUntilReady() throws {
        let deadline = Deadline(timeout, time: adapter.options.time)
        let data = try GuardedDirectory(instance.dataDirectory)
        var gone: Deadline?
        while try !adapter.isReady(instance) {
            if try data.status("postmaster.pid") != nil {
                gone = nil
            } else {
                // Gone for a moment only while it is being started.
                let limit = gone ?? Deadline(.seconds(10), time: adapter.options.time)
                gone = limit
                if limit.isOver { throw notRecovered("its server has ended") }
            }
            if deadline.isOver {
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
        return "\(instance.name): recovered to restore point \(mark.restorePoint) at \(mark.position)"
    }

    /// Connects, counts and reads indexes through amcheck, which leaves no trace: its extension is rolled back.
    private func check(_ database: String) throws -> String {
        let session = try adapter.session(instance, database: database, settings: ["statement_timeout": "0"])
        defer { session.close() }
        let relations = try session.value("SELECT count(*) FROM pg_class", timeout: timeout)
        let available = try session.value(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'", timeout: timeout)
        guard available == "1" else {
            return "\(instance.name): database \(database) has \(relations) relations; amcheck is not installed"
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
        let checked = try checkIndexes(session, database: database)
        try session.query("ROLLBACK", timeout: timeout)
        return "\(instance.name): database \(database) has \(relations) relations; \(checked) indexes are sound"
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

    private func checksums(_ session: PostgreSQLSession) throws -> String {
        guard try session.value("SELECT current_setting('data_checksums')", timeout: timeout) == "on" else {
            return "\(instance.name): the data has no page checksums"
        }
        let failures = try session.value(
            "SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database", timeout: timeout)
        guard failures == "0" else {
            throw HoldfastError(
                .damaged, "\(failures) pages of service '\(instance.name)' have a wrong checksum",
                hint: "Restore an older backup")
        }
        return "\(instance.name): page checksums are on, none was wrong"
    }
}
