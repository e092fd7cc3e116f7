import Foundation
import HoldfastAPI
import HoldfastModel

/// What the server needs from the part that does the work. All methods block; the server never calls them on Swift's
/// cooperative pool. Access was checked before; what the environment's state forbids is for `submit` to refuse.
package protocol Operations: Sendable {
    /// Queues one activity and returns it as stored, with the backup's id as `backup` among its parameters for
    /// everything about a backup.
    ///
    /// - Throws: `conflict` with the reason if the state does not allow it, `notFound`, `unsupported`.
    func submit(_ request: OperationRequest, by user: UserID) throws -> Activity

    /// Throws what `submit` would throw for this operation now, and does nothing.
    func check(_ request: OperationRequest) throws

    /// How the point in time of a consistent backup would be taken now, and how long it would hold. Changes nothing.
    func backupForecast(of environment: Environment) throws -> API.BackupForecast

    /// Ends a project: environments, Git repository, and its backup repository on every site.
    ///
    /// - Parameter withProduction: its production environment may be active, and goes with all its data.
    /// - Returns: paths that could not be removed; the project is gone all the same.
    /// - Throws: `conflict` if it has backups, open activities, or other environments that are not inactive.
    func deleteProject(_ project: ProjectID, withProduction: Bool) throws -> [String]

    /// Ends an activity that is in progress, at a step where that does no harm; it fails soon after.
    ///
    /// - Throws: `conflict` with the reason if it cannot be cancelled.
    func cancelRunning(_ activity: Activity) throws

    /// Makes a project with its Git repository and its backup repository on every site, and stores it.
    func createProject(_ request: ProjectRequest, by user: UserID) throws -> Project

    /// The password and the sites of a project's backup repository.
    func repositoryKey(of project: ProjectID) throws -> API.RepositoryKey

    /// Something of a project changed that its sites should know too, for a catalogue that is lost. Returns after a
    /// moment at the latest, also if a site hangs.
    func noteChange(of project: ProjectID)

    /// The time that locks are compared with: not the wall clock's while that is known to be wrong.
    func lockTime(_ now: Date) -> Date

    /// How the sites of a project are at this moment. Cheap: it looks at a folder for each.
    func siteStates(of project: ProjectID) -> [SiteState]

    /// What runs in an environment now; nil if nothing is deployed. Cheap: it reads a file.
    func currentDeployment(of environment: Environment) throws -> RunningDeployment?

    /// The URL that one pushes to over HTTP: `<server>/<project>.git`.
    func gitAddress(of project: ProjectID) -> String

    /// Where the Git repository lies on the server's machine: whoever may write there pushes without a token.
    func gitDirectory(of project: ProjectID) -> String
}

extension Operations {
    package func noteChange(of project: ProjectID) {}

    package func lockTime(_ now: Date) -> Date { now }

    package func cancelRunning(_ activity: Activity) throws {
        throw HoldfastError(
            .conflict, "activity \(activity.id) is \(activity.state.rawValue) and cannot be cancelled",
            hint: "Wait until it has ended")
    }
}

/// A project that somebody wants.
package struct ProjectRequest: Sendable, Hashable {
    /// Nil: made up at random.
    package var id: ProjectID?
    package var title: String
    package var defaultBranch: String
    package var region: String
    package var timeZone: String

    package init(id: ProjectID?, title: String, defaultBranch: String, region: String, timeZone: String) {
        self.id = id
        self.title = title
        self.defaultBranch = defaultBranch
        self.region = region
        self.timeZone = timeZone
    }
}

/// What runs in an environment, as the API shows it.
package struct RunningDeployment: Sendable {
    /// As `GET …/deployments/current` gives it.
    package var deployment: API.Deployment
    package var commit: String
    package var deployedAt: Date
    /// The backup that the running code came from.
    package var restoredFrom: BackupID?
    /// Where the environment is reached, the primary route first.
    package var routes: [String]
    /// What ran before the last restore, if it is still there: an undo leads back to it.
    package var beforeRestore: API.PriorState?

    package init(
        deployment: API.Deployment, commit: String, deployedAt: Date, restoredFrom: BackupID?, routes: [String]
    ) {
        self.deployment = deployment
        self.commit = commit
        self.deployedAt = deployedAt
        self.restoredFrom = restoredFrom
        self.routes = routes
    }
}
