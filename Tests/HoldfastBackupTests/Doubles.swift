import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastRetention
import Synchronization

/// What happened, in order, in all doubles of one test.
final class Trace: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
    func count(_ line: String) -> Int { all.filter { $0 == line }.count }
}

/// A clock that only moves when told to.
final class ManualTime: TimeSource {
    private let nanoseconds = Mutex<UInt64>(1_000_000_000)
    func now() -> Date { Date(timeIntervalSince1970: 1_800_000_000 + Double(monotonicNanoseconds()) / 1e9) }
    func monotonicNanoseconds() -> UInt64 { nanoseconds.withLock { $0 } }
    func advance(milliseconds: UInt64) { nanoseconds.withLock { $0 += milliseconds * 1_000_000 } }
}

/// A gate that does what it is told and writes down what it is asked.
struct ScriptedGate: RequestGate {
    var trace: Trace
    var drain: DrainOutcome = .drained(atMilliseconds: 3)
    var unbroken = true
    var renewalFails = false
    /// What runs at each look, the last one for ever; each look takes `lookTakes` milliseconds of `time`.
    var looks: [[PassedRequest]] = []
    var time: ManualTime?
    var lookTakes: UInt64 = 500

    func running(_ environment: EnvironmentID) throws -> [PassedRequest] {
        time?.advance(milliseconds: lookTakes)
        trace.add("looked")
        return looks.isEmpty ? [] : looks[min(trace.count("looked"), looks.count) - 1]
    }

    func hold(_ environment: EnvironmentID, lease: Duration, cap: Duration) throws -> any GateHold {
        trace.add("gate closed")
        return Hold(gate: self)
    }

    struct Hold: GateHold {
        let gate: ScriptedGate
        var epoch: UInt64 { 7 }
        func drain(timeout: Duration) throws -> DrainOutcome {
            gate.trace.add("drained")
            return gate.drain
        }
        func renew() throws {
            gate.trace.add("renewed")
            if gate.renewalFails { throw HoldfastError(.unavailable, "the gateway is gone") }
        }
        func release() throws -> GateReport {
            gate.trace.add("gate open")
            var report = GateReport(
                closedAt: Date(timeIntervalSince1970: 1), heldForMilliseconds: 12, requestsHeld: 5,
                longestRequestMilliseconds: 9, requestsRefused: 0, unbroken: gate.unbroken)
            report.requestsLeft = 1
            report.streamsFrozen = 2
            report.streamsIgnored = 3
            return report
        }
        func abandon() { gate.trace.add("abandoned") }
    }
}

struct ScriptedFreezer: ProcessFreezer {
    var trace: Trace
    var late: [String] = []
    var thawFails = false
    var renewalFails = false
    /// Workers do not answer until the hold ends, or time is over.
    var quiesceWaits = false
    /// Called with the instant at which each renewal says that the freeze ends.
    var renewed: @Sendable (UInt64) -> Void = { _ in }

    func beginFreeze(_ environment: EnvironmentID, lease: Duration) throws -> any FreezeLease { Freeze(freezer: self) }

    struct Freeze: FreezeLease {
        let freezer: ScriptedFreezer
        func quiesce(timeout: Duration) throws -> [String] {
            freezer.trace.add("quiesced")
            guard freezer.quiesceWaits else { return freezer.late }
            for _ in 0..<1000 where freezer.trace.count("gate open") == 0 { Thread.sleep(forTimeInterval: 0.01) }
            guard freezer.trace.count("gate open") > 0 else {
                freezer.trace.add("workers waited for")
                return freezer.late
            }
            throw HoldfastError(.unavailable, "the freeze has ended")
        }
        func freeze() throws -> FreezeOutcome {
            freezer.trace.add("frozen")
            return FreezeOutcome(method: "signal", workersFrozenInPlace: ["ledger.mailer"])
        }
        func renew(until: UInt64) throws {
            freezer.trace.add("freeze renewed")
            freezer.renewed(until)
            if freezer.renewalFails { throw HoldfastError(.unavailable, "the supervisor is gone") }
        }
        func thaw() throws {
            freezer.trace.add("thawed")
            if freezer.thawFails { throw HoldfastError(.timedOut, "the freeze lease had run out") }
        }
        func abandon() { freezer.trace.add("freeze ended") }
    }
}

/// The catalogue in memory.
final class MemoryCatalogue: BackupCatalogue {
    private struct State {
        var projects: [ProjectID: Project] = [:]
        var environments: [EnvironmentID: Environment] = [:]
        var activities: [Activity] = []
        var log: [ActivityID: [String]] = [:]
        var backups: [Backup] = []
        var passwords: [ProjectID: [UInt8]] = [:]
    }
    private let state = Mutex(State())
    /// What looking for a backup throws, as a disk does that fails.
    let failure = Mutex<HoldfastError?>(nil)
    /// Called when all that a project's sites are told was read, and before its reader has it.
    let afterBackups = Mutex<(@Sendable () -> Void)?>(nil)

    func add(_ project: Project) { state.withLock { $0.projects[project.id] = project } }
    func log(of activity: ActivityID) -> [String] { state.withLock { $0.log[activity] ?? [] } }
    func activity(_ id: ActivityID) -> Activity? { state.withLock { $0.activities.first { $0.id == id } } }

