import HoldfastModel

/// What can be known before a backup of a running server.
struct MariaDBPreflight {
    let adapter: MariaDBAdapter
    let instance: ServiceInstance

    private var timeout: Duration { adapter.options.statementTimeout }

    func run() throws -> ServicePreflight {
        let session = try adapter.session(instance)
        defer { session.close() }
        try Self.check(session, adapter: adapter, instance: instance)
        var result = ServicePreflight(openTransactions: try openTransactions(session))
        let tables = try session.query(
            """
            SELECT CONCAT(table_schema, '.', table_name, ' (', engine, ')') FROM information_schema.tables
            WHERE table_type = 'BASE TABLE' AND engine NOT IN ('InnoDB', 'SEQUENCE')
                AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
            ORDER BY 1 LIMIT 20
            """, timeout: timeout)
        let names = tables.compactMap { $0[0] }
        if !names.isEmpty {
            result.notices.append(
                "tables without transactions, blocked and copied in the hold: \(names.joined(separator: ", "))")
        }
        return result
    }

    /// Throws what makes a physical backup impossible.
    static func check(_ session: MariaDBSession, adapter: MariaDBAdapter, instance: ServiceInstance) throws {
        let version = try adapter.version(session)
        guard InstalledTypes.matches(wanted: instance.type.version, there: version) else {
            throw MariaDBInstallation.wrongVersion(instance, found: version)
        }
        let flush = try session.value(
            "SELECT CONCAT(@@innodb_flush_method, ' ', @@innodb_use_native_aio)",
            timeout: adapter.options.statementTimeout)
        guard ["fsync 0", "fsync OFF"].contains(flush) else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' writes by '\(flush)', not by 'fsync OFF'",
                hint: "Restart the service: Holdfast sets innodb_flush_method and innodb_use_native_aio")
        }
    }

    /// What may keep a mark waiting: transactions that are open, and statements that run, the oldest first; never their
    /// text, which may hold secrets. The server does not say who has locked tables and does nothing.
    ///
    /// - Parameters:
    ///   - session: itself left out.
    ///   - own: number of another connection to leave out.
    /// - Returns: for people, five at most.
    static func blockers(_ session: MariaDBSession, besides own: UInt, timeout: Duration) throws -> [String] {
        let rows = try session.query(
            """
            SELECT p.id, COALESCE(p.db, ''), COALESCE(p.user, ''),
                LOWER(CONCAT_WS(', ', p.command, NULLIF(p.state, ''))),
                COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.time) AS age, t.trx_id IS NOT NULL
            FROM information_schema.processlist p
            LEFT JOIN information_schema.innodb_trx t ON p.id = t.trx_mysql_thread_id
            WHERE p.id NOT IN (CONNECTION_ID(), \(own))
                AND (t.trx_id IS NOT NULL OR p.command IN ('Query', 'Execute'))
            ORDER BY COALESCE(p.state, '') = 'Waiting for backup lock', age DESC LIMIT 5
            """, timeout: timeout)
        return rows.map { row in
            let found = transaction(row)
            if row[5] == "1" { return found.description }
            return "statement of \(found.user) in \(found.database) (process \(found.processID)), "
                + "running for \(Int(found.ageSeconds)) s, \(found.state)"
        }
    }

    private func openTransactions(_ session: MariaDBSession) throws -> [OpenTransaction] {
        let rows = try session.query(
            """
            SELECT p.id, COALESCE(p.db, ''), p.user, p.command, TIMESTAMPDIFF(SECOND, t.trx_started, NOW())
            FROM information_schema.innodb_trx t
            JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
            WHERE p.id <> CONNECTION_ID()
                AND TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) >= \(adapter.options.longTransaction.components.seconds)
            ORDER BY t.trx_started LIMIT 20
            """, timeout: timeout)
        return rows.map(Self.transaction)
    }

    /// - Parameter row: number, database, user, state and seconds.
    private static func transaction(_ row: [String?]) -> OpenTransaction {
        OpenTransaction(
            processID: row[0].flatMap { Int32($0) } ?? 0, database: row[1] ?? "", user: row[2] ?? "",
            application: "", state: (row[3] ?? "").lowercased(), ageSeconds: row[4].flatMap { Double($0) } ?? 0)
    }
}
