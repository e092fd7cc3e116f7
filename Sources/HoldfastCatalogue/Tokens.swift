import Foundation
import GRDB
import HoldfastModel

/// What a token is narrowed to: one project, and no more than these roles in it.
package struct TokenScope: Sendable, Hashable {
    package var project: ProjectID
    package var permissions: Permissions

    package init(project: ProjectID, permissions: Permissions) {
        self.project = project
        self.permissions = permissions
    }
}

/// An API token without its secret, which only its owner has.
package struct TokenRecord: Sendable, Hashable {
    package var id: TokenID
    package var user: UserID
    package var name: String
    package var scope: TokenScope?
    package var createdAt: Date
    package var lastUsedAt: Date?
}

/// Somebody who showed a good access token.
package struct Session: Sendable, Hashable {
    package var user: User
    package var token: TokenID
    package var scope: TokenScope?
}

/// An access token that is in memory only.
struct SpareToken: Sendable {
    var token: TokenID
    var expiresAt: Date
}

/// What `bootstrap` made.
package struct Bootstrap: Sendable {
    package var user: User
    /// Shown once: it belongs into a file of mode 0600.
    package var token: Secret
}

/// API tokens live until they are revoked and are only ever exchanged for access tokens, which live 15 minutes.
///
/// An API token reads `hfk_<token id>_<52 characters>`, an access token `hfa_<52 characters>`: 260 random bits in
/// base32. Only the SHA-256 is stored.
extension Catalogue {
    /// Seconds that an access token is good for.
    package static let accessTokenLifetime = 900
    private static let localTokenName = "local CLI"
    /// Seconds within which a further use of an API token for Git is not written down.
    private static let useGranularity: TimeInterval = 60

    /// Makes the first operator and a token for the local CLI, if there is nobody yet.
    ///
    /// - Parameter replacingLostToken: the caller lost the token that an earlier start made; it is revoked and a new
    ///   one is made.
    /// - Returns: nil if there is nothing to do.
    package func bootstrap(replacingLostToken: Bool = false) throws -> Bootstrap? {
        let now = time.now()
        return try write { database in
            let operators = try UserRecord.filter(sql: "is_operator").order(sql: "created_at, id").fetchAll(database)
            if !operators.isEmpty, !replacingLostToken { return nil }
            let user: User
            if let first = operators.first {
                user = try first.model()
            } else {
                user = User(
                    id: .random(), username: "admin", email: "admin@localhost", displayName: "Administrator",
                    isOperator: true, createdAt: now)
                try Self.insert(user, database)
            }
            try database.execute(
                sql: "DELETE FROM api_token WHERE user = ? AND name = ?",
                arguments: [user.id.rawValue, Self.localTokenName])
            let made = try Self.makeToken(Self.localTokenName, for: user.id, scope: nil, at: now, database)
            return Bootstrap(user: user, token: made.secret)
        }
    }

    /// - Returns: the token's record, and the token itself, which is never readable again.
    package func createToken(
        named name: String, for user: UserID, scope: TokenScope?
    ) throws -> (record: TokenRecord, secret: Secret) {
        guard (1...100).contains(name.count) else {
            throw HoldfastError(.invalidInput, "a token's name has 1 to 100 characters, not \(name.count)")
        }
        let now = time.now()
        return try write { database in
            _ = try Self.user(user, database)
            if let scope { _ = try Self.project(scope.project, database) }
            return try Self.makeToken(name, for: user, scope: scope, at: now, database)
        }
    }

    package func tokens(of user: UserID) throws -> [TokenRecord] {
        try read { database in
            let sql = "SELECT * FROM api_token WHERE user = ? ORDER BY created_at, id"
            return try Row.fetchAll(database, sql: sql, arguments: [user.rawValue]).map(Self.tokenRecord)
        }
    }

    /// Ends a token and every access token that came from it.
    ///
    /// - Throws: `notFound` if the user has no such token.
    package func revokeToken(_ id: TokenID, of user: UserID) throws {
        try write { database in
            try database.execute(
                sql: "DELETE FROM api_token WHERE id = ? AND user = ?", arguments: [id.rawValue, user.rawValue])
            guard database.changesCount > 0 else { throw HoldfastError(.notFound, "there is no token '\(id)'") }
        }
    }

    /// Exchanges an API token for an access token.
    ///
    /// It also works while the disk is full: the access token is then kept in memory, and ends with this process.
    ///
    /// - Throws: `unauthenticated` for anything that is not a token of ours.
    package func exchange(_ apiToken: Secret) throws -> Secret {
        let now = time.now()
        let access = Self.randomToken(prefix: "hfa")
        let digest = Data(Digest.sha256(access.reveal().utf8))
        let expiry = now.addingTimeInterval(Double(Self.accessTokenLifetime))
        do {
            try write { database in
                let id = try Self.verify(apiToken, database).id
                try database.execute(
                    sql: "DELETE FROM access_token WHERE expires_at <= ?", arguments: [Column.stamp(now)])
                try database.execute(
                    sql: "INSERT INTO access_token (hash, token, expires_at) VALUES (?, ?, ?)",
                    arguments: [digest, id.rawValue, Column.stamp(expiry)])
                try database.execute(
                    sql: "UPDATE api_token SET last_used_at = ? WHERE id = ?",
                    arguments: [Column.stamp(now), id.rawValue])
            }
        } catch let error as HoldfastError where error.code == .noSpace || error.code == .system {
            let id = try read { try Self.verify(apiToken, $0).id }
            spareTokens.withLock { tokens in
                tokens = tokens.filter { $0.value.expiresAt > now }
                tokens[digest] = SpareToken(token: id, expiresAt: expiry)
            }
        }
        return access
    }

