import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// The new data beside the old: filled from the repository, its services started and checked, nothing live touched.
struct RestoreAside {
    let plan: RestorePlan
    let layout: EnvironmentLayout
    let environment: Environment
    let house: House
    let context: ActivityContext
    private var apps: [String: String] = [:]
    private var services: [String: ServiceRecord] = [:]
    private var mounts: [String: [String: String]] = [:]

    init(
        plan: RestorePlan, layout: EnvironmentLayout, environment: Environment, house: House, context: ActivityContext
    ) {
        self.plan = plan
        self.layout = layout
        self.environment = environment
        self.house = house
        self.context = context
    }

    /// Writes everything into new directories, each of its own number.
    mutating func fill(from repository: Repository, snapshot: SnapshotID) throws {
        let user = try house.user(of: environment.id)
        for (name, fate) in plan.services.sorted(by: { $0.key < $1.key }) {
            guard case .restore(let service) = fate else { continue }
            let directory = try layout.nextDirectory("services/\(name)")
            services[name] = ServiceRecord(type: service.type, directory: directory)
            try restore(
                repository, snapshot, "\(service.path)/data", "\(directory)/data", user, name: "service \(name)")
        }
        context.progress(30)
        var filled: [String: String] = [:]
        for (app, paths) in plan.mounts.sorted(by: { $0.key < $1.key }) {
            for (path, mount) in paths.sorted(by: { $0.key < $1.key }) {
                // Apps that share a mount share its directory.
                let known = filled[mount.path]
                let directory = try known ?? layout.nextDirectory(String(mount.path.dropFirst()))
                filled[mount.path] = directory
                mounts[app, default: [:]][path] = directory
                guard known == nil else { continue }
                try restore(repository, snapshot, mount.path, directory, user, name: "mount \(app)/\(path)")
            }
        }
        context.progress(50)
        guard plan.restoreCode else { return }
        for (app, treePath) in plan.manifest.apps.sorted(by: { $0.key < $1.key }) {
            let directory = try layout.nextDirectory("apps/\(app)")
            apps[app] = directory
            try restore(repository, snapshot, treePath, directory, user, name: "app \(app)")
        }
    }

    /// Starts the restored services beside the live ones and lets each prove that it stands at its mark.
    func startServices() throws {
        let client = try house.supervisors.client(environment.id)
        let configuration = try EnvironmentConfiguration.parse(
            plan.manifest.deployment.configuration, file: ".upsun/config.yaml")
        for (name, record) in services.sorted(by: { $0.key < $1.key }) {
            guard let manifest = plan.manifest.services[name] else { continue }
            let service = configuration.services[name]
            let lines = try client.startAside(
                service: name, record: record, configuration: service, manifest: manifest)
            for line in lines { context.log("Service \(name): \(line)") }
        }
    }

    /// The state that the switch makes current.
    func newState(after old: CurrentState, by activity: ActivityID) -> CurrentState {
        var state = old
        state.generation = old.generation + 1
        state.switchedBy = activity
        if plan.restoreCode {
            state.deployment = plan.manifest.deployment
            state.deployment.restoredFrom = plan.manifest.backup
            state.apps = apps
            state.services = [:]
            state.mounts = [:]
        }
        for (name, record) in services { state.services[name] = record }
        for (app, paths) in mounts {
            for (path, directory) in paths { state.mounts[app, default: [:]][path] = directory }
        }
        return state
    }

    /// Throws the new data away; the live data is not touched.
    func discard() {
        // A state that could not be put back is live, with all it names.
        let live = Set(((try? layout.readCurrent())?.services ?? [:]).values.map(\.directory))
        if let client = try? house.supervisors.client(environment.id) {
            for (name, record) in services where !live.contains(record.directory) {
                try? client.stopAside(service: name, record: record)
            }
        }
        layout.discardAside()
    }

    private func restore(
        _ repository: Repository, _ snapshot: SnapshotID, _ treePath: String, _ directory: String, _ user: ProcessUser,
        name: String
    ) throws {
        let absolute = try layout.absolute(directory)
        let parent = (absolute as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(
            atPath: parent, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let report = try repository.restore(
            TreePath(snapshot, path: treePath), to: absolute,
            options: RestoreOptions(owner: FileOwner(user: user.uid, group: user.gid)))
        guard report.isComplete else {
            throw HoldfastError(
                .damaged,
                "\(name): \(report.problems.count) entries cannot be restored, the first: \(report.problems[0])",
                hint: "Run a check of the repository; the environment is untouched")
        }
        context.log("Restored \(name) aside: \(report.files) files, \(ByteCount(report.bytes))")
    }
}
