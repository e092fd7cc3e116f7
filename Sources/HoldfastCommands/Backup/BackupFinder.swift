import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// A backup that a verb works on, and where it was looked for.
struct FoundBackup {
    let project: Resource<API.Project>
    /// The environment that was named; nil if none was, or if it is gone.
    let environment: Resource<API.Environment>?
    let backup: Resource<API.Backup>
}

extension Session {
    /// A backup by its id, or the most recent good one of an environment.
    ///
    /// Backups outlive environments: an id is looked for in the whole project if the environment does not have it, and
    /// an environment that is gone still has its backups.
    ///
    /// - Parameter usesDefault: take the default branch's environment if neither an id nor an environment is named.
    /// - Throws: `notFound` naming what there is not.
    func backup(
        _ id: String?, _ options: EnvironmentOptions, usesDefault: Bool = false
    ) async throws -> FoundBackup {
        if id == nil, options.environment == nil {
            let selected = try await selection(options, usesDefault: usesDefault)
            return try await latestBackup(of: selected.environment, in: selected.project)
        }
        let project = try await project(options.project)
        let name = try environmentName(options, project: project)
        let environment: Resource<API.Environment>? =
            if let name { try await findEnvironment(name, of: project) } else { nil }
        guard let id else {
            if let environment { return try await latestBackup(of: environment, in: project) }
            let gone = try await backupsOfGone(name ?? "", in: project)
            guard let latest = gone.first(where: \.value.isGood) ?? gone.first else {
                throw Self.noEnvironment(name ?? "", in: project)
            }
            return FoundBackup(project: project, environment: nil, backup: latest)
        }
        if let environment, let backup = try await client.backup(id, of: environment) {
            return FoundBackup(project: project, environment: environment, backup: backup)
        }
        guard let backup = try await client.backup(id, in: project) else {
            throw HoldfastError(
                .notFound, "backup '\(id)' does not exist in project '\(project.value.id)'",
                hint: "List them with `holdfast backup:list --all -p \(project.value.id)`")
        }
        return FoundBackup(project: project, environment: environment, backup: backup)
    }

    /// Backups of the environments of that name that are gone, newest first.
    func backupsOfGone(
        _ name: String, in project: Resource<API.Project>, deleted: Bool = false
    ) async throws -> [Resource<API.Backup>] {
        let names = Set([name, name.removingPercentEncoding ?? name])
        return try await client.backups(in: project, deleted: deleted).filter { backup in
            backup.value.environmentDeleted == true && names.contains(backup.value.environment)
        }
    }

    private func latestBackup(
        of environment: Resource<API.Environment>, in project: Resource<API.Project>
    ) async throws -> FoundBackup {
        let name = environment.value.name
        let all = try await client.backups(of: environment)
        guard let latest = all.first(where: \.value.isGood) ?? all.first else {
            throw HoldfastError(
                .notFound, "environment '\(name)' has no backups",
                hint: "Create one with `holdfast backup:create -e \(name)`")
        }
        return FoundBackup(project: project, environment: environment, backup: latest)
    }
}

extension API.Backup {
    /// There, and complete on a site, whether that can be reached now or not.
    var isGood: Bool { status == BackupStatus.created.rawValue && sites.contains(where: \.complete) }
}