    func project(_ id: ProjectID) throws -> Project {
        try state.withLock { state in
            guard let project = state.projects[id] else { throw HoldfastError(.notFound, "no project \(id)") }
            return project
        }
    }
    func environment(_ id: EnvironmentID) throws -> Environment {
        try state.withLock { state in
            guard let found = state.environments[id] else { throw HoldfastError(.notFound, "no environment \(id)") }
            return found
        }
    }
    func environments(in project: ProjectID) throws -> [Environment] {
        state.withLock { $0.environments.values.filter { $0.project == project } }
    }
    func allEnvironments() throws -> [Environment] { state.withLock { Array($0.environments.values) } }
    func createEnvironment(_ environment: Environment) throws { try update(environment) }
    func update(_ environment: Environment) throws { state.withLock { $0.environments[environment.id] = environment } }
    func removeEnvironment(_ id: EnvironmentID) throws { state.withLock { $0.environments[id] = nil } }

    func createActivity(_ activity: Activity) throws { state.withLock { $0.activities.append(activity) } }
    func claimActivity(in queue: ActivityQueueName, at date: Date) throws -> Activity? {
        state.withLock { state in
            let busy = Set(state.activities.filter { $0.state == .inProgress }.compactMap(\.environment))
            let next = state.activities.firstIndex { activity in
                activity.state == .pending && activity.type.queue == queue
                    && !(activity.environment.map(busy.contains) ?? false)
            }
            guard let next else { return nil }
            state.activities[next].state = .inProgress
            state.activities[next].startedAt = date
            return state.activities[next]
        }
    }
    func openActivities() throws -> [Activity] { state.withLock { $0.activities.filter(\.state.isOpen) } }
    func appendLog(_ activity: ActivityID, _ message: String, at date: Date) {
        state.withLock { $0.log[activity, default: []].append(message) }
    }
    func setProgress(_ activity: ActivityID, percent: Int, at date: Date) {}
    func finishActivity(_ id: ActivityID, result: ActivityResult, failure: String?, at date: Date) throws {
        state.withLock { state in
            for index in state.activities.indices where state.activities[index].id == id {
                state.activities[index].state = .complete
                state.activities[index].result = result
                state.activities[index].failure = failure
            }
        }
    }

    func insertBackup(_ backup: Backup) throws { state.withLock { $0.backups.insert(backup, at: 0) } }
    func backup(_ id: BackupID) throws -> Backup {
        if let error = failure.withLock({ $0 }) { throw error }
        return try state.withLock { state in
            guard let found = state.backups.first(where: { $0.id == id }) else {
                throw HoldfastError(.notFound, "no backup \(id)")
            }
            return found
        }
    }
    func backups(in project: ProjectID) throws -> [Backup] {
        state.withLock { $0.backups.filter { $0.project == project } }
    }
    func recordedBackups(in project: ProjectID) throws -> [Backup] {
        let backups: [Backup] = try backups(in: project).reversed()
        afterBackups.withLock { $0 }?()
        return backups
    }
    func backups(of environment: EnvironmentID) throws -> [Backup] {
        state.withLock { $0.backups.filter { $0.environment == environment } }
    }
    func updateSites(of id: BackupID, to sites: [SitePlacement], at date: Date) throws {
        state.withLock { state in
            for index in state.backups.indices where state.backups[index].id == id {
                state.backups[index].sites = sites
            }
        }
    }
    var generation: Int { 0 }
    func recordedBackups(of environment: EnvironmentID) throws -> [Backup] { try backups(of: environment).reversed() }
    func claims(of environment: EnvironmentID) throws -> [SlotClaim] {
        try backups(of: environment).flatMap(\.keeping.claims)
    }
    func projectsToPrune(at now: Date, pause: TimeInterval) throws -> [ProjectID] { [] }
    func automatedFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)? { nil }
    func retentionFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)? { nil }
    func requeueActivity(_ id: ActivityID, at date: Date) throws {
        state.withLock { state in
            for index in state.activities.indices where state.activities[index].id == id {
                state.activities[index].state = .pending
            }
        }
    }
    func lastDrill(of environment: EnvironmentID) throws -> Date? { nil }
    func activeSince(_ environment: EnvironmentID) throws -> Date? { nil }
    func lastEnded(_ type: ActivityType, of environment: EnvironmentID?, in project: ProjectID) throws -> Activity? {
        nil
    }
    func deletedBackups(of environment: EnvironmentID?, before date: Date) throws -> [Backup] {
        state.withLock { state in
            state.backups.filter { backup in
                (environment == nil || backup.environment == environment)
                    && backup.keeping.deletedAt.map { $0 <= date } == true
            }
        }
    }
    func deleteBackup(_ id: BackupID, because reason: String, force: Bool, at date: Date) throws {
        state.withLock { state in
            for index in state.backups.indices where state.backups[index].id == id {
                state.backups[index].keeping.deletedAt = date
                state.backups[index].keeping.deletedBecause = reason
            }
        }
    }
    func markDeleting(_ id: BackupID, force: Bool, onlyIfDeletedBy limit: Date?, at date: Date) throws {
        state.withLock { state in
            for index in state.backups.indices where state.backups[index].id == id {
                state.backups[index].status = .deleting
            }
        }
    }
    func removeBackup(_ id: BackupID) throws { state.withLock { $0.backups.removeAll { $0.id == id } } }
    func variables(project: ProjectID, environment: EnvironmentID) throws -> [String: Secret] { [:] }
    func sealedRepositoryPassword(_ project: ProjectID) throws -> [UInt8]? { state.withLock { $0.passwords[project] } }
    func setSealedRepositoryPassword(_ project: ProjectID, _ sealed: [UInt8]) throws {
        state.withLock { $0.passwords[project] = sealed }
    }
}
