import Foundation
import GRDB
import HoldfastModel

/// An environment that was deleted.
package struct GoneEnvironment: Sendable, Hashable {
    package var id: EnvironmentID
    package var project: ProjectID
    package var name: String
    package var type: EnvironmentType
}

/// Projects, environments, and what belongs to them alone.
extension Catalogue {
    /// - Throws: `conflict` if there is one with that id.
    package func createProject(_ project: Project) throws {
        try write { database in
            guard try ProjectRecord.fetchOne(database, key: project.id.rawValue) == nil else {
                throw HoldfastError(.conflict, "there is a project \(project.id) already")
            }
            try ProjectRecord(project).insert(database)
        }
    }

    /// - Throws: `notFound`.
    package func project(_ id: ProjectID) throws -> Project {
        try read { try Self.project(id, $0) }
    }

    /// All projects, oldest first.
    package func projects() throws -> [Project] {
        try read { try ProjectRecord.order(sql: "created_at, id").fetchAll($0).map { try $0.model() } }
    }

    /// Changes what is set of a project's backup policy, in one transaction.
    ///
    /// - Parameter change: gets what is set now, nil if nothing is; what it throws is thrown, and nothing is changed.
    package func updateRetention(
        of id: ProjectID, _ change: (RetentionSettings?) throws -> RetentionSettings?
    ) throws {
        try write { database in
            var project = try Self.project(id, database)
            project.retention = try change(project.retention)
            project.updatedAt = time.now()
            try ProjectRecord(project).update(database)
        }
    }

    /// Stores everything but what is set of the backup policy, which `updateRetention` changes.
    package func update(_ project: Project) throws {
        try write { database in
            var project = project
            project.retention = try Self.project(project.id, database).retention
            try ProjectRecord(project).update(database)
        }
    }

    /// Removes a project that never came to be: it must have no backups.
    package func removeProject(_ id: ProjectID) throws {
        try write { database in
            _ = try Self.project(id, database)
            try database.execute(sql: "DELETE FROM project WHERE id = ?", arguments: [id.rawValue])
        }
    }

    /// Removes a project with all that is known of it.
    ///
    /// - Parameter withProduction: its production environment may be active.
    /// - Throws: `conflict` that names what stands in the way: environments that are not inactive, open activities,
    ///   backups.
    package func deleteProject(_ id: ProjectID, withProduction: Bool) throws {
        try write { database in
            let project = try Self.project(id, database)
            try Self.checkIsUnused(project, withProduction: withProduction, database)
            try database.execute(sql: "DELETE FROM project WHERE id = ?", arguments: [id.rawValue])
        }
    }

    /// Throws what `deleteProject` would throw.
    package func checkProjectIsUnused(_ id: ProjectID, withProduction: Bool) throws {
        try read { try Self.checkIsUnused(Self.project(id, $0), withProduction: withProduction, $0) }
    }

    private static func checkIsUnused(_ project: Project, withProduction: Bool, _ database: Database) throws {
        let id = project.id
        let used = try EnvironmentRecord.filter(
            sql: "project = ? AND status <> 'inactive'", arguments: [id.rawValue]
        ).order(sql: "name").fetchAll(database)
        let others = used.filter { $0.type != EnvironmentType.production.rawValue }
        if let first = others.first {
            throw HoldfastError(
                .conflict, "environment '\(first.name)' of project \(id) is \(first.status), not inactive",
                hint: "Delete it first, with environment:delete -e \(first.name)")
        }
        if let production = used.first, !withProduction {
            throw HoldfastError(
                .conflict, "production environment '\(production.name)' of project \(id) is \(production.status)",
                hint: "Add --with-production if it is to go too, with all its data")
        }
        let backups = try Int.fetchOne(
            database, sql: "SELECT count(*) FROM backup WHERE project = ?", arguments: [id.rawValue])
        if let backups, backups > 0 {
            throw HoldfastError(
                .conflict, "project \(id) has \(backups) backup\(backups == 1 ? "" : "s"), and would take them with it",
                hint: "Delete them first, with backup:delete --now; backup:list --all --deleted shows them")
        }
        let open = try ActivityRecord.filter(
            sql: "project = ? AND state IN ('pending', 'in_progress')", arguments: [id.rawValue]
        ).order(sql: "sequence").fetchOne(database)
        if let open {
            throw HoldfastError(
                .conflict, "activity \(open.id) (\(open.type)) of project \(id) is open",
                hint: "Wait until it has ended, see activity:get \(open.id)")
        }
    }

    /// - Throws: `notFound`.
    package func environment(_ id: EnvironmentID) throws -> Environment {
        try read { try Self.environment(id, $0) }
    }

    /// The environment of that name, which is its branch.
    ///
    /// - Throws: `notFound`.
    package func environment(named name: String, in project: ProjectID) throws -> Environment {
        let record = try read {
            try EnvironmentRecord.filter(sql: "project = ? AND name = ?", arguments: [project.rawValue, name])
                .fetchOne($0)
        }
        guard let record else {
            throw HoldfastError(
                .notFound, "project \(project) has no environment '\(name)'",
                hint: "List them with environment:list, or push the branch \(name)")
        }
        return try record.model()
    }

