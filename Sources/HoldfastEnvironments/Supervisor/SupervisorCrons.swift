import Foundation
import HoldfastModel
import Logging

extension Supervisor {
    /// Bytes of a cron's output that are given back.
    private static let cronOutput = 256 << 10

    /// Runs a cron to its end, among the processes that a freeze stops. Starts as soon as no freeze is open.
    func runCron(_ appName: String, _ cronName: String) throws -> CronOutcome {
        let (app, cron) = try resolveCron(appName, cronName)
        _ = freeze.waitUntilOpenForStarts(Deadline(after: .seconds(300), time: parts.time))
        try checkNotStopping()
        let log = layout.cronLog(appName, cronName)
        let offset = LogFile.size(log)
        let process = try registerCron(appName, cronName)
        defer { forget(process) }
        let started = parts.time.monotonicNanoseconds()
        try process.start(keepsAlive: false) {
            try app.specification(cron.start, .cron(cronName), log: log)
        }
        let end = Deadline(after: .seconds(cron.timeout), time: parts.time)
        var status = process.waitUntilEnded(end)
        let timedOut = status == nil
        if timedOut {
            stopCron(process, cron, app)
            status = process.lastExit
        }
        return CronOutcome(
            status: status?.exitCode ?? 255, timedOut: timedOut,
            output: LogFile.tail(log, from: offset, limit: Self.cronOutput),
            seconds: Double(parts.time.monotonicNanoseconds() - started) / 1e9)
    }

    private func resolveCron(_ appName: String, _ cronName: String) throws -> (AppRuntime, CronConfiguration) {
        guard let applied = state.read({ $0.applied }), state.read({ $0.operation }) != "apply" else {
            throw HoldfastError(
                .conflict, "environment \(layout.environment) is being started or changed",
                hint: "Try again when that has ended")
        }
        guard let app = applied.configuration.applications[appName], let cron = app.crons[cronName] else {
            throw HoldfastError(.notFound, "there is no cron '\(cronName)' of an app '\(appName)'")
        }
        return (try AppRuntime(app: app, applied: applied, supervisor: self), cron)
    }

    private func registerCron(_ app: String, _ cron: String) throws -> ManagedProcess {
        let record = ProcessRecord(
            key: "cron:\(app).\(cron)", kind: .cron, app: app, name: cron, fingerprint: "")
        let process = ManagedProcess(record, surroundings)
        let isNew = state.withLock { state -> Bool in
            if let known = state.processes[record.key], !known.hasEnded { return false }
            state.processes[record.key] = process
            return true
        }
        guard isNew else {
            throw HoldfastError(
                .conflict, "cron '\(app).\(cron)' still runs", hint: "Wait until it has ended, or give it a time-out")
        }
        return process
    }

    /// The user's stop command or SIGTERM, some time, SIGKILL.
    private func stopCron(_ process: ManagedProcess, _ cron: CronConfiguration, _ app: AppRuntime) {
        let grace = Duration.seconds(cron.shutdownTimeout)
        logger.notice("a cron took too long and is stopped", metadata: ["process": "\(process.key)"])
        if let command = cron.stop {
            let deadline = Deadline(after: grace, time: parts.time)
            _ = try? app.run(command, purpose: .cron(cron.name), timeout: grace)
            if process.waitUntilEnded(deadline) != nil { return }
            process.stop(signal: SIGKILL, timeout: .seconds(1))
        } else {
            process.stop(timeout: grace)
        }
    }
}
