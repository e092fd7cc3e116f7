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
    ///
    /// - Parameter longest: bounds the time from the signal to SIGKILL of apps, workers and crons.
    func stop(_ keys: [String], longest: Duration? = nil) throws {
        for kinds in [[SupervisedProcess.Kind.cron, .worker], [.web], [.service]] {
            let group = keys.compactMap { process($0) }.filter { kinds.contains($0.kind) }
            try Concurrently.forEach(group, "stop") { [self] process in
                stop(process, longest: longest)
                forget(process)
            }
        }
    }

    /// An earlier switch may have left processes that still shut down.
    func waitForStopping() {
        let stopping = state.read { Array($0.processes.values) }.filter { $0.phase == .stopping }
        for process in stopping {
            _ = process.waitUntilEnded(Deadline(after: options.serviceStop, time: parts.time))
            forget(process)
        }
    }

    func stop(_ process: ManagedProcess, longest: Duration? = nil) {
        guard process.kind == .service else {
            return process.stop(timeout: min(options.appStop, longest ?? options.appStop))
        }
        let record = process.record
        state.withLock { state in
            if let directory = record.service?.directory { state.endpoints[directory] = nil }
        }
        let adapter = record.service.flatMap { try? parts.adapter(TypeReference($0.type)) }
        process.stop(
            signal: adapter?.stopSignal ?? SIGTERM, toAll: adapter?.signalsAll ?? false, timeout: options.serviceStop)
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
        supervisor.waitForStopping()
        guard let current = try supervisor.layout.readCurrent() else {
            try supervisor.stop(supervisor.state.read { Array($0.processes.keys) })
            supervisor.state.withLock { $0.applied = nil }
            return
        }
        let configuration = try supervisor.parts.configuration(current.deployment)
        let plan = try plan(current, configuration)
        let replaced = plan.replaced
        try stopOld(plan, except: replaced)
        try startServices(plan, configuration)
        let applied = Supervisor.Applied(current: current, configuration: configuration)
        supervisor.state.withLock { $0.applied = applied }
        try startApps(plan, applied)
        // Where an app was taken over, the old one and its services can serve until all of the new is there.
        if !replaced.isEmpty { retire(plan.stop.filter { replaced.contains($0) || isOldService($0, plan) }) }
        forgetPorts(current)
        supervisor.save()
    }

    /// What is to be done; the ports of apps that are taken over are theirs from here on.
    private func plan(_ current: CurrentState, _ configuration: EnvironmentConfiguration) throws -> ApplyPlan {
        let ports = supervisor.ports
        let processes = supervisor.state.read { Array($0.processes.values) }
        var desired = DesiredProcesses(current: current, configuration: configuration) { try ports.port(for: $0) }
        desired.running = processes.filter { !$0.hasEnded }.map(\.record)
        let records = try desired.records()
        for record in records where record.kind == .web {
            if let port = record.port { try ports.assign(port, to: "app:\(record.name)") }
        }
        let running = processes.map {
            ApplyPlan.Running(record: $0.record, hasEnded: $0.hasEnded, isFailing: $0.phase != .running)
        }
        return ApplyPlan(desired: records, running: running, keepsAside: isFirst)
    }

    private func isOldService(_ key: String, _ plan: ApplyPlan) -> Bool {
        supervisor.process(key)?.kind == .service && !plan.start.contains { $0.key == key }
    }

    private var ready: Duration? { options.readyMilliseconds.map { .milliseconds($0) } }
    /// Behind a closed gate nobody waits long for what does not want to end.
    private var longestStop: Duration? { ready == nil ? nil : .seconds(3) }

    /// Apps have gone when this returns; services of old data go while the new ones come, because both may run.
    ///
    /// - Parameter replaced: apps that stay for now, and with them the services of the old data.
    private func stopOld(_ plan: ApplyPlan, except replaced: Set<String>) throws {
        let services = Set(plan.stop.filter { supervisor.process($0)?.kind == .service })
        let ended = plan.stop.filter { !services.contains($0) && !replaced.contains($0) }
        try supervisor.stop(ended, longest: longestStop)
        let restarted = services.filter { key in plan.start.contains { $0.key == key } }
        try supervisor.stop(Array(restarted))
        if replaced.isEmpty { retire(Array(services.subtracting(restarted))) }
    }

    /// Ends processes that nobody needs any more, without waiting for their end.
    private func retire(_ keys: [String]) {
        // Signalled before anything else may see them as running.
        for process in keys.compactMap({ supervisor.process($0) }) {
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
        let starter = AppStarter(supervisor: supervisor, isFirst: isFirst, ready: ready)
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
        try? supervisor.ports.forget { $0.hasPrefix("aside:") }
        var kept = Set(current.services.values.map(\.directory))
        // If that cannot be told, a port that somebody needs must not go to another.
        guard let before = try? supervisor.layout.readBefore() else { return }
        kept.formUnion(before.flatMap { $0.services.values.map(\.directory) })
        kept.formUnion(supervisor.state.read { $0.processes.values.compactMap { $0.record.service?.directory } })
        try? supervisor.ports.forget { $0.hasPrefix("services/") && !kept.contains($0) }
    }
}
