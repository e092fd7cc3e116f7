import HoldfastModel

/// What a database needs of the machine: extensions that are installed, and libraries that order text as those did that
/// its indexes were made with.
struct PostgreSQLNeeds {
    private struct Need {
        let name: String
        let wanted: String
        /// As it is on this machine; nil for not there.
        let found: String?
    }

    private let extensions: [Need]
    private let collations: [Need]

    /// - Parameters:
    ///   - session: in the database.
    ///   - major: the server's; before 15 it does not remember the version of a database's own collation.
    init(_ session: PostgreSQLSession, major: Int, timeout: Duration) throws {
        let own = """
            UNION ALL
            SELECT 'collation', 'default', datcollversion::text, pg_database_collation_actual_version(oid)
            FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL
            """
        let rows = try session.query(
            """
            SELECT 'extension', e.extname::text, e.extversion::text, a.default_version
            FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
            UNION ALL
            SELECT 'collation', c.collname::text, c.collversion::text, pg_collation_actual_version(c.oid)
            FROM pg_collation c WHERE c.collversion IS NOT NULL
                AND EXISTS (SELECT FROM pg_index i WHERE c.oid = ANY (i.indcollation))
            \(major < 15 ? "" : own)
            """, timeout: timeout)
        func needs(_ kind: String) -> [Need] {
            rows.filter { $0[0] == kind }.map { Need(name: $0[1] ?? "?", wanted: $0[2] ?? "?", found: $0[3]) }
                .sorted { $0.name < $1.name }
        }
        extensions = needs("extension")
        collations = needs("collation")
    }

    /// What all databases need; one that cannot be asked, because it is dropped just now, is not in it.
    static func all(
        _ session: PostgreSQLSession, _ instance: ServiceInstance, adapter: PostgreSQLAdapter
    ) throws -> [String: DatabaseManifest] {
        let timeout = adapter.options.statementTimeout
        let databases = try session.query(
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate", timeout: timeout)
        var found: [String: DatabaseManifest] = [:]
        for database in databases.compactMap({ $0[0] }) {
            guard let inside = try? adapter.session(instance, database: database) else { continue }
            defer { inside.close() }
            found[database] = try? PostgreSQLNeeds(inside, major: instance.postgreSQLMajor, timeout: timeout).manifest
        }
        return found
    }

    var manifest: DatabaseManifest {
        func versions(_ needs: [Need]) -> [String: String] {
            Dictionary(needs.map { ($0.name, $0.wanted) }, uniquingKeysWith: { one, _ in one })
        }
        return DatabaseManifest(extensions: versions(extensions), collations: versions(collations))
    }

    /// Whether this machine orders text otherwise, so that indexes on text may not be what they should.
    var hasOtherOrder: Bool { collations.contains { $0.found != $0.wanted } }

    /// What this machine does not have as the database needs it, for people.
    func warnings(of database: String) -> [String] {
        let lost = extensions.filter { $0.found == nil }.map { need in
            "warning: extension \(need.name) \(need.wanted) of database \(database) is not installed here, "
                + "and what uses it fails; install its package"
        }
        let other = collations.filter { $0.found != $0.wanted }.map { need in
            let refresh =
                need.name == "default"
                ? "ALTER DATABASE … REFRESH COLLATION VERSION" : "ALTER COLLATION … REFRESH VERSION"
            return "warning: collation \(need.name) of database \(database) is of version "
                + "\(need.found ?? "unknown") here and was of \(need.wanted), so indexes on text may be wrong; "
                + "run REINDEX DATABASE in it, then \(refresh)"
        }
        return lost + other
    }
}

extension ServiceInstance {
    /// 0 if the type's version is not a number.
    var postgreSQLMajor: Int { Int(type.version.prefix { $0 != "." }) ?? 0 }
}
