import Foundation
import HoldfastModel
import Logging

/// Brings services up: data, process, readiness, roles; live ones and those beside them.
struct ServiceStarter: Sendable {
    let supervisor: Supervisor
    /// Whether the process is started again when it ends before it was ready.
    let keepsAlive: Bool
    /// After the supervisor's own start: patient, and given up as soon as somebody wants something else.
    var isFirst = false

    /// Starts a service and waits until it can be used.
    ///
    /// - Returns: what the check of restored data says.
    @discardableResult
    func start(_ wanted: ProcessRecord, manifest: ServiceManifest? = nil) throws -> [String] {
        let record = try withFreePort(wanted)
        let (instance, adapter) = try resolve(record)
        if let manifest { try adapter.prepareRestore(instance, manifest: manifest) }
        let log = supervisor.layout.serviceLog(record.name)
        let offset = LogFile.size(log)
        let process = supervisor.register(record)
        do {
            try process.start(keepsAlive: keepsAlive, Self.starter(instance, adapter, log: log))
            let timeout =
                manifest == nil && !isFirst ? supervisor.options.serviceReady : supervisor.options.restoredServiceReady
            try waitUntilReady(process, instance, adapter, log: (log, offset), timeout: timeout)
            // Restored data proves itself before anybody writes to it.
            let lines = manifest == nil ? [] : try adapter.verify(instance)
            try publish(record, try adapter.afterStart(instance))
            process.keepAlive()
            return lines
        } catch {
            if !keepsAlive {
                supervisor.stop(process)
                supervisor.forget(process)
            }
            throw error
        }
    }

    /// With another port if somebody took its own while the service was down; apps learn it with their variables.
    private func withFreePort(_ wanted: ProcessRecord) throws -> ProcessRecord {
        guard let service = wanted.service, let port = wanted.port, !PortRegistry.isFree(port) else { return wanted }
        var record = try DesiredProcesses.service(
            wanted.name, service, wanted.configuration ?? .map([:]),
            port: supervisor.ports.replacePort(for: service.directory))
        record.isAside = wanted.isAside
        return record
    }

    /// Takes a service that runs as it is wanted: adopted, started aside, or simply the same.
    func keep(_ record: ProcessRecord) throws {
        guard let process = supervisor.process(record.key) else { return }
        let (instance, adapter) = try resolve(record)
        let log = supervisor.layout.serviceLog(record.name)
        process.keepAlive(Self.starter(instance, adapter, log: log))
        process.setAside(false)
        let isKnown = record.service.map { service in supervisor.state.read { $0.endpoints[service.directory] != nil } }
        if isKnown == true, process.phase == .running { return }
        try waitUntilReady(
            process, instance, adapter, log: (log, LogFile.recent(log)), timeout: supervisor.options.serviceReady)
        try publish(record, try adapter.afterStart(instance))
    }

    private func resolve(_ record: ProcessRecord) throws -> (ServiceInstance, any ServiceAdapter) {
        guard let service = record.service, let port = record.port else {
            throw HoldfastError(.internalFault, "process '\(record.key)' is not a service")
        }
        let description = SupervisedService(
            name: record.name, record: service, port: port, isAside: record.isAside, isReady: false,
            configuration: record.configuration ?? .map([:]))
        let instance = try description.instance(layout: supervisor.layout, user: supervisor.options.user)
        return (instance, try supervisor.parts.adapter(instance.type))
    }

    private static func starter(
        _ instance: ServiceInstance, _ adapter: any ServiceAdapter, log: String
    ) -> ManagedProcess.Starter {
        {
            try adapter.prepare(instance)
            var specification = try adapter.command(instance)
            specification.logFile = log
            return specification
        }
    }

    private func publish(_ record: ProcessRecord, _ endpoint: ServiceEndpoint) throws {
        guard let directory = record.service?.directory else { return }
        supervisor.state.withLock { $0.endpoints[directory] = endpoint }
    }

    private func waitUntilReady(
        _ process: ManagedProcess, _ instance: ServiceInstance, _ adapter: any ServiceAdapter,
        log: (path: String, offset: Int), timeout: Duration
    ) throws {
        let deadline = Deadline(after: timeout, time: supervisor.parts.time)
        var pause: UInt32 = 5000
        while true {
            try supervisor.checkNotStopping()
            if isFirst { try supervisor.checkFirstApplyWanted() }
            if process.hasEnded || (!isFirst && process.phase == .backingOff) {
                throw HoldfastError(
                    .unavailable,
                    "service '\(instance.name)' ended (\(process.howItEnded)) before it was ready; "
                        + "\(LogFile.lastLines(log.path, from: log.offset))",
                    hint: "Look into \(log.path)")
            }
            var failure: (any Error)?
            do {
                if process.phase == .running, try adapter.isReady(instance) { return }
            } catch {
                failure = error
            }
            guard !deadline.hasPassed else {
                throw HoldfastError(
                    .timedOut,
                    "service '\(instance.name)' was not ready within \(timeout.components.seconds) s; "
                        + LogFile.lastLines(log.path, from: log.offset),
                    hint: "Look into \(log.path)", cause: failure)
            }
            usleep(pause)
            pause = min(pause * 2, 100_000)
        }
    }
}

extension Supervisor {
    func startAside(_ request: AsideRequest) throws -> [String] {
        try exclusively("starting service \(request.service) aside") {
            waitForStopping()
            var record = try DesiredProcesses.service(
                request.service, request.record, request.configuration ?? .map([:]),
                port: try ports.port(for: request.record.directory))
            record.isAside = true
            if let known = process(record.key), !known.hasEnded {
                throw HoldfastError(
                    .conflict, "service '\(request.service)' runs on \(request.record.directory) already")
            }
            return try ServiceStarter(supervisor: self, keepsAlive: false).start(record, manifest: request.manifest)
        }
    }

    /// Stops a service that was started aside; a live one is refused.
    func stopAside(_ service: String, _ record: ServiceRecord) throws {
        guard let process = process("service:\(record.directory)") else { return }
        guard process.record.isAside || process.phase == .stopping || process.hasEnded else {
            throw HoldfastError(.conflict, "service '\(service)' on \(record.directory) is live, not aside")
        }
        stop(process)
        forget(process)
    }
}
