import Foundation
import GRDB
import HoldfastModel

/// What one user may do in one project, and since when.
package struct Grant: Sendable, Hashable {
    package var user: User
    package var project: ProjectID
    package var permissions: Permissions
    package var grantedAt: Date
    package var updatedAt: Date

    package init(user: User, project: ProjectID, permissions: Permissions, grantedAt: Date, updatedAt: Date) {
        self.user = user
        self.project = project
        self.permissions = permissions
        self.grantedAt = grantedAt
        self.updatedAt = updatedAt
    }
}

extension Catalogue {
    /// - Throws: `conflict` if the name or the address is taken, `invalidInput` if the address is none.
    package func createUser(_ user: User) throws {
        try write { try Self.insert(user, $0) }
    }

    /// - Throws: `notFound`.
    package func user(_ id: UserID) throws -> User {
        try read { try Self.user(id, $0) }
    }

    /// The user with that id, address or name.
    ///
    /// - Throws: `notFound`.
    package func user(matching text: String) throws -> User {
        let record = try read {
            try UserRecord.filter(sql: "id = ?1 OR email = ?1 OR username = ?1", arguments: [text]).fetchOne($0)
        }
        guard let record else { throw HoldfastError(.notFound, "there is no user '\(text)'") }
        return try record.model()
    }

    /// All of them by name.
    package func users() throws -> [User] {
        try read { try UserRecord.order(sql: "username").fetchAll($0).map { try $0.model() } }
    }

    /// What a user may do in a project; an operator is admin of every project. Nil: nothing, not even see it.
    package func permissions(of user: User, in project: ProjectID) throws -> Permissions? {
        if user.isOperator { return .admin }
        return try read { try Self.permissions(of: user.id, in: project, $0) }
    }

    /// Everybody with permissions of their own in a project, by name.
    package func grants(in project: ProjectID) throws -> [Grant] {
        try read { try Self.grants($0, where: "permission.project = ?", [project.rawValue]) }
    }

    /// All projects that were given to a user.
    package func grants(of user: UserID) throws -> [Grant] {
        try read { try Self.grants($0, where: "permission.user = ?", [user.rawValue]) }
    }

    /// Sets what a user may do in a project, whatever it was before.
    ///
    /// - Returns: the grant as stored.
    package func grant(_ permissions: Permissions, to user: UserID, in project: ProjectID) throws -> Grant {
        let now = Column.stamp(time.now())
        return try write { database in
            _ = try Self.project(project, database)
            _ = try Self.user(user, database)
            try database.execute(
                sql: """
                    INSERT INTO permission (project, user, permissions, granted_at, updated_at) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT (project, user) DO UPDATE
                        SET permissions = excluded.permissions, updated_at = excluded.updated_at
                    """,
                arguments: [project.rawValue, user.rawValue, try Column.json(permissions.strings), now, now])
            let condition = "permission.project = ? AND permission.user = ?"
            let grants = try Self.grants(database, where: condition, [project.rawValue, user.rawValue])
            guard let grant = grants.first else {
                throw HoldfastError(.internalFault, "the permissions of \(user) vanished")
            }
            return grant
        }
    }

    /// Takes a project away from a user.
    ///
    /// - Throws: `notFound` if nothing had been given.
    package func revoke(user: UserID, in project: ProjectID) throws {
        try write { database in
            try database.execute(
                sql: "DELETE FROM permission WHERE project = ? AND user = ?",
                arguments: [project.rawValue, user.rawValue])
            guard database.changesCount > 0 else {
                throw HoldfastError(.notFound, "user \(user) has no permissions of their own in project \(project)")
            }
        }
    }

    static func insert(_ user: User, _ database: Database) throws {
        let parts = user.email.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), user.email.utf8.count <= 254,
            !user.email.contains(where: \.isWhitespace)
        else { throw HoldfastError(.invalidInput, "'\(user.email.prefix(80))' is not an e-mail address") }
        let taken = try UserRecord.filter(
            sql: "email = ? OR username = ?", arguments: [user.email, user.username]
        ).fetchOne(database)
        guard taken == nil else {
            throw HoldfastError(.conflict, "there is a user '\(user.username)' or '\(user.email)' already")
        }
        try UserRecord(user).insert(database)
    }

    static func user(_ id: UserID, _ database: Database) throws -> User {
        guard let record = try UserRecord.fetchOne(database, key: id.rawValue) else {
            throw HoldfastError(.notFound, "there is no user '\(id)'")
        }
        return try record.model()
    }

    static func permissions(
        of user: UserID, in project: ProjectID, _ database: Database
    ) throws -> Permissions? {
        try String.fetchOne(
            database, sql: "SELECT permissions FROM permission WHERE project = ? AND user = ?",
            arguments: [project.rawValue, user.rawValue]
        ).map { try Permissions(strings: try Column.value([String].self, json: $0)) }
    }

    private static func grants(
        _ database: Database, where condition: String, _ arguments: StatementArguments
    ) throws -> [Grant] {
        let sql = """
            SELECT user.*, permission.project, permission.permissions, permission.granted_at, permission.updated_at
            FROM permission JOIN user ON user.id = permission.user WHERE \(condition)
            ORDER BY user.username, permission.project
            """
        return try Row.fetchAll(database, sql: sql, arguments: arguments).map { row in
            Grant(
                user: try UserRecord(row: row).model(), project: try Column.id(row["project"]),
                permissions: try Permissions(strings: try Column.value([String].self, json: row["permissions"])),
                grantedAt: Column.date(row["granted_at"]), updatedAt: Column.date(row["updated_at"]))
        }
    }
}
