import Foundation
import HoldfastControl
import HoldfastModel
import Logging
import Synchronization

/// Owns the processes of one environment: services, apps, workers, crons.
///
/// It starts them in order, keeps them alive, follows `current.json` when asked to, and makes apps, workers and crons
/// stand still for the length of a lease. Its processes outlive it: the next supervisor adopts them by number and
/// start time. Everything runs on threads; see `SupervisorSession` for what it is asked.
package final class Supervisor: Sendable {
    /// The state that was applied last.
    struct Applied: Sendable {
        var current: CurrentState
        var configuration: EnvironmentConfiguration
    }

    struct State {
        var processes: [String: ManagedProcess] = [:]
        /// Directory of a service -> how it is reached, once it was ready.
        var endpoints: [String: ServiceEndpoint] = [:]
        var applied: Applied?
        /// What replaces processes right now; only one thing does.
        var operation: String?
        /// What an earlier supervisor left running is known; nothing is answered before.
        var isAdopted = false
        var isStopping = false
        var isFinished = false
        var problem: String?
        /// Until somebody asks for an apply of their own.
        var isFirstApplyWanted = true
        /// Workers that say they stand between two units of work, by key.
        var quiesced: Set<String> = []
        var notifiers: [String: NotifySocket] = [:]
    }

    let layout: EnvironmentLayout
    let parts: SupervisorParts
    let options: SupervisorOptions
    let ports: PortRegistry
    let logger: Logger
    let tree: CgroupTree?
    let freeze: FreezeController
    let state: Monitor<State>
    private let processes: ProcessFile
    private let server = Mutex<ControlServer?>(nil)

    package init(layout: EnvironmentLayout, parts: SupervisorParts, options: SupervisorOptions, logger: Logger) throws {
        let state = Monitor(State())
        let tree = CgroupTree.make(environment: layout.environment, allowed: options.freezeMethods)
        self.layout = layout
        self.parts = parts
        self.options = options
        self.logger = logger
        self.tree = tree
        self.state = state
        ports = try PortRegistry(file: layout.portsFile)
        processes = ProcessFile(path: layout.processesFile)
        freeze = FreezeController(
            tree: tree,
            leaders: {
                state.read { state in
                    state.processes.values.filter { $0.kind != .service }.compactMap(\.handle)
                }
            }, time: parts.time, logger: logger)
    }

    /// With a logger of its own.
    package convenience init(layout: EnvironmentLayout, parts: SupervisorParts, options: SupervisorOptions) throws {
        try self.init(layout: layout, parts: parts, options: options, logger: Logger(label: "holdfast.supervise"))
    }

    /// Adopts what runs, listens, follows `current.json`, and returns when it was asked to stop or `leave` was called.
    ///
    /// - Throws: `conflict` if the environment has a supervisor already.
    package func run() throws {
        try layout.create()
        let server = ControlServer(path: layout.socket) { [self] in SupervisorSession(self) }
        // The socket is the lock: who listens on it is the supervisor, and only that one touches processes.
        try server.start()
        self.server.withLock { $0 = server }
        defer { server.stop() }
        try freeze.start()
        defer { freeze.shutDown() }
        adopt()
        state.withLock { $0.isAdopted = true }
        keepLogs()
        startThread("first apply") { [self] in
            do {
                try applyFirst()
            } catch let error as HoldfastError where error.code == .cancelled {
                logger.notice("the start gave way to a request")
            } catch {
                logger.error("the environment did not start as a whole", metadata: ["error": "\(error)"])
            }
        }
        logger.notice("supervising", metadata: ["freeze": "\(freeze.method.rawValue)", "pid": "\(getpid())"])
        state.wait { state in state.isFinished ? .done(()) : .sleep(until: nil) }
        save()
        // The answer to `stop` is on its way.
        for _ in 0..<50 where server.connectionCount > 0 { usleep(10_000) }
        logger.notice("ended")
    }

    /// Ends the supervisor and leaves its processes running, thawed, for the next one.
    package func leave() { state.withLock { $0.isFinished = true } }

    // MARK: What all parts use

    var surroundings: ProcessSurroundings {
        ProcessSurroundings(
            environment: layout.environment, tree: tree, freeze: freeze, time: parts.time, logger: logger,
            backoff: options.backoff, changed: { [weak self] in self?.save() })
    }

    /// Runs what replaces processes; only one such thing at a time.
    func exclusively<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
        let deadline = Deadline(after: options.exclusionTimeout, time: parts.time)
        let mayRun = try state.wait(until: deadline) { state -> Bool? in
            if state.isStopping { throw Self.stopping }
            guard state.operation == nil else { return nil }
            state.operation = name
            return true
        }
        guard mayRun != nil else {
            throw HoldfastError(
                .locked, "environment \(layout.environment) is busy: \(state.read { $0.operation ?? "" })",
                hint: "Try again when that has ended")
        }
        defer { state.withLock { $0.operation = nil } }
        return try body()
    }

    func process(_ key: String) -> ManagedProcess? { state.read { $0.processes[key] } }

    /// Makes the record of a process that is about to be started; one of that name that has ended is replaced.
    func register(_ record: ProcessRecord) -> ManagedProcess {
        let process = ManagedProcess(record, surroundings)
        state.withLock { $0.processes[record.key] = process }
        return process
    }

    func forget(_ process: ManagedProcess) {
        state.withLock { state in
            if state.processes[process.key] === process { state.processes[process.key] = nil }
            state.notifiers.removeValue(forKey: process.key)?.close()
            state.quiesced.remove(process.key)
        }
        save()
    }

    func waitUntilAdopted() { state.wait { state in state.isAdopted ? .done(()) : .sleep(until: nil) } }

    func checkNotStopping() throws { if state.read({ $0.isStopping }) { throw Self.stopping } }

    /// The first apply is patient with what does not come up; it must not keep a new deployment from its turn.
    func checkFirstApplyWanted() throws {
        guard state.read({ $0.isFirstApplyWanted }) else {
            throw HoldfastError(.cancelled, "the environment's start gave way to another request")
        }
    }

    static var stopping: HoldfastError { HoldfastError(.cancelled, "the supervisor is being stopped") }

    /// Writes down what runs, for the next supervisor.
    func save() {
        do {
            try processes.write {
                state.read { Array($0.processes.values) }.compactMap { process in
                    process.handle.map { ProcessFile.Entry(record: process.record, handle: $0) }
                }
            }
        } catch {
            logger.error("cannot write down what runs", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Adoption

    /// Takes over what an earlier supervisor started, thaws it, and ends what nobody remembers.
    private func adopt() {
        // A guard should have done it; if it was killed too, this does.
        try? tree?.thaw()
        let entries = processes.read().filter { $0.handle.isAlive }
        for entry in entries {
            let process = register(entry.record)
            if let tree { place(entry, tree) }
            // Services are never in the frozen set: a backup stops them itself, and its guard may be dead as well.
            if tree == nil || !entry.record.isFrozenSet { ServiceFreeze.thaw(entry.handle) }
            listen(for: entry.record)
            process.adopt(entry.handle)
        }
        if !entries.isEmpty {
            logger.notice("adopted processes", metadata: ["keys": "\(entries.map(\.record.key).sorted())"])
        }
        endStrangers(known: entries)
        resumeQuiesced(entries)
        save()
    }

    /// Who was started under another freeze method is not in the cgroups of this one yet.
    private func place(_ entry: ProcessFile.Entry, _ tree: CgroupTree) {
        guard let leaf = try? tree.leaf(entry.record.key, isFrozenSet: entry.record.isFrozenSet) else { return }
        let members = Set(CgroupTree.members(leaf))
        for member in ProcessTable.tree(of: entry.handle, in: ProcessTable.all()) where !members.contains(member.pid) {
            _ = CgroupTree.write("\(member.pid)", to: leaf + "/cgroup.procs")
            member.handle.signal(SIGCONT)
        }
    }

    /// Processes that were started, and whose supervisor died before it could write that down.
    ///
    /// What a known process has started, and has a session of its own, belongs to it, also if its parent is gone:
    /// RabbitMQ does not live without such helpers.
    private func endStrangers(known entries: [ProcessFile.Entry]) {
        let keys = Set(entries.map(\.record.key))
        let table = ProcessTable.all()
        // Started by an earlier version, they do not say whose they are.
        let families = Set(entries.flatMap { ProcessTable.tree(of: $0.handle, in: table) }.map(\.pid))
        for (handle, key) in ProcessFile.marked(layout.environment) {
            if families.contains(handle.pid) || key.map(keys.contains) == true { continue }
            logger.notice("ending a process that nobody remembers", metadata: ["pid": "\(handle.pid)"])
            handle.killSession()
        }
        guard let tree else { return }
        let leaves = Set(entries.compactMap { try? tree.leaf($0.record.key, isFrozenSet: $0.record.isFrozenSet) })
        for leaf in tree.strangers(known: leaves) { CgroupTree.killAll(leaf) }
    }

    // MARK: Status

    func status() -> SupervisorStatus {
        // What answers here must never wait for an operation: serve asks while services recover.
        let snapshot = state.read { state in
            (
                processes: Array(state.processes.values), endpoints: state.endpoints, applied: state.applied,
                operation: state.operation, isStopping: state.isStopping, problem: state.problem
            )
        }
        var apps: [String: Int] = [:]
        for (key, port) in ports.all where key.hasPrefix("app:") { apps[String(key.dropFirst(4))] = port }
        let phase: SupervisorStatus.Phase =
            snapshot.isStopping
            ? .stopping
            : snapshot.operation == "apply" ? .applying : snapshot.processes.isEmpty ? .idle : .running
        return SupervisorStatus(
            environment: layout.environment, pid: getpid(), version: Control.version, phase: phase,
            generation: snapshot.applied?.current.generation, isHeld: freeze.isOpen, isFrozen: freeze.isFrozen,
            freezeMethod: freeze.method, user: options.user,
            processes: snapshot.processes.map(\.description).sorted { $0.key < $1.key },
            services: snapshot.processes.compactMap { process in
                let record = process.record
                guard let service = record.service, let port = record.port else { return nil }
                return SupervisedService(
                    name: record.name, record: service, port: port, isAside: record.isAside,
                    isReady: snapshot.endpoints[service.directory] != nil && process.phase == .running,
                    configuration: record.configuration ?? .map([:]))
            }.sorted { $0.record.directory < $1.record.directory },
            ports: apps, problem: snapshot.problem)
    }
}
