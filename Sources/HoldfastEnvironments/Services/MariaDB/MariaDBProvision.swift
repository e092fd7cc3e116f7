import Foundation
import HoldfastModel

/// Makes the schemas and users that a service is expected to have.
struct MariaDBProvision {
    let adapter: MariaDBAdapter
    let instance: ServiceInstance

    /// - Returns: endpoint name -> what a relationship to it gets.
    func apply(_ settings: MariaDBSettings) throws -> [String: ServiceEndpoint.Access] {
        let session = try adapter.session(instance)
        defer { session.close() }
        let collation = settings.collation.map { " COLLATE \($0)" } ?? ""
        for schema in settings.schemas {
            try execute(
                session,
                "CREATE DATABASE IF NOT EXISTS \(MariaDBSession.identifier(schema)) "
                    + "CHARACTER SET \(settings.charset)\(collation)")
        }
        let passwords = try ServicePasswords(instance)
        var access: [String: ServiceEndpoint.Access] = [:]
        for (name, endpoint) in settings.endpoints.sorted(by: { $0.key < $1.key }) {
            let password = try passwords.password(of: endpoint.username)
            try apply(endpoint, password, session)
            access[name] = ServiceEndpoint.Access(
                username: endpoint.username, password: password, path: endpoint.defaultSchema ?? "")
        }
        // Endpoints that the configuration no longer has.
        for user in try passwords.users.subtracting(settings.endpoints.values.map(\.username)) {
            try execute(session, "DROP USER IF EXISTS \(account(user))")
            try passwords.forget(user)
        }
        return access
    }

    private func apply(
        _ endpoint: MariaDBSettings.Endpoint, _ password: Secret, _ session: MariaDBSession
    ) throws {
        let account = account(endpoint.username)
        // The general and the slow log are off, and nothing is replicated: the statement is written nowhere.
        let identity = "\(account) IDENTIFIED BY \(MariaDBSession.literal(password.reveal()))"
        try execute(session, "CREATE USER IF NOT EXISTS \(identity)")
        try execute(session, "ALTER USER \(identity)")
        try execute(session, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM \(account)")
        for (schema, privilege) in endpoint.privileges.sorted(by: { $0.key < $1.key }) {
            // In GRANT the name is a pattern.
            let pattern = schema.replacingOccurrences(of: "_", with: "\\_")
            try execute(
                session, "GRANT \(privilege.granted) ON \(MariaDBSession.identifier(pattern)).* TO \(account)")
        }
    }

    private func account(_ user: String) -> String { "\(MariaDBSession.literal(user))@'%'" }

    private func execute(_ session: MariaDBSession, _ statement: String) throws {
        try session.query(statement, timeout: adapter.options.statementTimeout)
    }
}
