import Foundation
import GRDB
import HoldfastModel

/// Who did what, on what, and whether it was allowed.
package struct AuditEntry: Sendable, Hashable {
    package enum Result: String, Sendable {
        case allowed
        /// The role or the state forbade it.
        case refused
        case failed
    }

    package var at: Date
    /// Nil for Holdfast itself.
    package var user: UserID?
    package var token: TokenID?
    /// Such as `environment.backup`.
    package var action: String
    package var project: ProjectID?
    /// The id or name of what it was done to.
    package var subject: String?
    package var result: Result
    /// Why it was refused or failed.
    package var detail: String?

    package init(
        at: Date, session: Session?, action: String, on target: (project: ProjectID?, subject: String?),
        result: Result, detail: String? = nil
    ) {
        self.at = at
        self.user = session?.user.id
        self.token = session?.token
        self.action = action
        self.project = target.project
        self.subject = target.subject
        self.result = result
        self.detail = detail
    }
}

extension Catalogue {
    /// Adds an entry; there is no way to change or remove one.
    package func audit(_ entry: AuditEntry) throws {
        try write { database in
            try database.execute(
                sql: """
                    INSERT INTO audit (at, user, token, action, project, subject, result, detail)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    Column.stamp(entry.at), entry.user?.rawValue, entry.token?.rawValue, entry.action,
                    entry.project?.rawValue, entry.subject, entry.result.rawValue, entry.detail,
                ])
        }
    }

    /// The newest entries first; nil for those of all projects.
    package func auditLog(of project: ProjectID?, limit: Int) throws -> [AuditEntry] {
        try read { database in
            let sql = "SELECT * FROM audit WHERE ?1 IS NULL OR project = ?1 ORDER BY sequence DESC LIMIT ?2"
            return try Row.fetchAll(database, sql: sql, arguments: [project?.rawValue, limit]).map(Self.auditEntry)
        }
    }

    private static func auditEntry(_ row: Row) throws -> AuditEntry {
        let user: String? = row["user"]
        let token: String? = row["token"]
        let project: String? = row["project"]
        let target = (project: try project.map { try Column.id($0) as ProjectID }, subject: row["subject"] as String?)
        var entry = AuditEntry(
            at: Column.date(row["at"]), session: nil, action: row["action"], on: target,
            result: try Column.choice(row["result"]), detail: row["detail"])
        entry.user = try user.map { try Column.id($0) }
        entry.token = try token.map { try Column.id($0) }
        return entry
    }
}
