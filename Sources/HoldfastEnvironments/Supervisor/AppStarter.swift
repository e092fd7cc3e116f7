import Foundation
import HoldfastModel
import Logging

/// An app as it runs in one applied state.
struct AppRuntime: Sendable {
    let app: ApplicationConfiguration
    let applied: Supervisor.Applied
    let supervisor: Supervisor
    /// Relative to the environment's directory.
    let relativeDirectory: String
    let directory: String
    /// App name -> port, for apps that run beside the live ones; nil: those that are live.
    let asidePorts: [String: Int]?

    init(
        app: ApplicationConfiguration, applied: Supervisor.Applied, supervisor: Supervisor,
        asidePorts: [String: Int]? = nil
    ) throws {
        guard let relative = applied.current.apps[app.name] else {
            throw HoldfastError(.notFound, "the current state has no app '\(app.name)'")
        }
        self.app = app
        self.applied = applied
        self.supervisor = supervisor
        self.asidePorts = asidePorts
        relativeDirectory = relative
        directory = try supervisor.layout.absolute(relative)
    }

    func makeMounts() throws {
        try MountLinks(
            layout: supervisor.layout, user: supervisor.options.user, app: app.name, appDirectory: relativeDirectory,
            mounts: applied.current.mounts[app.name] ?? [:]
        ).make()
    }

    func variables(_ purpose: RuntimeVariables.Purpose) throws -> [String: String] {
        let known = supervisor.state.read { $0.endpoints }
        let endpoints = applied.current.services.compactMapValues { known[$0.directory] }
        var ports: [String: Int] = [:]
        for name in applied.configuration.applications.keys {
            ports[name] = asidePorts?[name] ?? supervisor.ports.all["app:\(name)"]
        }
        return try supervisor.parts.variables(
            VariablesRequest(
                configuration: applied.configuration, deployment: applied.current.deployment, endpoints: endpoints,
                applicationPorts: ports, app: app, purpose: purpose, directory: directory))
    }

    func specification(
        _ command: String, _ purpose: RuntimeVariables.Purpose, log: String? = nil
    ) throws -> ProcessSpecification {
        ProcessSpecification.shell(
            command, environment: try variables(purpose), directory: directory, user: supervisor.options.user,
            logFile: log)
    }

    /// Runs a command of the app to its end, among the processes that a freeze stops.
    func run(_ command: String, purpose: RuntimeVariables.Purpose, timeout: Duration) throws -> ProcessOutcome {
        var specification = try specification(command, purpose)
        specification.environment[ProcessSurroundings.environmentMarker] = supervisor.layout.environment.rawValue
        // A leaf of its own: what the command leaves behind is ended, and nothing of another one with it.
        let leaf = try supervisor.tree?.leaf("run:\(app.name).\(UInt64.random(in: 0...UInt64.max))", isFrozenSet: true)
        defer { if let leaf { CgroupTree.killAll(leaf) } }
        if let leaf { specification.cgroups = [leaf] }
        let runner = ProcessRunner(time: supervisor.parts.time, freeze: supervisor.freeze)
        let options = ProcessOptions(timeout: timeout, outputLimit: 256 << 10, mergesErrors: true)
        return try runner.run(specification, options: options)
    }
}

/// Brings apps and workers up.
struct AppStarter: Sendable {
    let supervisor: Supervisor
    let isFirst: Bool
    /// How long an app may take until it listens.
    let ready: Duration

    init(supervisor: Supervisor, isFirst: Bool, ready: Duration? = nil) {
        self.supervisor = supervisor
        self.isFirst = isFirst
        self.ready = min(ready ?? supervisor.options.appReady, supervisor.options.appReady)
    }

    func start(_ record: ProcessRecord, _ app: AppRuntime) throws {
        if record.kind == .web { try startWeb(record, app) } else { try startWorker(record, app) }
    }

    /// Takes a process that runs as it is wanted.
    func keep(_ record: ProcessRecord, _ app: AppRuntime) throws {
        guard let process = supervisor.process(record.key) else { return }
        guard record.kind == .web else { return process.keepAlive(workerStarter(process.record, app)) }
        process.keepAlive(webStarter(port: record.port, app))
        process.setAside(false)
        let log = supervisor.layout.appLog(app.app.name)
        try waitUntilListening(process, app, port: record.port ?? 0, log: (log, LogFile.recent(log)))
    }

