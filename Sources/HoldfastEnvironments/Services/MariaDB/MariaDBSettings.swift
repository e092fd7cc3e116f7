import Foundation
import HoldfastModel

/// What the `configuration` of a MariaDB service says, in Upsun's words.
package struct MariaDBSettings: Sendable, Hashable {
    /// A named way in, and what it may do in which schema.
    package struct Endpoint: Sendable, Hashable {
        package var username: String
        package var defaultSchema: String?
        /// Schema -> privilege.
        package var privileges: [String: Privilege]
    }

    package enum Privilege: String, Sendable, CaseIterable {
        case readOnly = "ro"
        case readWrite = "rw"
        case admin

        /// As `GRANT` names them.
        var granted: String {
            switch self {
            case .readOnly: "SELECT, SHOW VIEW, CREATE TEMPORARY TABLES, EXECUTE"
            case .readWrite:
                "SELECT, SHOW VIEW, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE"
            case .admin: "ALL PRIVILEGES"
            }
        }
    }

    /// The endpoint of a service that names none, its user, and its schema.
    package static let endpoint = "mysql"
    package static let user = "user"
    package static let schema = "main"

    package var schemas: [String]
    package var endpoints: [String: Endpoint]
    package var charset = "utf8mb4"
    package var collation: String?
    /// MiB.
    package var maxAllowedPacket = 16

    /// - Throws: `invalidInput` for values of a wrong form, `unsupported` for what is not offered.
    package init(_ configuration: ServiceConfiguration) throws {
        let reader = SettingsReader(configuration, known: ["schemas", "endpoints", "properties"])
        try reader.checkKeys()
        schemas = try reader.names("schemas") ?? [Self.schema]
        endpoints = [
            Self.endpoint: Endpoint(
                username: Self.user, defaultSchema: schemas.first,
                privileges: Dictionary(schemas.map { ($0, .admin) }) { first, _ in first })
        ]
        try readProperties(reader)
        guard let map = try reader.map("endpoints") else { return }
        endpoints = [:]
        for (name, value) in map { endpoints[name] = try Self.endpoint(name, value, schemas: schemas, reader) }
        guard !endpoints.isEmpty else {
            throw reader.fault("endpoints", "has no endpoint", "Name one, or leave it out")
        }
    }

    private mutating func readProperties(_ reader: SettingsReader) throws {
        for (key, value) in try reader.map("properties") ?? [:] {
            switch key {
            case "default_charset": charset = try reader.word("properties.\(key)", value)
            case "default_collation": collation = try reader.word("properties.\(key)", value)
            case "max_allowed_packet":
                guard let number = value.integer, (1...100).contains(number) else {
                    throw reader.fault("properties.\(key)", "is not a number of MiB from 1 to 100", "Write 64, say")
                }
                maxAllowedPacket = number
            default:
                throw HoldfastError(
                    .unsupported, "'configuration.properties.\(key)' of service '\(reader.service)' is not offered",
                    hint: "Use default_charset, default_collation or max_allowed_packet")
            }
        }
    }

    private static func endpoint(
        _ name: String, _ value: ConfigurationValue, schemas: [String], _ reader: SettingsReader
    ) throws -> Endpoint {
        let key = "endpoints.\(name)"
        // The name becomes the user's, which ends at 80 characters and is written into statements.
        guard SettingsReader.isName(name), name.utf8.count <= 64, !["root", "mariadb.sys", "mysql.sys"].contains(name),
            let map = value.map
        else { throw reader.fault(key, "is not an endpoint with a plain name", "Write NAME: {privileges: {…}}") }
        if let other = map.keys.sorted().first(where: { !["default_schema", "privileges"].contains($0) }) {
            throw HoldfastError(
                .unsupported, "'configuration.\(key).\(other)' of service '\(reader.service)' is not offered",
                hint: "Use default_schema and privileges")
        }
        var endpoint = Endpoint(username: name, defaultSchema: map["default_schema"]?.string, privileges: [:])
        for (schema, value) in map["privileges"]?.map ?? [:] {
            guard schemas.contains(schema), let privilege = value.string.flatMap({ Privilege(rawValue: $0) }) else {
                throw reader.fault(
                    "\(key).privileges.\(schema)", "is not a privilege in one of the service's schemas",
                    "Write ro, rw or admin for one of: \(schemas.joined(separator: ", "))")
            }
            endpoint.privileges[schema] = privilege
        }
        if let schema = endpoint.defaultSchema, endpoint.privileges[schema] == nil {
            throw reader.fault("\(key).default_schema", "is a schema without privileges", "Give it one in privileges")
        }
        return endpoint
    }
}
