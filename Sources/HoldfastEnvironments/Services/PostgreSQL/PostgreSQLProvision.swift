import HoldfastModel

/// Makes the role, the database and the extensions that a service is expected to have.
struct PostgreSQLProvision {
    let adapter: PostgreSQLAdapter
    let instance: ServiceInstance

    private var timeout: Duration { adapter.options.statementTimeout }

    func apply(_ settings: PostgreSQLSettings, password: Secret) throws {
        let session = try adapter.session(instance)
        defer { session.close() }
        try applyRole(session, password: password)
        try applyDatabase(session)
        guard !settings.extensions.isEmpty else { return }
        let inside = try adapter.session(instance, database: PostgreSQLSettings.database)
        defer { inside.close() }
        try applyExtensions(settings.extensions, in: inside)
    }

    private func applyRole(_ session: PostgreSQLSession, password: Secret) throws {
        let role = PostgreSQLSettings.role
        let exists = try session.value(
            "SELECT count(*) FROM pg_roles WHERE rolname = $1", [role], timeout: timeout)
        let verb = exists == "0" ? "CREATE" : "ALTER"
        // The verifier is made here: a password in a statement could end up in the server's log.
        let verifier = try session.verifier(for: password, of: role)
        try execute(
            session, "\(verb) ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD %L",
            [role, verifier])
    }

    private func applyDatabase(_ session: PostgreSQLSession) throws {
        let database = PostgreSQLSettings.database
        let exists = try session.value(
            "SELECT count(*) FROM pg_database WHERE datname = $1", [database], timeout: timeout)
        if exists == "0" {
            try execute(session, "CREATE DATABASE %I OWNER %I", [database, PostgreSQLSettings.role])
        }
        try execute(session, "REVOKE CONNECT ON DATABASE %I FROM PUBLIC", ["postgres"])
    }

    private func applyExtensions(_ extensions: [String], in session: PostgreSQLSession) throws {
        for name in extensions {
            let available = try session.value(
                "SELECT count(*) FROM pg_available_extensions WHERE name = $1", [name], timeout: timeout)
            guard available == "1" else {
                throw HoldfastError(
                    .unsupported, "extension '\(name)' of service '\(instance.name)' is not installed",
                    hint: "Install its package, or remove it from 'configuration.extensions'")
            }
            let quoted = try session.value("SELECT quote_ident($1)", [name], timeout: timeout)
            // Extensions go where the search path begins.
            try session.query("SELECT set_config('search_path', 'public', false)", timeout: timeout)
            defer { _ = try? session.query("SELECT set_config('search_path', 'pg_catalog', false)", timeout: timeout) }
            try session.query("CREATE EXTENSION IF NOT EXISTS \(quoted) CASCADE", timeout: timeout)
        }
    }

    /// Runs a statement that takes no parameters: the server itself puts the values in, quoted by `format`.
    private func execute(_ session: PostgreSQLSession, _ form: String, _ values: [String]) throws {
        let places = values.indices.map { "$\($0 + 2)::text" }.joined(separator: ", ")
        let statement = try session.value("SELECT format($1, \(places))", [form] + values, timeout: timeout)
        try session.query(statement, timeout: timeout)
    }
}
