import Foundation
import HoldfastAPI
import HoldfastBackup
import HoldfastCatalogue
import HoldfastCommands
import HoldfastEnvironments
import HoldfastModel
import HoldfastServer

/// What the server needs done, by the parts that do it.
struct HouseOperations: Operations {
    let catalogue: Catalogue
    let desk: ActivityDesk
    let runner: ActivityRunner
    let house: House
    let home: StateDirectory
    let hooks: PushHooks
    /// Where clients reach the API; nil: where it listens.
    let publicURL: String?

    func submit(_ request: OperationRequest, by user: UserID) throws -> Activity {
        let activity = try desk.submit(request, by: try catalogue.user(user))
        if case .deleteEnvironment(let environment) = request { cancelBuilds(of: environment) }
        return activity
    }

    func cancelRunning(_ activity: Activity) throws {
        guard activity.type.builds else {
            throw HoldfastError(
                .conflict,
                "activity \(activity.id) is in_progress, and what runs as \(activity.type.rawValue) cannot be "
                    + "cancelled", hint: "Wait until it has ended")
        }
        try runner.cancel(activity.id)
    }

    /// What builds, or waits to build, for an environment that goes.
    private func cancelBuilds(of environment: EnvironmentID) {
        for activity in (try? catalogue.openActivities()) ?? []
        where activity.environment == environment && activity.state == .pending && activity.type.builds {
            try? catalogue.cancelActivity(activity.id, at: house.time.now())
        }
        runner.cancelBuilds(of: environment)
    }

    func check(_ request: OperationRequest) throws { try desk.check(request) }

    func backupForecast(of environment: Environment) throws -> API.BackupForecast {
        let forecast = try BackupForecast(environment: environment, house: house)
        return API.BackupForecast(
            mounts: forecast.mounts.map {
                API.BackupForecast.Mount(name: $0.name, watched: $0.staging.isWatched, shared: $0.staging.isShared)
            },
            services: forecast.services.map {
                API.BackupForecast.Service(
                    name: $0.name, method: $0.way.method, mark: $0.way.mark, shared: $0.isShared)
            }, holds: forecast.holds)
    }

    func deleteProject(_ id: ProjectID, withProduction: Bool) throws -> [String] {
        try catalogue.checkProjectIsUnused(id, withProduction: withProduction)
        // Afterwards nobody finds it; what a crash leaves behind are folders that belong to nothing.
        let environments = try ProjectRemoval(house: house).stop(id) {
            try catalogue.deleteProject(id, withProduction: withProduction)
        }
        var left: [String] = []
        for environment in environments {
            let layout = house.layout(environment.id)
            do {
                try layout.removeData()
                if house.environmentUser == nil { try ProcessUser.remove(for: environment.id) }
            } catch {
                left.append(layout.directory)
            }
        }
        let repositories = house.repositories
        let folders = repositories.sites.map { repositories.path(of: id, on: $0) }
        let own = (home.gitDirectory(id) as NSString).deletingLastPathComponent
        // Somebody may still be writing what was changed last.
        repositories.withoutJournal(of: id) {
            for folder in folders + [own] where FileManager.default.fileExists(atPath: folder) {
                do { try FileManager.default.removeItem(atPath: folder) } catch { left.append(folder) }
            }
        }
        return left
    }

    func createProject(_ request: ProjectRequest, by user: UserID) throws -> Project {
        let project = Project(
            id: request.id ?? .random(), title: request.title, defaultBranch: request.defaultBranch,
            region: request.region, timeZone: request.timeZone, createdAt: house.time.now())
        try making(project).begin {
            try catalogue.createProject(project)
            house.reached(.projectRecorded)
        }
        house.noteFacts(of: project.id)
        return project
    }

    /// Goes on with projects whose making a crash cut short; one that cannot be finished keeps nobody from the others.
    func finishProjects() throws {
        for project in try catalogue.projects() {
            do {
                let making = making(project)
                guard try making.isLeft() else { continue }
                try making.finish()
                house.logger.notice(
                    "finished a project whose making had been cut short", metadata: ["project": "\(project.id)"])
            } catch {
                house.logger.error(
                    "a project cannot be finished", metadata: ["project": "\(project.id)", "error": "\(error)"])
            }
        }
    }

    private func making(_ project: Project) -> UnfinishedProject {
        UnfinishedProject(project: project, catalogue: catalogue, house: house, home: home, hooks: hooks)
    }

    func repositoryKey(of project: ProjectID) throws -> API.RepositoryKey {
        let repositories = house.repositories
        return API.RepositoryKey(
            project: project, password: try repositories.password(of: project),
            sites: repositories.sites.map { site in
                API.RepositoryKey.Site(name: site.name, location: repositories.path(of: project, on: site))
            })
    }

    func lockTime(_ now: Date) -> Date { house.clocks?.now() ?? now }

    func noteChange(of project: ProjectID) { house.noteFactsSoon(of: project) }

    func siteStates(of project: ProjectID) -> [SiteState] { house.repositories.siteStates(of: project) }

    func currentDeployment(of environment: Environment) throws -> RunningDeployment? {
        let layout = house.layout(environment.id)
        guard let current = try layout.readCurrent() else { return nil }
        let configuration = try EnvironmentConfiguration.parse(current.deployment.configuration)
        let identity = try EnvironmentIdentity.read(from: layout.directory)
        let routes = configuration.routes.sorted { $0.primary && !$1.primary }
        var running = RunningDeployment(
            deployment: API.Deployment(current: current, configuration: configuration, host: identity.host),
            commit: current.deployment.commit, deployedAt: current.deployment.createdAt,
            restoredFrom: current.deployment.restoredFrom,
            routes: routes.map { $0.address(defaultHost: identity.host) }.reduce(into: [String]()) { all, address in
                if !all.contains(address) { all.append(address) }
            })
        if let previous = try layout.readPrevious()?.deployment {
            running.beforeRestore = API.PriorState(
                commit: previous.commit, deployedAt: previous.createdAt, restoredFrom: previous.restoredFrom)
        }
        return running
    }

    func gitAddress(of project: ProjectID) -> String {
        let stored = try? String(contentsOfFile: home.url, encoding: .utf8)
        var url = publicURL ?? stored?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ClientDefaults.url
        while url.hasSuffix("/") { url.removeLast() }
        return "\(url)/\(project).git"
    }

    func gitDirectory(of project: ProjectID) -> String { home.gitDirectory(project) }
}
