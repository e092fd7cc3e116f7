import Foundation
import HoldfastAPI
import HoldfastModel

extension APIClient {
    /// All backups of an environment, newest first.
    package func backups(
        of environment: Resource<API.Environment>
    ) async throws -> [Resource<API.Backup>] {
        try await get("\(environment.link("self"))/backups")
    }

    /// A backup of an environment; nil if there is none of that name.
    package func backup(
        _ id: String, of environment: Resource<API.Environment>
    ) async throws -> Resource<API.Backup>? {
        try await find("\(environment.link("self"))/backups/\(ServerAddress.escape(id))")
    }

    /// All backups of a project that the caller may see, newest first: those of deleted environments too.
    package func backups(in project: Resource<API.Project>) async throws -> [Resource<API.Backup>] {
        try await get("\(project.link("self"))/backups")
    }

    /// A backup of any environment of a project, there or gone; nil if there is none of that name.
    package func backup(_ id: String, in project: Resource<API.Project>) async throws -> Resource<API.Backup>? {
        try await find("\(project.link("self"))/backups/\(ServerAddress.escape(id))")
    }

    /// Asks for a backup.
    ///
    /// - Returns: nil if it is not offered now.
    package func createBackup(of environment: Resource<API.Environment>, safe: Bool) async throws -> Started? {
        try await operate("backup", on: environment, body: API.BackupInput(safe: safe))
    }

    /// Asks for a restore.
    ///
    /// - Throws: the server's reason if it is not let in.
    package func restore(_ backup: Resource<API.Backup>, _ input: API.RestoreInput) async throws -> Started {
        let target = try backup.links["#restore"] ?? "\(backup.link("self"))/restore"
        return try await send(Call("POST", target, body: API.encoder().encode(input))).started()
    }

    package func delete(_ backup: Resource<API.Backup>) async throws -> Started {
        try await send(Call("DELETE", backup.link("self"))).started()
    }
}
