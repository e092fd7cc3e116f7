import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastRepository
import HoldfastRetention

/// What the checks read. Implemented by the catalogue.
package protocol DoctorCatalogue: BackupCatalogue {
    func projects() throws -> [Project]
}

/// What the checks of projects and environments work with.
package struct InstallationFacts: Sendable {
    package let catalogue: any DoctorCatalogue
    package let repositories: ProjectRepositories
    /// The state directory, and where its sockets lie.
    package let home: String
    package let run: String
    package let time: any TimeSource
    package let projects: [Project]
    package let environments: [Environment]
    package let open: [Activity]

    /// - Throws: what the catalogue throws.
    package init(
        catalogue: any DoctorCatalogue, repositories: ProjectRepositories, home: String, run: String,
        time: any TimeSource
    ) throws {
        self.catalogue = catalogue
        self.repositories = repositories
        self.home = home
        self.run = run
        self.time = time
        projects = try catalogue.projects()
        environments = try catalogue.allEnvironments()
        open = try catalogue.openActivities()
    }

    /// For people: `Ledger, main`.
    func name(_ environment: Environment) -> String {
        let title = projects.first { $0.id == environment.project }?.title ?? environment.project.rawValue
        return "\(title), \(environment.name)"
    }

    /// Something works in an environment now.
    func isBusy(_ environment: EnvironmentID) -> Bool {
        open.contains { $0.environment == environment && $0.state == .inProgress }
    }

    /// Logical bytes of the largest newest backup of an active environment.
    package func largestBackup() throws -> UInt64 {
        try environments.filter { $0.status == .active }.reduce(0) { largest, environment in
            let newest = try catalogue.backups(of: environment.id).first { !$0.keeping.isDeleted }
            return max(largest, UInt64(max(0, newest?.sizeBytes ?? 0)))
        }
    }
}