    /// All environments of a project by name.
    package func environments(in project: ProjectID) throws -> [Environment] {
        try read { database in
            try EnvironmentRecord.filter(sql: "project = ?", arguments: [project.rawValue]).order(sql: "name")
                .fetchAll(database).map { try $0.model() }
        }
    }

    package func allEnvironments() throws -> [Environment] {
        try read { try EnvironmentRecord.order(sql: "project, name").fetchAll($0).map { try $0.model() } }
    }

    /// - Throws: `conflict` if the project has one of that name, or a second production environment would be made.
    package func createEnvironment(_ environment: Environment) throws {
        try write { database in
            _ = try Self.project(environment.project, database)
            try Self.checkStorable(environment, database)
            try EnvironmentRecord(environment).insert(database)
        }
    }

    /// Stores everything but what never changes (id, project, name).
    package func update(_ environment: Environment) throws {
        try write { database in
            let stored = try Self.environment(environment.id, database)
            guard stored.name == environment.name, stored.project == environment.project else {
                throw HoldfastError(.conflict, "environment \(stored.name) cannot change its name or project")
            }
            try Self.checkStorable(environment, database)
            try EnvironmentRecord(environment).update(database)
        }
    }

    /// Its backups and its activities stay, and so does what it was: see `goneEnvironments`.
    package func removeEnvironment(_ id: EnvironmentID) throws {
        try write { database in
            let environment = try Self.environment(id, database)
            try database.execute(
                sql: "INSERT INTO gone_environment (id, project, name, type) VALUES (?, ?, ?, ?)",
                arguments: [
                    id.rawValue, environment.project.rawValue, environment.name, environment.type.rawValue,
                ])
            try database.execute(sql: "DELETE FROM environment WHERE id = ?", arguments: [id.rawValue])
            try database.execute(sql: "DELETE FROM claim WHERE environment = ?", arguments: [id.rawValue])
        }
    }

    /// The environments of a project that were deleted, with their last types.
    package func goneEnvironments(in project: ProjectID) throws -> [GoneEnvironment] {
        try read { database in
            let sql = "SELECT id, name, type FROM gone_environment WHERE project = ? ORDER BY name, id"
            return try Row.fetchAll(database, sql: sql, arguments: [project.rawValue]).map { row in
                GoneEnvironment(
                    id: try Column.id(row["id"]), project: project, name: row["name"],
                    type: try Column.choice(row["type"]))
            }
        }
    }

    /// The sealed repository password of a project; nil before it was made.
    package func sealedRepositoryPassword(_ project: ProjectID) throws -> [UInt8]? {
        try read { database in
            _ = try Self.project(project, database)
            return try Data.fetchOne(
                database, sql: "SELECT sealed_repository_password FROM project WHERE id = ?",
                arguments: [project.rawValue]
            ).map { [UInt8]($0) }
        }
    }

    /// Whoever loses this password loses the backups: a second one is stored only in place of the same project's
    /// first one by an explicit change, never by accident.
    package func setSealedRepositoryPassword(_ project: ProjectID, _ sealed: [UInt8]) throws {
        try write { database in
            _ = try Self.project(project, database)
            try database.execute(
                sql: "UPDATE project SET sealed_repository_password = ? WHERE id = ?",
                arguments: [Data(sealed), project.rawValue])
        }
    }

    static func project(_ id: ProjectID, _ database: Database) throws -> Project {
        guard let record = try ProjectRecord.fetchOne(database, key: id.rawValue) else {
            throw HoldfastError(
                .notFound, "there is no project '\(id)'", hint: "List those you can see with project:list")
        }
        return try record.model()
    }

    static func environment(_ id: EnvironmentID, _ database: Database) throws -> Environment {
        guard let record = try EnvironmentRecord.fetchOne(database, key: id.rawValue) else {
            throw HoldfastError(.notFound, "there is no environment with the identity '\(id)'")
        }
        return try record.model()
    }

    private static func checkStorable(_ environment: Environment, _ database: Database) throws {
        guard environment.status != .dirty else {
            throw HoldfastError(.internalFault, "dirty is derived from open activities and never stored")
        }
        let others = try EnvironmentRecord.filter(
            sql: "project = ? AND id <> ?", arguments: [environment.project.rawValue, environment.id.rawValue]
        ).fetchAll(database)
        if others.contains(where: { $0.name == environment.name }) {
            throw HoldfastError(
                .conflict, "project \(environment.project) has an environment '\(environment.name)' already")
        }
        if environment.type == .production, let other = others.first(where: { $0.type == "production" }) {
            throw HoldfastError(
                .conflict, "'\(other.name)' is the production environment of project \(environment.project)",
                hint: "Choose staging or development for '\(environment.name)'")
        }
    }
}