    /// Who it is that shows an access token.
    ///
    /// - Throws: `unauthenticated` if it is none of ours, has expired, or its API token was revoked.
    package func authenticate(_ accessToken: Secret) throws -> Session {
        let digest = Data(Digest.sha256(accessToken.reveal().utf8))
        if let session = try spareSession(digest) { return session }
        let now = Column.stamp(time.now())
        return try read { database in
            let row = try Row.fetchOne(
                database,
                sql: """
                    SELECT api_token.* FROM access_token JOIN api_token ON api_token.id = access_token.token
                    WHERE access_token.hash = ? AND access_token.expires_at > ?
                    """, arguments: [digest, now])
            guard let row else {
                throw HoldfastError(
                    .unauthenticated, "the access token is wrong or has expired",
                    hint: "Exchange the API token for a new one")
            }
            let token = try Self.tokenRecord(row)
            return Session(user: try Self.user(token.user, database), token: token.id, scope: token.scope)
        }
    }

    /// Ends one access token; unknown ones are ignored.
    package func revoke(_ secret: Secret) throws {
        let digest = Data(Digest.sha256(secret.reveal().utf8))
        if spareTokens.withLock({ $0.removeValue(forKey: digest) }) != nil { return }
        try write { database in
            try database.execute(sql: "DELETE FROM access_token WHERE hash = ?", arguments: [digest])
        }
    }

    /// Who it is that shows an API token itself: for Git over HTTP, where the token is the password.
    ///
    /// That it was used is written down once a minute at most: one push shows it several times.
    ///
    /// - Throws: `unauthenticated` for anything that is not a token of ours.
    package func authenticate(apiToken: Secret) throws -> Session {
        let (token, user) = try read { database in
            let token = try Self.verify(apiToken, database)
            return (token, try Self.user(token.user, database))
        }
        let now = time.now()
        let isNews = token.lastUsedAt.map { now.timeIntervalSince($0) >= Self.useGranularity || $0 > now } ?? true
        if isNews {
            // A full disk keeps nobody from his code.
            try? write { database in
                try database.execute(
                    sql: "UPDATE api_token SET last_used_at = ? WHERE id = ?",
                    arguments: [Column.stamp(now), token.id.rawValue])
            }
        }
        return Session(user: user, token: token.id, scope: token.scope)
    }

    /// Whoever showed an API token before, with what it allows now.
    ///
    /// - Throws: `unauthenticated` if it was revoked meanwhile.
    package func session(of token: TokenID) throws -> Session {
        try read { database in
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM api_token WHERE id = ?", arguments: [token.rawValue])
            guard let row else { throw Self.invalidToken }
            let record = try Self.tokenRecord(row)
            return Session(user: try Self.user(record.user, database), token: record.id, scope: record.scope)
        }
    }

    /// Who showed a token that is kept in memory; nil if there is none of that digest.
    private func spareSession(_ digest: Data) throws -> Session? {
        let now = time.now()
        guard let spare = spareTokens.withLock({ $0[digest] }), spare.expiresAt > now else { return nil }
        return try session(of: spare.token)
    }

    private static func verify(_ apiToken: Secret, _ database: Database) throws -> TokenRecord {
        let parts = apiToken.reveal().split(separator: "_").map(String.init)
        guard parts.count == 3, parts[0] == "hfk", let id = TokenID(parts[1]) else { throw invalidToken }
        let row = try Row.fetchOne(database, sql: "SELECT * FROM api_token WHERE id = ?", arguments: [id.rawValue])
        guard let row, let hash: Data = row["hash"],
            Digest.areEqual([UInt8](hash), Digest.sha256(apiToken.reveal().utf8))
        else { throw invalidToken }
        return try tokenRecord(row)
    }

    private static var invalidToken: HoldfastError {
        HoldfastError(.unauthenticated, "the API token is wrong", hint: "Make a new one with token:create")
    }

    private static func randomToken(prefix: String) -> Secret {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
        return Secret(prefix + "_" + String((0..<52).map { _ in alphabet[Int.random(in: 0..<32, using: &generator)] }))
    }

    private static func makeToken(
        _ name: String, for user: UserID, scope: TokenScope?, at date: Date, _ database: Database
    ) throws -> (record: TokenRecord, secret: Secret) {
        let id = TokenID.random()
        let secret = randomToken(prefix: "hfk_\(id)")
        try database.execute(
            sql: """
                INSERT INTO api_token (id, user, name, hash, project, permissions, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id.rawValue, user.rawValue, name, Data(Digest.sha256(secret.reveal().utf8)), scope?.project.rawValue,
                try scope.map { try Column.json($0.permissions.strings) }, Column.stamp(date),
            ])
        return (TokenRecord(id: id, user: user, name: name, scope: scope, createdAt: date), secret)
    }

    private static func tokenRecord(_ row: Row) throws -> TokenRecord {
        let project: String? = row["project"]
        let permissions: String? = row["permissions"]
        let lastUsedAt: Int64? = row["last_used_at"]
        var record = TokenRecord(
            id: try Column.id(row["id"]), user: try Column.id(row["user"]), name: row["name"],
            createdAt: Column.date(row["created_at"]), lastUsedAt: lastUsedAt.map(Column.date))
        if let project, let permissions {
            record.scope = TokenScope(
                project: try Column.id(project),
                permissions: try Permissions(strings: try Column.value([String].self, json: permissions)))
        }
        return record
    }
}
