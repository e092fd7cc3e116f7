import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Synchronization
import Testing

/// A clock that stands still until it is moved.
final class ManualTime: TimeSource {
    private let seconds = Mutex(1_700_000_000.0)

    func now() -> Date { Date(timeIntervalSince1970: seconds.withLock { $0 }) }
    func monotonicNanoseconds() -> UInt64 { UInt64(seconds.withLock { $0 } * 1e9) }
    func advance(_ by: Double) { seconds.withLock { $0 += by } }
}

/// Queues what it is asked for as the real one does, and does none of it.
final class RecordingOperations: Operations {
    let catalogue: Catalogue
    let time: ManualTime
    private let requests = Mutex<[OperationRequest]>([])
    private let running = Mutex<[EnvironmentID: RunningDeployment]>([:])
    /// An environment whose deployment cannot be read.
    private let damaged = Mutex<EnvironmentID?>(nil)

    private let states = Mutex<[SiteState]>([])

    /// What it was asked for and let in, in order.
    var asked: [OperationRequest] { requests.withLock { $0 } }

    init(catalogue: Catalogue, time: ManualTime) {
        self.catalogue = catalogue
        self.time = time
    }

    /// By how many seconds the wall clock is wrong.
    let clockError = Mutex(0.0)
    func lockTime(_ now: Date) -> Date { now.addingTimeInterval(-clockError.withLock { $0 }) }
    func backupForecast(of environment: Environment) throws -> API.BackupForecast {
        API.BackupForecast(
            mounts: [API.BackupForecast.Mount(name: "ledger/files", watched: true, shared: false)],
            services: [
                API.BackupForecast.Service(name: "db", method: "physical", mark: "a restore point", shared: nil)
            ], holds: [90, 30, 60])
    }

    func siteStates(of project: ProjectID) -> [SiteState] { states.withLock { $0 } }

    func set(siteStates: [SiteState]) { states.withLock { $0 = siteStates } }

    func submit(_ request: OperationRequest, by user: UserID) throws -> Activity {
        let (type, environment, backup) = try target(of: request)
        time.advance(1)
        let activity = Activity(
            id: .random(), project: environment.project, environment: environment.id, type: type,
            parameters: backup.map { ["backup": $0.rawValue] } ?? [:], user: user, text: "did \(type.rawValue)",
            createdAt: time.now())
        try catalogue.createActivity(activity)
        requests.withLock { $0.append(request) }
        return activity
    }

    private func target(of request: OperationRequest) throws -> (ActivityType, Environment, BackupID?) {
        switch request {
        case .backup(let id, _, _): return (.backup, try catalogue.environment(id), .random())
        case .deleteBackup(let id, _, _):
            return (.backupDelete, try catalogue.environment(try catalogue.backup(id).environment), id)
        case .restore(let id, let options):
            let backup = try catalogue.backup(id)
            let name = options.target ?? backup.environmentName
            return (.restore, try catalogue.environment(named: name, in: backup.project), id)
        case .drill(let id): return (.drill, try catalogue.environment(try catalogue.backup(id).environment), id)
        case .undoRestore(let id): return (.restore, try catalogue.environment(id), nil)
        case .redeploy(let id): return (.redeploy, try catalogue.environment(id), nil)
        case .activate(let id): return (.activate, try catalogue.environment(id), nil)
        case .deactivate(let id): return (.deactivate, try catalogue.environment(id), nil)
        case .pause(let id): return (.pause, try catalogue.environment(id), nil)
        case .resume(let id): return (.resume, try catalogue.environment(id), nil)
        case .deleteEnvironment(let id): return (.delete, try catalogue.environment(id), nil)
        case .push: throw HoldfastError(.unsupported, "pushes do not come through the API")
        }
    }

    func check(_ request: OperationRequest) throws {
        let (type, environment, _) = try target(of: request)
        guard type == .activate || environment.status == .active else {
            throw HoldfastError(.conflict, "environment \(environment.name) is \(environment.status.rawValue)")
        }
    }

    func deleteProject(_ project: ProjectID, withProduction: Bool) throws -> [String] {
        try catalogue.deleteProject(project, withProduction: withProduction)
        return []
    }

    func createProject(_ request: ProjectRequest, by user: UserID) throws -> Project {
        let project = Project(
            id: request.id ?? .random(), title: request.title, defaultBranch: request.defaultBranch,
            region: request.region, timeZone: request.timeZone, createdAt: time.now())
        try catalogue.createProject(project)
        return project
    }

