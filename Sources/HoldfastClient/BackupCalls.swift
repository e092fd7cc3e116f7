import Foundation
import HoldfastAPI
import HoldfastModel

extension APIClient {
    /// All backups of an environment, newest first; those that are deleted and can be brought back only if asked for,
    /// and nothing else then.
    package func backups(
        of environment: Resource<API.Environment>, deleted: Bool = false
    ) async throws -> [Resource<API.Backup>] {
        try await get("\(environment.link("self"))/backups", query: deleted ? [("deleted", "true")] : [])
    }

    /// A backup of an environment; nil if there is none of that name.
    package func backup(
        _ id: String, of environment: Resource<API.Environment>
    ) async throws -> Resource<API.Backup>? {
        try await find("\(environment.link("self"))/backups/\(ServerAddress.escape(id))")
    }

    /// All backups of a project that the caller may see, newest first: those of deleted environments too.
    package func backups(
        in project: Resource<API.Project>, deleted: Bool = false
    ) async throws -> [Resource<API.Backup>] {
        try await get("\(project.link("self"))/backups", query: deleted ? [("deleted", "true")] : [])
    }

    /// A backup of any environment of a project, there or gone; nil if there is none of that name.
    package func backup(_ id: String, in project: Resource<API.Project>) async throws -> Resource<API.Backup>? {
        try await find("\(project.link("self"))/backups/\(ServerAddress.escape(id))")
    }

    /// Asks for a backup.
    ///
    /// - Parameter orLive: a live one will do if there is no consistent point to be had in time.
    /// - Returns: nil if it is not offered now.
    package func createBackup(
        of environment: Resource<API.Environment>, safe: Bool, orLive: Bool = false
    ) async throws -> Started? {
        try await operate("backup", on: environment, body: API.BackupInput(safe: safe, orLive: orLive ? true : nil))
    }

    /// How the point in time of a backup would be taken now.
    ///
    /// - Throws: the refusal that the backup would meet.
    package func backupForecast(of environment: Resource<API.Environment>) async throws -> API.BackupForecast {
        try await send(Call("GET", "\(environment.link("self"))/backup")).decode()
    }

    /// Asks for a restore.
    ///
    /// - Throws: the server's reason if it is not let in.
    package func restore(_ backup: Resource<API.Backup>, _ input: API.RestoreInput) async throws -> Started {
        let target = try backup.links["#restore"] ?? "\(backup.link("self"))/restore"
        return try await send(Call("POST", target, body: API.encoder().encode(input))).started()
    }

    /// Asks for a drill.
    ///
    /// - Throws: the server's reason if it is not let in.
    package func drill(_ backup: Resource<API.Backup>) async throws -> Started {
        try await send(Call("POST", "\(backup.link("self"))/drill")).started()
    }

    /// - Parameters:
    ///   - force: also if it is protected.
    ///   - now: so that it cannot be brought back.
    package func delete(
        _ backup: Resource<API.Backup>, force: Bool = false, now: Bool = false
    ) async throws -> Started {
        var query: [(name: String, value: String)] = []
        if force { query.append(("force", "true")) }
        if now { query.append(("now", "true")) }
        return try await send(Call("DELETE", backup.link("self"), query: query)).started()
    }

    /// Brings a deleted backup back; the answer is how it is then.
    package func undelete(_ backup: Resource<API.Backup>) async throws -> Resource<API.Backup> {
        try await change(backup, Call("POST", "\(backup.link("self"))/undelete"))
    }

    /// Protects a backup.
    ///
    /// - Parameter until: nobody deletes it before; nil for no lock.
    package func protect(_ backup: Resource<API.Backup>, until: Date?) async throws -> Resource<API.Backup> {
        let body = try API.encoder().encode(API.ProtectInput(lockUntil: until))
        return try await change(backup, Call("POST", "\(backup.link("self"))/protect", body: body))
    }

    /// Hands a protected backup back to the policy.
    package func unprotect(_ backup: Resource<API.Backup>) async throws -> Resource<API.Backup> {
        try await change(backup, Call("POST", "\(backup.link("self"))/unprotect"))
    }

    /// Changes label and note.
    package func edit(_ backup: Resource<API.Backup>, _ patch: API.BackupPatch) async throws -> Resource<API.Backup> {
        try await change(backup, Call("PATCH", backup.link("self"), body: API.encoder().encode(patch)))
    }

    private func change(_ backup: Resource<API.Backup>, _ call: Call) async throws -> Resource<API.Backup> {
        _ = try await send(call)
        return try await refreshed(backup)
    }

    /// What is due in an environment, what stays and why.
    package func retention(of environment: Resource<API.Environment>) async throws -> Resource<API.Retention> {
        try await get("\(environment.link("self"))/retention")
    }

    /// What a policy would do in an environment; nothing is changed.
    ///
    /// - Parameters:
    ///   - change: of `data_retention`; nil for the policy as it is.
    ///   - days: how many to simulate.
    package func previewRetention(
        of environment: Resource<API.Environment>, _ change: JSONValue?, days: Int?
    ) async throws -> Resource<API.Retention> {
        let input = API.RetentionPreviewInput(dataRetention: change, days: days)
        return try await post("\(environment.link("self"))/retention/preview", input)
    }
}
