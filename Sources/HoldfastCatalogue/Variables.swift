import Foundation
import GRDB
import HoldfastModel

/// One variable of a project or of an environment.
package struct StoredVariable: Sendable, Hashable {
    package var name: String
    package var value: Secret
    /// Its value is never shown again.
    package var isSensitive: Bool
    package var createdAt: Date
    package var updatedAt: Date
}

extension Catalogue {
    /// Variables of the project and the environment, the environment's own winning.
    package func variables(project: ProjectID, environment: EnvironmentID) throws -> [String: Secret] {
        let shared = try variables(of: project, environment: nil)
        let own = try variables(of: project, environment: environment)
        return Dictionary((shared + own).map { ($0.name, $0.value) }) { _, last in last }
    }

    /// The variables of one level by name; nil for the project's.
    package func variables(of project: ProjectID, environment: EnvironmentID?) throws -> [StoredVariable] {
        try read { database in
            _ = try Self.project(project, database)
            let sql = "SELECT * FROM variable WHERE project = ? AND environment IS ? ORDER BY name"
            let arguments: StatementArguments = [project.rawValue, environment?.rawValue]
            return try Row.fetchAll(database, sql: sql, arguments: arguments).map(Self.variable)
        }
    }

    /// Makes or replaces a variable.
    package func setVariable(
        _ name: String, to value: Secret, isSensitive: Bool, in project: ProjectID, environment: EnvironmentID?
    ) throws -> StoredVariable {
        guard (1...256).contains(name.utf8.count), value.reveal().utf8.count <= 64 << 10 else {
            throw HoldfastError(.invalidInput, "variable '\(name.prefix(64))' is too long, or has no name")
        }
        let now = Column.stamp(time.now())
        return try write { database in
            _ = try Self.project(project, database)
            try database.execute(
                sql: """
                    INSERT INTO variable (project, environment, name, value, is_sensitive, created_at, updated_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (project, ifnull(environment, ''), name) DO UPDATE SET value = excluded.value,
                        is_sensitive = excluded.is_sensitive, updated_at = excluded.updated_at
                    """,
                arguments: [project.rawValue, environment?.rawValue, name, value.reveal(), isSensitive, now, now])
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM variable WHERE project = ? AND environment IS ? AND name = ?",
                arguments: [project.rawValue, environment?.rawValue, name])
            guard let row else { throw HoldfastError(.internalFault, "variable '\(name)' vanished") }
            return Self.variable(row)
        }
    }

    /// - Throws: `notFound`.
    package func removeVariable(_ name: String, in project: ProjectID, environment: EnvironmentID?) throws {
        try write { database in
            try database.execute(
                sql: "DELETE FROM variable WHERE project = ? AND environment IS ? AND name = ?",
                arguments: [project.rawValue, environment?.rawValue, name])
            guard database.changesCount > 0 else {
                throw HoldfastError(.notFound, "there is no variable '\(name)' at this level")
            }
        }
    }

    private static func variable(_ row: Row) -> StoredVariable {
        StoredVariable(
            name: row["name"], value: Secret(row["value"]), isSensitive: row["is_sensitive"],
            createdAt: Column.date(row["created_at"]), updatedAt: Column.date(row["updated_at"]))
    }
}
