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

    /// Asks for a backup.
    ///
    /// - Returns: nil if it is not offered now.
    package func createBackup(of environment: Resource<API.Environment>, safe: Bool) async throws -> Started? {
        try await operate("backup", on: environment, body: API.BackupInput(safe: safe))
    }

    /// Asks for a restore.
    ///
    /// - Returns: nil if it is not offered now.
    package func restore(_ backup: Resource<API.Backup>, _ input: API.RestoreInput) async throws -> Started? {
        try await operate("restore", on: backup, body: input)
    }

    package func delete(_ backup: Resource<API.Backup>) async throws -> Started {
        try await send(Call("DELETE", backup.link("self"))).started()
    }
}
