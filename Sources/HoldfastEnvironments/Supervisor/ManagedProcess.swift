import Foundation
import HoldfastControl
import HoldfastModel
import Logging

/// What is remembered of a process beyond the supervisor's life: `processes.json`.
package struct ProcessRecord: Codable, Sendable, Hashable {
    package var key: String
    package var kind: SupervisedProcess.Kind
    package var app: String?
    package var name: String
    /// What it was started with; another one means another process.
    package var fingerprint: String
    package var port: Int?
    /// Services: the data, such as `services/db/2`, and its type.
    var service: ServiceRecord?
    var configuration: ConfigurationValue?
    /// Services and apps: whether it runs beside the live one.
    package var isAside = false
    /// Workers with a quiesce signal: where they say that they stand still.
    var notifySocket: String?

    package init(
        key: String, kind: SupervisedProcess.Kind, app: String? = nil, name: String, fingerprint: String,
        port: Int? = nil
    ) {
        self.key = key
        self.kind = kind
        self.app = app
        self.name = name
        self.fingerprint = fingerprint
        self.port = port
    }

    var isFrozenSet: Bool { kind != .service }
    /// `web ledger`, `worker ledger.tally`, `service db`.
    var title: String { app.map { kind == .web ? "app \($0)" : "\(kind.rawValue) \($0).\(name)" } ?? "service \(name)" }
}

/// What a managed process needs of its supervisor.
struct ProcessSurroundings: Sendable {
    let environment: EnvironmentID
    let tree: CgroupTree?
    let freeze: FreezeController
    let time: any TimeSource
    let logger: Logger
    let backoff: Backoff.Limits
    /// Called after each change, from any thread, without locks.
    let changed: @Sendable () -> Void

    /// Variables of every process, by which those are found again that no file remembers.
    static let environmentMarker = "HOLDFAST_SUPERVISED"
    static let processMarker = "HOLDFAST_PROCESS"
}

/// One process that is to run until it is stopped: started, watched, started again with growing pauses, ended.
final class ManagedProcess: Sendable {
    typealias Starter = @Sendable () throws -> ProcessSpecification

    private struct State {
        var record: ProcessRecord
        var phase = SupervisedProcess.Phase.starting
        var handle: ProcessHandle?
        var starter: Starter?
        /// Whether it is started again when it ends by itself.
        var keepsAlive = false
        var stopRequested = false
        var restarts = 0
        var startedAt: UInt64 = 0
        var lastExit: ProcessStatus?
        var backoff: Backoff
    }

    let key: String
    let kind: SupervisedProcess.Kind
    private let surroundings: ProcessSurroundings
    private let state: Monitor<State>

    init(_ record: ProcessRecord, _ surroundings: ProcessSurroundings) {
        key = record.key
        kind = record.kind
        self.surroundings = surroundings
        state = Monitor(State(record: record, backoff: Backoff(surroundings.backoff)))
    }

    var record: ProcessRecord { state.read { $0.record } }
    var handle: ProcessHandle? { state.read { $0.handle } }
    var phase: SupervisedProcess.Phase { state.read { $0.phase } }
    var hasEnded: Bool { phase == .ended }
    var lastExit: ProcessStatus? { state.read { $0.lastExit } }
    /// Since it was started, or taken over from another supervisor; nil if it does not run.
    var age: Duration? {
        let started = state.read { $0.startedAt }
        guard started > 0 else { return nil }
        return .nanoseconds(Int64(clamping: surroundings.time.monotonicNanoseconds() - started))
    }
    var howItEnded: String { lastExit?.description ?? "it could not be started" }

    var description: SupervisedProcess {
        state.read { state in
            SupervisedProcess(
                key: key, kind: kind, app: state.record.app, name: state.record.name, phase: state.phase,
                pid: state.handle?.pid, restarts: state.restarts, port: state.record.port,
                isAside: state.record.isAside, lastExit: state.lastExit?.description)
        }
    }

    /// Starts it for the first time.
    ///
    /// - Parameter keepsAlive: whether it is started again when it ends by itself, from the first time on.
    func start(keepsAlive: Bool, _ starter: @escaping Starter) throws {
        state.withLock { state in
            state.starter = starter
            state.keepsAlive = keepsAlive
        }
        do {
            let handle = try spawn(starter)
            watch(handle)
        } catch {
            guard keepsAlive else {
                state.withLock { $0.phase = .ended }
                surroundings.changed()
                throw error
            }
            surroundings.logger.error("a process cannot be started", metadata: about(error))
            watch(nil)
        }
    }

    /// Takes over a process that another supervisor started.
    func adopt(_ handle: ProcessHandle) {
        state.withLock { state in
            state.handle = handle
            state.phase = .running
            state.startedAt = surroundings.time.monotonicNanoseconds()
        }
        watch(handle)
    }