    /// Starts the process that answers requests, and waits until it listens.
    func startWeb(_ wanted: ProcessRecord, _ app: AppRuntime) throws {
        var record = wanted
        if let port = record.port, !PortRegistry.isFree(port) {
            // Somebody else took it meanwhile. The gateway learns the new one with the routes.
            record.fingerprint = String(record.fingerprint.dropLast("\(port)".count))
            let key = (record.isAside ? "aside:" : "app:") + app.app.name
            let other = try supervisor.ports.replacePort(for: key)
            record.port = other
            record.fingerprint += "\(other)"
        }
        let log = supervisor.layout.appLog(app.app.name)
        let offset = LogFile.size(log)
        let process = supervisor.register(record)
        do {
            try process.start(keepsAlive: isFirst, webStarter(port: record.port, app))
            try waitUntilListening(process, app, port: record.port ?? 0, log: (log, offset))
            process.keepAlive()
        } catch {
            if !isFirst {
                supervisor.stop(process)
                supervisor.forget(process)
            }
            throw error
        }
        if let command = app.app.web?.postStart { try runStep(command, "post_start", app) }
    }

    private func startWorker(_ wanted: ProcessRecord, _ app: AppRuntime) throws {
        guard let worker = app.app.workers[wanted.name] else { return }
        var record = wanted
        if worker.quiesce != nil {
            record.notifySocket =
                "\(supervisor.layout.environmentRunDirectory)/n.\(String(StableHash.of(record.key), radix: 36))"
        }
        supervisor.listen(for: record)
        let process = supervisor.register(record)
        do {
            try process.start(keepsAlive: true, workerStarter(record, app))
        } catch {
            supervisor.forget(process)
            throw error
        }
    }

    private func webStarter(port: Int?, _ app: AppRuntime) -> ManagedProcess.Starter {
        { [self] in
            try app.makeMounts()
            if let command = app.app.web?.preStart { try runStep(command, "pre_start", app) }
            return try app.specification(
                app.app.web?.start ?? "", .web(.port(port ?? 0)), log: supervisor.layout.appLog(app.app.name))
        }
    }

    private func workerStarter(_ record: ProcessRecord, _ app: AppRuntime) -> ManagedProcess.Starter {
        { [self] in
            guard let worker = app.app.workers[record.name] else {
                throw HoldfastError(.notFound, "app '\(app.app.name)' has no worker '\(record.name)'")
            }
            try app.makeMounts()
            if let command = worker.preStart { try runStep(command, "pre_start", app) }
            var specification = try app.specification(
                worker.start, .worker(worker.name), log: supervisor.layout.workerLog(app.app.name, worker.name))
            if let socket = record.notifySocket { specification.environment["HOLDFAST_NOTIFY_SOCKET"] = socket }
            return specification
        }
    }

    private func runStep(_ command: String, _ step: String, _ app: AppRuntime) throws {
        let outcome = try app.run(command, purpose: .hook, timeout: supervisor.options.appReady)
        guard !outcome.isSuccess else { return }
        throw HoldfastError(
            .unavailable,
            "the \(step) command of '\(app.app.name)' "
                + (outcome.timedOut ? "took too long" : "failed (\(outcome.status)): \(outcome.text.suffix(500))"))
    }

    private func waitUntilListening(
        _ process: ManagedProcess, _ app: AppRuntime, port: Int, log: (path: String, offset: Int)
    ) throws {
        let deadline = Deadline(after: ready, time: supervisor.parts.time)
        var pause: UInt32 = 2000
        while true {
            try supervisor.checkNotStopping()
            if isFirst { try supervisor.checkFirstApplyWanted() }
            if process.hasEnded || (!isFirst && process.phase == .backingOff) {
                throw HoldfastError(
                    .unavailable,
                    "app '\(app.app.name)' ended (\(process.howItEnded)) before it listened "
                        + "on port \(port); \(LogFile.lastLines(log.path, from: log.offset))",
                    hint: "Look into \(log.path)")
            }
            if process.phase == .running, Listening.tcp(port) { return }
            guard !deadline.hasPassed else {
                throw HoldfastError(
                    .timedOut,
                    "app '\(app.app.name)' does not listen on port \(port) after "
                        + "\(ready.components.seconds) s; "
                        + LogFile.lastLines(log.path, from: log.offset),
                    hint: "Let it listen on the address in PORT; look into \(log.path)")
            }
            usleep(pause)
            pause = min(pause * 2, 50_000)
        }
    }
}
