import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import HoldfastRetention
import HoldfastScheduler
import HoldfastTestSupport
import Logging
import Synchronization
import Testing

extension Catalogue: RetentionSource, BackupCatalogue {}

/// Lives as long as the machine.
final class MemoryOfClocks: ClockMemory {
    private let clocks = Mutex<ClockGuard?>(nil)
    func load() -> ClockGuard? { clocks.withLock { $0 } }
    func store(_ clocks: ClockGuard) { self.clocks.withLock { $0 = clocks } }
}

private struct NoGate: RequestGate {
    func running(_ environment: EnvironmentID) throws -> [PassedRequest] { [] }
    func hold(_ environment: EnvironmentID, lease: Duration, cap: Duration) throws -> any GateHold {
        throw HoldfastError(.unavailable, "there is no gateway in this test")
    }
}

private struct NoProcesses: Supervisors, ProcessFreezer {
    private var none: HoldfastError { HoldfastError(.unavailable, "there are no processes in this test") }
    func client(_ environment: EnvironmentID) throws -> SupervisorClient { throw none }
    func stop(_ environment: EnvironmentID) throws { throw none }
    func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws {}
    func routedPorts(_ environment: EnvironmentID) throws -> Set<Int> { [] }
    func strangers(of environment: EnvironmentID?) -> [String] { [] }
    func beginFreeze(_ environment: EnvironmentID, lease: Duration) throws -> any FreezeLease { throw none }
}

/// Takes backups of a few random bytes into a real repository; deletes with the real activities.
struct TinyBackups: ActivityPerformer {
    let house: House
    let bytes: Int

    private final class Box: Sendable {
        /// Environments whose backups fail.
        let failing = Mutex<Set<EnvironmentID>>([])
    }
    private let box = Box()

    init(house: House, bytes: Int) {
        self.house = house
        self.bytes = bytes
    }

    func fail(_ environment: Environment, _ fails: Bool) {
        box.failing.withLock { if fails { $0.insert(environment.id) } else { $0.remove(environment.id) } }
    }

    func perform(_ context: ActivityContext) throws {
        let activity = context.activity
        guard activity.type == .backup else { return try HousePerformer(house: house).perform(context) }
        let environment = try house.catalogue.environment(try #require(activity.environment))
        if box.failing.withLock({ $0.contains(environment.id) }) { throw HoldfastError(.unavailable, "it fails") }
        let automated = activity.parameters["automated"] == "true"
        let claims = automated ? try house.dueClaims(of: environment) : []
        if automated, claims.isEmpty { return }
        let id = try #require(activity.parameters["backup"].flatMap { BackupID($0) })
        let repository = try house.repositories.open(
            activity.project, on: house.repositories.sites(of: activity.project))
        let session = try repository.beginBackup(BackupOptions(parent: nil))
        try session.add(bytes: Self.content(of: id, bytes), as: "/data", mode: 0o600)
        let stored = try session.finish(
            SnapshotInfo(
                time: house.time.now(), hostname: "h", tags: ["environment=\(environment.id)", "backup=\(id)"],
                paths: ["/"]))
        var backup = Backup(
            id: id, environment: environment, safe: false, automated: automated,
            commit: String(repeating: "c", count: 40), deployment: "d", snapshot: stored.id.description,
            sizes: (stored.logicalBytes, stored.addedBytes), sites: [SitePlacement(site: "a", isComplete: true)],
            evidence: (nil, nil), createdAt: house.time.now(), updatedAt: house.time.now())
        backup.keeping.claims = claims
        try house.catalogue.insertBackup(backup)
    }

    func recover(_ context: ActivityContext) -> RecoveryOutcome { HousePerformer(house: house).recover(context) }

    /// Bytes that no two backups share.
    static func content(of id: BackupID, _ count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: id.rawValue.utf8.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) })
        return generator.bytes(count)
    }
}