    func repositoryKey(of project: ProjectID) throws -> API.RepositoryKey {
        let site = API.RepositoryKey.Site(name: "one", location: "/sites/one")
        return API.RepositoryKey(project: project, password: Secret("the password"), sites: [site])
    }

    func deploy(_ deployment: RunningDeployment, in environment: Environment) {
        running.withLock { $0[environment.id] = deployment }
    }

    func damage(_ environment: Environment) { damaged.withLock { $0 = environment.id } }

    func currentDeployment(of environment: Environment) throws -> RunningDeployment? {
        if damaged.withLock({ $0 == environment.id }) {
            throw HoldfastError(.damaged, "current.json of \(environment.name) cannot be read")
        }
        return running.withLock { $0[environment.id] }
    }

    func gitAddress(of project: ProjectID) -> String { "http://localhost/\(project).git" }
    func gitDirectory(of project: ProjectID) -> String { "/srv/\(project).git" }
}

/// A project with three environments, and somebody for each role.
final class Bench: Sendable {
    let folder: String
    let time = ManualTime()
    let catalogue: Catalogue
    let operations: RecordingOperations
    let project: Project
    let main: Environment
    let stage: Environment
    let feature: Environment
    /// Name -> API token: operator, viewer, stager (contributor on staging), producer (admin on production only),
    /// manager (admin of the project), stranger.
    let tokens: [String: Secret]
    let users: [String: User]

    init() throws {
        folder = NSTemporaryDirectory() + "holdfast-server-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        catalogue = try Catalogue(path: folder + "/catalogue.sqlite", time: time)
        operations = RecordingOperations(catalogue: catalogue, time: time)
        project = Project(
            id: .random(), title: "Ledger", defaultBranch: "main", region: "local", timeZone: "UTC",
            createdAt: time.now())
        try catalogue.createProject(project)
        main = try Self.environment("main", .production, .active, in: project, catalogue)
        stage = try Self.environment("stage", .staging, .active, in: project, catalogue)
        feature = try Self.environment("feature/x", .development, .inactive, in: project, catalogue)
        let boot = try #require(try catalogue.bootstrap())
        var tokens = ["operator": boot.token]
        var users = ["operator": boot.user]
        let roles = [
            "viewer": ["viewer"], "stager": ["staging:contributor"], "producer": ["production:admin"],
            "manager": ["admin"], "stranger": nil,
        ]
        for (name, permissions) in roles {
            let user = User(
                id: .random(), username: name, email: "\(name)@example.org", displayName: "The \(name)",
                isOperator: false, createdAt: time.now())
            try catalogue.createUser(user)
            if let permissions {
                _ = try catalogue.grant(Permissions(strings: permissions), to: user.id, in: project.id)
            }
            tokens[name] = try catalogue.createToken(named: "t", for: user.id, scope: nil).secret
            users[name] = user
        }
        self.tokens = tokens
        self.users = users
    }

    deinit {
        try? catalogue.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    private static func environment(
        _ name: String, _ type: EnvironmentType, _ status: EnvironmentStatus, in project: Project,
        _ catalogue: Catalogue
    ) throws -> Environment {
        var environment = Environment(
            id: .random(), project: project.id, name: name, type: type, status: status, createdAt: project.createdAt)
        environment.headCommit = String(repeating: "c", count: 40)
        try catalogue.createEnvironment(environment)
        return environment
    }

    /// The path of something in the project.
    func path(_ rest: String) -> String { "/projects/\(project.id)\(rest)" }

    func addBackup(of environment: Environment) throws -> Backup {
        time.advance(1)
        let digits = UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        let backup = Backup(
            id: .random(), environment: environment, safe: false, automated: false,
            commit: String(repeating: "a", count: 40), deployment: "d", snapshot: digits + digits, sizes: (10, 5),
            sites: [SitePlacement(site: "one", isComplete: true)], evidence: (nil, nil), createdAt: time.now(),
            updatedAt: time.now())
        try catalogue.insertBackup(backup)
        return backup
    }

    @discardableResult
    func queue(_ type: ActivityType, on environment: Environment) throws -> Activity {
        time.advance(1)
        let activity = Activity(
            id: .random(), project: project.id, environment: environment.id, type: type, user: users["manager"]?.id,
            text: "The manager did it", createdAt: time.now())
        try catalogue.createActivity(activity)
        return activity
    }
}
