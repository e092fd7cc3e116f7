import Foundation
import HoldfastControl
import HoldfastModel
import Logging

extension Supervisor {
    /// Makes what `current.json` says true.
    ///
    /// - Returns: lines for the activity's log.
    func apply(_ options: ApplyOptions) throws -> [String] {
        state.withLock { $0.isFirstApplyWanted = false }
        return try exclusively("apply") {
            guard !freeze.isOpen else {
                throw HoldfastError(
                    .conflict, "the environment's processes are held by a backup", hint: "Try again in a few seconds")
            }
            return try follow(options, isFirst: false)
        }
    }

    /// The apply after the supervisor's own start: nobody waits for the answer, so what does not come up at once is
    /// tried again and again instead of being given up. Not done if somebody asked for another one before.
    func applyFirst() throws {
        try exclusively("apply") {
            guard state.read({ $0.isFirstApplyWanted }), !freeze.isOpen else { return }
            _ = try follow(ApplyOptions(), isFirst: true)
        }
    }

    private func follow(_ options: ApplyOptions, isFirst: Bool) throws -> [String] {
        do {
            var run = ApplyRun(supervisor: self, options: options, isFirst: isFirst)
            try run.perform()
            state.withLock { $0.problem = nil }
            return run.lines
        } catch {
            state.withLock { $0.problem = "\(error)" }
            throw error
        }
    }

    /// Stops everything in good order and lets `run` return.
    func stopAll() throws {
        state.withLock { $0.isStopping = true }
        // What an operation waits for is given up, so it ends soon.
        _ = state.wait(until: Deadline(after: .seconds(30), time: parts.time)) { $0.operation == nil ? true : nil }
        try? freeze.endAny(because: "stop")
        let all = state.read { Array($0.processes.values) }
        try stop(all.map(\.key))
        tree?.remove()
        state.withLock { $0.isFinished = true }
    }

    /// Stops processes: crons first, then workers, apps, services; those of a kind at the same time.
    func stop(_ keys: [String]) throws {
        for kinds in [[SupervisedProcess.Kind.cron, .worker], [.web], [.service]] {
            let group = keys.compactMap { process($0) }.filter { kinds.contains($0.kind) }
            try Concurrently.forEach(group, "stop") { [self] process in
                stop(process)
                forget(process)
            }
        }
    }

    func stop(_ process: ManagedProcess) {
        guard process.kind == .service else { return process.stop(timeout: options.appStop) }
        let record = process.record
        state.withLock { state in
            if let directory = record.service?.directory { state.endpoints[directory] = nil }
        }
        let adapter = record.service.flatMap { try? parts.adapter(TypeReference($0.type)) }
        process.stop(signal: adapter?.stopSignal ?? SIGTERM, timeout: options.serviceStop)
    }
}

/// One run of `apply`.
struct ApplyRun {
    let supervisor: Supervisor
    let options: ApplyOptions
    let isFirst: Bool
    private(set) var lines: [String] = []

    init(supervisor: Supervisor, options: ApplyOptions, isFirst: Bool) {
        self.supervisor = supervisor
        self.options = options
        self.isFirst = isFirst
    }

    mutating func perform() throws {
        waitForStopping()
        guard let current = try supervisor.layout.readCurrent() else {
            try supervisor.stop(supervisor.state.read { Array($0.processes.keys) })
            supervisor.state.withLock { $0.applied = nil }
            return
        }
        let configuration = try supervisor.parts.configuration(current.deployment)
        let ports = supervisor.ports
        let desired = DesiredProcesses(current: current, configuration: configuration) { try ports.port(for: $0) }
        let running = supervisor.state.read { Array($0.processes.values) }
            .map { ApplyPlan.Running(record: $0.record, hasEnded: $0.hasEnded, isFailing: $0.phase != .running) }
        let plan = ApplyPlan(desired: try desired.records(), running: running, keepsAside: isFirst)
        try stopOld(plan)
        try startServices(plan, configuration)
        let applied = Supervisor.Applied(current: current, configuration: configuration)
        supervisor.state.withLock { $0.applied = applied }
        try startApps(plan, applied)
        forgetPorts(current)
        supervisor.save()
    }