/// An installation without environments' processes: a real catalogue, a real repository, time by hand.
final class Bench: Sendable {
    let folder = NSTemporaryDirectory() + "holdfast-scheduler-\(UInt64.random(in: 0 ... .max))"
    let time: ManualTime
    let catalogue: Catalogue
    let house: House
    let desk: ActivityDesk
    let backups: TinyBackups
    let project: Project
    let main: Environment
    private let current: Mutex<Scheduler>
    private let memory = MemoryOfClocks()
    private let limits: SchedulerLimits
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(
        _ start: String = "2026-01-01T00:00:00Z", bytes: Int = 64, zone: String = "UTC",
        limits: SchedulerLimits = SchedulerLimits(), siteNames: [String] = ["a"]
    ) throws {
        time = ManualTime(start)
        let sites = siteNames.map { [folder] name in
            SiteConfiguration(name: name, region: "r", location: name, path: "\(folder)/\(name)")
        }
        for site in sites {
            try FileManager.default.createDirectory(atPath: site.path, withIntermediateDirectories: true)
        }
        catalogue = try Catalogue(path: "\(folder)/catalogue.sqlite", time: time)
        project = Project(
            id: .random(), title: "P", defaultBranch: "main", region: "r", timeZone: zone, createdAt: time.now())
        try catalogue.createProject(project)
        let processes = NoProcesses()
        var house = House(
            home: folder, run: "\(folder)/run", catalogue: catalogue, gate: NoGate(), runtime: (processes, processes),
            repositories: ProjectRepositories(
                sites: sites, quorum: 1, masterKey: try InstallationKey(text: InstallationKey.makeText()),
                catalogue: catalogue))
        house.time = time
        let clocks = ClockWatch(time: time, memory: memory, logger: Self.quiet)
        house.clocks = clocks
        self.house = house
        self.limits = limits
        try house.repositories.create(project.id)
        desk = ActivityDesk(catalogue: catalogue, time: time, clocks: clocks) {}
        backups = TinyBackups(house: house, bytes: bytes)
        main = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .active, createdAt: time.now())
        try catalogue.createEnvironment(main)
        current = Mutex(
            Scheduler(
                catalogue: catalogue, desk: desk, time: time, grace: house.deletionGrace, clocks: clocks,
                limits: limits, logger: Self.quiet))
    }

    deinit {
        try? catalogue.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    var scheduler: Scheduler { current.withLock { $0 } }

    /// As after a stop of the control plane.
    func restart() {
        current.withLock {
            $0 = Scheduler(
                catalogue: catalogue, desk: desk, time: time, grace: house.deletionGrace,
                clocks: ClockWatch(time: time, memory: memory, logger: Self.quiet), limits: limits,
                logger: Self.quiet)
        }
    }

    func add(_ name: String, _ type: EnvironmentType, _ status: EnvironmentStatus = .active) throws -> Environment {
        let environment = Environment(
            id: .random(), project: project.id, name: name, type: type, status: status, createdAt: time.now())
        try catalogue.createEnvironment(environment)
        return environment
    }

    func set(
        _ schedules: [(String, Int)], manual: Int? = nil, most: Int? = nil, safe: Bool? = nil,
        for type: EnvironmentType = .production
    ) throws {
        try catalogue.updateRetention(of: project.id) { old in
            var settings = old ?? RetentionSettings(changedAt: time.now())
            settings[type].schedule = schedules.map {
                RetentionSettings.Schedule(interval: $0.0, count: $0.1, safe: safe)
            }
            settings[type].manualCount = manual
            settings[type].maxBackups = most
            settings.changedAt = time.now()
            return settings
        }
    }

    /// Performs everything that is queued; how many activities that were.
    @discardableResult
    func work() throws -> [Activity] {
        var done: [Activity] = []
        while let activity = try catalogue.claimActivity(in: .backup, at: time.now()) {
            let context = ActivityContext(activity: activity, catalogue: catalogue, time: time)
            var failure: String?
            do { try backups.perform(context) } catch { failure = "\(error)" }
            try catalogue.finishActivity(
                activity.id, result: failure == nil ? .success : .failure, failure: failure, at: time.now())
            done.append(try catalogue.activity(activity.id))
        }
        return done
    }

    /// One look of the scheduler, then all that it queued.
    @discardableResult
    func look() throws -> [Activity] {
        scheduler.tick()
        return try work()
    }

    /// Goes on until `seconds` are over, with a look every `step` seconds.
    func pass(_ seconds: Int, step: Int) throws {
        for _ in 0..<(seconds / step) {
            time.advance(Double(step))
            try look()
        }
    }

    /// What is listed, the newest first.
    func listed(_ environment: Environment) throws -> [Backup] {
        try catalogue.backups(of: environment.id).filter { $0.status == .created && !$0.keeping.isDeleted }
    }

    func manual(_ environment: Environment) throws -> BackupID {
        let activity = try desk.submit(.backup(environment.id, safe: false), by: nil)
        try work()
        return try #require(activity.parameters["backup"].flatMap { BackupID($0) })
    }

    func repository() throws -> Repository {
        try house.repositories.open(project.id, on: house.repositories.sites(of: project.id))
    }
}
