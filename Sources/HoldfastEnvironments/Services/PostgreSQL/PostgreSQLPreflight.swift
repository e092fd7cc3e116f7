import HoldfastModel

/// What can be known before a backup of a running server.
struct PostgreSQLPreflight {
    let adapter: PostgreSQLAdapter
    let instance: ServiceInstance

    private var timeout: Duration { adapter.options.statementTimeout }

    func run() throws -> ServicePreflight {
        let session = try adapter.session(instance)
        defer { session.close() }
        try Self.check(session, instance: instance, timeout: timeout)
        var result = ServicePreflight(openTransactions: try openTransactions(session))
        let failures = try session.query(
            """
            SELECT coalesce(datname, 'shared catalogues'), checksum_failures FROM pg_stat_database
            WHERE checksum_failures > 0 ORDER BY 1
            """, timeout: timeout)
        for row in failures {
            result.notices.append(
                "the server has seen \(row[1] ?? "?") pages with a wrong checksum in \(row[0] ?? "?")")
        }
        let databases = try session.query(
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1", timeout: timeout)
        for database in databases.compactMap({ $0[0] }) {
            result.notices += try unloggedTables(in: database)
        }
        return result
    }

    /// Throws what makes a physical backup impossible.
    static func check(_ session: PostgreSQLSession, instance: ServiceInstance, timeout: Duration) throws {
        let version = try PostgreSQLAdapter.version(session, timeout: timeout)
        guard version.prefix(while: { $0 != "." }) == instance.type.version else {
            throw PostgreSQLAdapter.wrongVersion(instance, found: version)
        }
        guard try session.value("SELECT pg_is_in_recovery()", timeout: timeout) == "f" else {
            throw HoldfastError(
                .conflict, "service '\(instance.name)' is still being recovered", hint: "Wait until it has started")
        }
        let level = try session.value("SELECT current_setting('wal_level')", timeout: timeout)
        guard level != "minimal" else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' runs with wal_level '\(level)'",
                hint: "Remove the setting: a physical backup needs 'replica'")
        }
        let tablespaces = try session.query(
            """
            SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace
            WHERE pg_tablespace_location(oid) <> '' ORDER BY 1
            """, timeout: timeout)
        if let row = tablespaces.first {
            throw HoldfastError(
                .unsupported,
                "tablespace '\(row[0] ?? "?")' of service '\(instance.name)' lies in '\(row[1] ?? "?")', "
                    + "outside of the service's data directory",
                hint: "Move its tables to pg_default and drop it")
        }
    }

    private func openTransactions(_ session: PostgreSQLSession) throws -> [OpenTransaction] {
        let seconds = String(Double(adapter.options.longTransaction.wholeMilliseconds) / 1000)
        let rows = try session.query(
            """
            SELECT pid, coalesce(datname, ''), coalesce(usename, ''), coalesce(application_name, ''),
                coalesce(state, ''), extract(epoch FROM clock_timestamp() - xact_start) AS age
            FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                AND clock_timestamp() - xact_start >= make_interval(secs => $1::double precision)
            UNION ALL
            SELECT 0, database, owner, gid, 'prepared', extract(epoch FROM clock_timestamp() - prepared)
            FROM pg_prepared_xacts
            ORDER BY age DESC
            """, [seconds], timeout: timeout)
        return rows.map { row in
            OpenTransaction(
                processID: row[0].flatMap { Int32($0) } ?? 0, database: row[1] ?? "", user: row[2] ?? "",
                application: row[3] ?? "", state: row[4] ?? "", ageSeconds: row[5].flatMap { Double($0) } ?? 0)
        }
    }

    private func unloggedTables(in database: String) throws -> [String] {
        let session = try adapter.session(instance, database: database)
        defer { session.close() }
        let rows = try session.query(
            "SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' ORDER BY 1 LIMIT 20",
            timeout: timeout)
        guard !rows.isEmpty else { return [] }
        let names = rows.compactMap { $0[0] }.joined(separator: ", ")
        return ["unlogged tables in \(database) will be empty after a restore: \(names)"]
    }
}