    /// An earlier run may have left services that still shut down.
    private func waitForStopping() {
        let stopping = supervisor.state.read { Array($0.processes.values) }.filter { $0.phase == .stopping }
        for process in stopping {
            _ = process.waitUntilEnded(Deadline(after: supervisor.options.serviceStop, time: supervisor.parts.time))
            supervisor.forget(process)
        }
    }

    /// Apps have gone when this returns; services of old data go while the new ones come, because both may run.
    private func stopOld(_ plan: ApplyPlan) throws {
        let services = Set(plan.stop.filter { supervisor.process($0)?.kind == .service })
        try supervisor.stop(plan.stop.filter { !services.contains($0) })
        let restarted = services.filter { key in plan.start.contains { $0.key == key } }
        try supervisor.stop(Array(restarted))
        let rest = services.subtracting(restarted).compactMap { supervisor.process($0) }
        // Signalled before anything else may see them as running.
        for process in rest {
            startThread("stop \(process.key)") { [supervisor] in
                supervisor.stop(process)
                supervisor.forget(process)
            }
            while process.phase != .stopping && process.phase != .ended { usleep(500) }
        }
    }

    private func startServices(_ plan: ApplyPlan, _ configuration: EnvironmentConfiguration) throws {
        let services = (plan.keep + plan.start).filter { $0.kind == .service }
        let started = Set(plan.start.map(\.key))
        let starter = ServiceStarter(supervisor: supervisor, keepsAlive: isFirst, isFirst: isFirst)
        try Concurrently.forEach(services, "start service") { record in
            if started.contains(record.key) {
                try starter.start(record)
            } else {
                try starter.keep(record)
            }
        }
    }

    private mutating func startApps(_ plan: ApplyPlan, _ applied: Supervisor.Applied) throws {
        let apps = try applied.configuration.applications.values.sorted { $0.name < $1.name }
            .map { try AppRuntime(app: $0, applied: applied, supervisor: supervisor) }
        for app in apps {
            try app.makeMounts()
            if options.deployHooks, let hook = app.app.hooks.deploy { try run(hook, "deploy", of: app) }
        }
        let starter = AppStarter(supervisor: supervisor, isFirst: isFirst)
        let runtimes = Dictionary(apps.map { ($0.app.name, $0) }) { first, _ in first }
        for kind in [SupervisedProcess.Kind.web, .worker] {
            try Concurrently.forEach(plan.keep.filter { $0.kind == kind }, "keep") { record in
                if let app = record.app.flatMap({ runtimes[$0] }) { try starter.keep(record, app) }
            }
            try Concurrently.forEach(plan.start.filter { $0.kind == kind }, "start") { record in
                if let app = record.app.flatMap({ runtimes[$0] }) { try starter.start(record, app) }
            }
        }
        guard options.deployHooks else { return }
        for app in apps {
            guard let hook = app.app.hooks.postDeploy else { continue }
            do {
                try run(hook, "post_deploy", of: app)
            } catch {
                // The app runs already: what it is to do after that cannot undo the deployment.
                lines.append("Warning: \(error)")
            }
        }
    }

    private mutating func run(_ hook: String, _ name: String, of app: AppRuntime) throws {
        lines.append("Running the \(name) hook of \(app.app.name)")
        let outcome = try app.run(hook, purpose: .hook, timeout: supervisor.options.hook)
        let printed = outcome.text.split(separator: "\n").map { "  \($0)" }
        lines += printed.suffix(500)
        guard !outcome.isSuccess else { return }
        throw HoldfastError(
            outcome.timedOut ? .timedOut : .invalidInput,
            "the \(name) hook of '\(app.app.name)' "
                + (outcome.timedOut ? "took too long" : "failed (\(outcome.status))")
                + (printed.isEmpty ? "" : ": " + printed.suffix(5).joined(separator: " | ")),
            hint: "Correct hooks.\(name) or what it calls, and push again")
    }

    /// Ports of data directories that are gone may be given to others.
    private func forgetPorts(_ current: CurrentState) {
        var kept = Set(current.services.values.map(\.directory))
        if let previous = try? supervisor.layout.readPrevious() {
            kept.formUnion(previous.services.values.map(\.directory))
        }
        kept.formUnion(supervisor.state.read { $0.processes.values.compactMap { $0.record.service?.directory } })
        try? supervisor.ports.forget { $0.hasPrefix("services/") && !kept.contains($0) }
    }
}
