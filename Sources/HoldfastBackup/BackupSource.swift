import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Synchronization

/// What there is to back up in one environment now.
struct BackupSource: Sendable {
    struct Mount: Sendable {
        let app: String
        /// As in the configuration, without a leading slash.
        let path: String
        let source: String
        let directory: String
        let treePath: String
    }

    let environment: Environment
    let layout: EnvironmentLayout
    let current: CurrentState
    /// Every mount that is backed up. Mounts of several apps may share a directory, and then a `treePath`.
    let mounts: [Mount]
    let services: [String: ServiceInstance]

    /// - Parameter patience: for services that are just starting, or whose supervisor is, as after a crash of either.
    /// - Throws: `conflict` if the environment is not active or nothing is deployed in it, `unavailable` if a service
    ///   does not run.
    init(environment: Environment, house: House, patience: Duration = .seconds(20)) throws {
        guard environment.status == .active else {
            throw HoldfastError(
                .conflict, "environment \(environment.name) is \(environment.status.rawValue), not active",
                hint: environment.status.wayToActive)
        }
        let layout = house.layout(environment.id)
        guard let current = try layout.readCurrent() else {
            throw HoldfastError(
                .conflict, "nothing is deployed in environment \(environment.name)",
                hint: "Push a commit to its branch first")
        }
        self.environment = environment
        self.layout = layout
        self.current = current
        let configuration = try EnvironmentConfiguration.parse(
            current.deployment.configuration, file: ".upsun/config.yaml")
        mounts = try Self.mounts(current, configuration, layout)
        services = try Self.services(environment.id, (layout, current), house, patience)
    }

    /// One mount for each directory.
    var distinctMounts: [Mount] {
        var seen = Set<String>()
        return mounts.filter { seen.insert($0.treePath).inserted }
    }

    /// App name -> absolute directory of its built code.
    var appDirectories: [(String, String)] {
        current.apps.sorted { $0.key < $1.key }.compactMap { app, directory in
            (try? layout.absolute(directory)).map { (app, $0) }
        }
    }

    /// A built app without its mounts, which are links made at each start.
    func appFilter(_ app: String) -> CaptureFilter {
        let links = Set((current.mounts[app] ?? [:]).keys)
        return CaptureFilter(excludes: { links.contains($0) })
    }

    private static func services(
        _ environment: EnvironmentID, _ live: (layout: EnvironmentLayout, current: CurrentState), _ house: House,
        _ patience: Duration
    ) throws -> [String: ServiceInstance] {
        let client = try house.supervisors.client(environment)
        let deadline = house.time.monotonicNanoseconds() + patience.nanoseconds
        while true {
            do {
                return try client.status().instances(layout: live.layout, current: live.current)
            } catch let error as HoldfastError where error.code == .unavailable {
                guard house.time.monotonicNanoseconds() < deadline else { throw error }
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
    }

    private static func mounts(
        _ current: CurrentState, _ configuration: EnvironmentConfiguration, _ layout: EnvironmentLayout
    ) throws -> [Mount] {
        try configuration.mountPlacements().compactMap { placement in
            guard placement.mount.isBackedUp, let directory = current.mounts[placement.app]?[placement.path] else {
                return nil
            }
            return Mount(
                app: placement.app, path: placement.path, source: placement.mount.source.rawValue,
                directory: try layout.absolute(directory), treePath: "/\(placement.directoryPrefix)")
        }
    }
}

/// A folder for what must be copied in the hold; on the environment's own file system, so that reflinks work.
struct Staging: Sendable {
    /// Absolute path of the folder; it is there until `remove`.
    let root: String

    init(in directory: String, named name: String) throws {
        root = "\(directory)/\(name)"
        try FileManager.default.createDirectory(
            atPath: root, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    func directory(for mount: BackupSource.Mount) -> String {
        "\(root)/mount-\(MountPath.component(for: mount.treePath))"
    }

    /// Made when asked for: services write into it.
    func directory(forService name: String) throws -> String {
        let directory = "\(root)/service-\(name)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        return directory
    }

    func remove() { try? FileManager.default.removeItem(atPath: root) }
}

/// The open backup sessions of all services of an environment.
final class ServiceSessions: Sendable {
    private struct Entry: Sendable {
        let name: String
        let session: any ServiceBackupSession
    }
    private let entries: [Entry]
    private struct Marks {
        var taken: [String: [String: String]] = [:]
        var wasTried = false
    }
    private let state = Mutex(Marks())
    let versions: [String: String]

    init(source: BackupSource, label: String, log: (String) -> Void) throws {
        var entries: [Entry] = []
        var versions: [String: String] = [:]
        do {
            for (name, instance) in source.services.sorted(by: { $0.key < $1.key }) {
                let adapter = try ServiceAdapters.adapter(for: instance.type)
                versions[name] = try adapter.serverVersion(instance)
                let found = try adapter.preflight(instance)
                for line in found.openTransactions.map(\.description) + found.notices {
                    log("Service \(name): \(line)")
                }
                entries.append(Entry(name: name, session: try adapter.beginBackup(instance, label: label)))
            }
        } catch {
            for entry in entries { entry.session.close() }
            throw error
        }
        self.entries = entries
        self.versions = versions
    }

    var all: [(String, any ServiceBackupSession)] { entries.map { ($0.name, $0.session) } }
    /// The marks taken so far, by service.
    var marks: [String: [String: String]] { state.withLock { $0.taken } }
    /// No mark was tried yet: a session can be marked once, and is of no use after a mark that failed.
    var isFresh: Bool { state.withLock { !$0.wasTried } }

    /// What the marks would copy aside if they were taken now.
    func stagingNeeds() -> [StagingNeed] { entries.compactMap { $0.session.stagingNeed() } }

    /// - Parameter end: nanoseconds of the monotonic clock by which the service has to go on.
    func mark(_ name: String, until end: UInt64?) throws {
        guard let entry = entries.first(where: { $0.name == name }) else { return }
        state.withLock { $0.wasTried = true }
        let mark = try entry.session.mark(until: end)
        state.withLock { $0.taken[name] = mark }
    }

    /// Ends all at the same time: one may have to wait for its server.
    func close() {
        let work = entries.map { entry -> @Sendable () throws -> Void in { entry.session.close() } }
        _ = try? inParallel(work)
    }
}