    /// Says how it is started again, and that it is to be.
    func keepAlive(_ starter: Starter? = nil) {
        state.withLock { state in
            if let starter { state.starter = starter }
            state.keepsAlive = true
        }
    }

    func setAside(_ isAside: Bool) {
        state.withLock { $0.record.isAside = isAside }
        surroundings.changed()
    }

    /// Waits until it has ended for good; nil if the deadline passed before.
    func waitUntilEnded(_ deadline: Deadline?) -> ProcessStatus? {
        state.wait(until: deadline) { state in state.phase == .ended ? (state.lastExit ?? .unknown) : nil }
    }

    /// Stops it and all it started: a signal, some time, SIGKILL.
    func stop(signal: Int32 = SIGTERM, toAll: Bool = false, timeout: Duration) {
        let handle = state.withLock { state -> ProcessHandle? in
            state.stopRequested = true
            guard state.phase != .ended else { return nil }
            state.phase = .stopping
            return state.handle
        }
        surroundings.changed()
        if let handle {
            // A service tells its own children; the shell around an app's command does not.
            if kind == .service, !toAll { handle.signal(signal) } else { handle.signalSession(signal) }
        }
        if waitUntilEnded(Deadline(after: timeout, time: surroundings.time)) != nil { return }
        surroundings.logger.notice("a process did not stop in time and is killed", metadata: about(nil))
        if let handle = self.handle { killAll(handle) }
        _ = waitUntilEnded(Deadline(after: .seconds(10), time: surroundings.time))
    }

    // MARK: Watching

    private func watch(_ first: ProcessHandle?) {
        startThread("watch \(key)") { [self] in
            var current = first
            while true {
                if let handle = current { finish(handle) }
                guard let pause = pauseBeforeRestart() else { return }
                let stopped = state.wait(until: Deadline(after: pause, time: surroundings.time)) { state in
                    state.stopRequested ? true : nil
                }
                guard stopped == nil, let starter = state.read({ $0.starter }) else { continue }
                do {
                    current = try spawn(starter)
                    state.withLock { $0.restarts += 1 }
                } catch {
                    surroundings.logger.error("a process cannot be started again", metadata: about(error))
                    current = nil
                }
                surroundings.changed()
            }
        }
    }

    /// Waits for the end of a process, and ends what it leaves behind.
    private func finish(_ handle: ProcessHandle) {
        let status = handle.wait(timeout: nil, reap: false) ?? .unknown
        killAll(handle)
        _ = handle.childStatus(reap: true)
        state.withLock { state in
            state.handle = nil
            state.lastExit = status
        }
    }

    /// nil if it is not to run any more.
    private func pauseBeforeRestart() -> Duration? {
        let pause = state.withLock { state -> Duration? in
            guard !state.stopRequested, state.keepsAlive, state.starter != nil else {
                state.phase = .ended
                return nil
            }
            state.phase = .backingOff
            let ran = state.startedAt == 0 ? 0 : surroundings.time.monotonicNanoseconds() - state.startedAt
            state.startedAt = 0
            return state.backoff.pause(after: ran / 1_000_000)
        }
        if let pause {
            var metadata = about(nil)
            metadata["status"] = "\(lastExit?.description ?? "not started")"
            metadata["pause"] = "\(pause)"
            surroundings.logger.warning("a process ended and is started again", metadata: metadata)
        }
        surroundings.changed()
        return pause
    }

    private func spawn(_ starter: Starter) throws -> ProcessHandle {
        var specification = try starter()
        specification.environment[ProcessSurroundings.environmentMarker] = surroundings.environment.rawValue
        specification.environment[ProcessSurroundings.processMarker] = key
        let isFrozenSet = record.isFrozenSet
        if let tree = surroundings.tree {
            specification.cgroups.append(try tree.leaf(key, isFrozenSet: isFrozenSet))
        }
        let ready = specification
        let handle =
            isFrozenSet
            ? try surroundings.freeze.whileStarting { try DetachedProcess.spawn(ready) }
            : try DetachedProcess.spawn(ready)
        let isTooLate = state.withLock { state -> Bool in
            state.handle = handle
            state.startedAt = surroundings.time.monotonicNanoseconds()
            if !state.stopRequested { state.phase = .running }
            return state.stopRequested
        }
        // Asked to stop while it was being started: nobody has signalled this one yet.
        if isTooLate { killAll(handle) }
        surroundings.changed()
        return handle
    }

    private func killAll(_ handle: ProcessHandle) {
        handle.killSession()
        if let tree = surroundings.tree, let leaf = try? tree.leaf(key, isFrozenSet: record.isFrozenSet) {
            CgroupTree.killAll(leaf)
        }
    }

    private func about(_ error: (any Error)?) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["process": "\(key)"]
        if let error { metadata["error"] = "\(error)" }
        return metadata
    }
}
