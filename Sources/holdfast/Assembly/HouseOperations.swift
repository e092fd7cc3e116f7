import Foundation
import HoldfastAPI
import HoldfastBackup
import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastModel
import HoldfastServer

/// What the server needs done, by the parts that do it.
struct HouseOperations: Operations {
    let catalogue: Catalogue
    let desk: ActivityDesk
    let house: House
    let home: StateDirectory
    let hooks: PushHooks

    func submit(_ request: OperationRequest, by user: UserID) throws -> Activity {
        try desk.submit(request, by: try catalogue.user(user))
    }

    func createProject(_ request: ProjectRequest, by user: UserID) throws -> Project {
        let project = Project(
            id: request.id ?? .random(), title: request.title, defaultBranch: request.defaultBranch,
            region: request.region, timeZone: request.timeZone, createdAt: house.time.now())
        try catalogue.createProject(project)
        do {
            let directory = home.gitDirectory(project.id)
            try FileManager.default.createDirectory(
                atPath: (directory as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            let repository = try GitRepository.create(path: directory, defaultBranch: project.defaultBranch)
            try hooks.install(in: repository, project: project.id)
            try house.repositories.create(project.id)
        } catch {
            try? catalogue.removeProject(project.id)
            throw error
        }
        house.noteFacts(of: project.id)
        return project
    }

    func repositoryKey(of project: ProjectID) throws -> API.RepositoryKey {
        let repositories = house.repositories
        return API.RepositoryKey(
            project: project, password: try repositories.password(of: project),
            sites: repositories.sites.map { site in
                API.RepositoryKey.Site(name: site.name, location: repositories.path(of: project, on: site))
            })
    }

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
            // The gateway speaks HTTP; what terminates TLS in front of it keeps the host.
            routes: routes.map { "http://" + $0.host(defaultHost: identity.host) + $0.path })
        running.canUndoRestore = FileManager.default.fileExists(atPath: layout.previousFile)
        return running
    }

    func gitAddress(of project: ProjectID) -> String { home.gitDirectory(project) }
}
