import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import Logging
import Synchronization

/// Starts the two other processes of an installation, detached: they outlive this one, and this one finds them again.
struct Launcher: Sendable {
    let home: StateDirectory
    let settings: Settings
    let logger: Logger
    /// Two threads that miss the same process must not both start it.
    private let starting = NSLock()
    private let changing = EnvironmentLocks()
    private let versions: OtherVersion

    init(home: StateDirectory, settings: Settings, logger: Logger) {
        self.home = home
        self.settings = settings
        self.logger = logger
        versions = OtherVersion(logger: logger)
    }

    /// Makes sure that a gateway answers.
    ///
    /// - Returns: its port.
    /// - Throws: `unavailable` with the end of its log if it does not start.
    @discardableResult
    func ensureGateway(listen: String) throws -> Int {
        let client = GatewayClient(socketPath: home.gatewaySocket, timeout: .seconds(2))
        if let status = try? client.status() {
            versions.note("The gateway", status.version, status.pid)
            return status.port
        }
        starting.lock()
        defer { starting.unlock() }
        if let status = try? client.status() { return status.port }
        logger.notice("starting the gateway", metadata: ["listen": "\(listen)"])
        try start(["gateway", "--home", home.path, "--listen", listen], log: "\(home.logs)/gateway.log")
        return try waitFor("the gateway", log: "\(home.logs)/gateway.log") { try client.status().port }
    }

    /// Makes sure that the environment has a supervisor.
    ///
    /// - Parameter condition: asked once nobody else can start or stop it; no leaves all as it is.
    /// - Throws: `conflict` if the condition does not hold.
    @discardableResult
    func ensureSupervisor(
        _ environment: EnvironmentID, onlyIf condition: () -> Bool = { true }
    ) throws -> SupervisorClient {
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment)
        let client = SupervisorClient(socketPath: layout.socket)
        if let status = try? client.status() {
            versions.note("The supervisor of environment \(environment)", status.version, status.pid)
            return client
        }
        return try changing.alone(environment) {
            if (try? client.status()) != nil { return client }
            guard condition() else {
                throw HoldfastError(.conflict, "environment \(environment) is not to run")
            }
            return try startSupervisor(layout, client)
        }
    }

    /// Ends the supervisor and all it owns; nothing of it writes any more when this returns.
    func stopSupervisor(_ layout: EnvironmentLayout) throws {
        let client = SupervisorClient(socketPath: layout.socket)
        try changing.alone(layout.environment) {
            if (try? client.status()) == nil {
                // Nobody answers. A new supervisor adopts what still runs, and stops it; else there is nothing to do.
                guard layout.hasProcesses else { return }
                _ = try startSupervisor(layout, client)
            }
            let process = ProcessHandle(pid: try client.status().pid)
            try client.stop()
            guard let process, process.wait(timeout: .seconds(30)) == nil else { return }
            logger.error("a supervisor does not end and is killed", metadata: ["pid": "\(process.pid)"])
            process.signal(SIGKILL)
            _ = process.wait(timeout: .seconds(10))
        }
    }

    private func startSupervisor(_ layout: EnvironmentLayout, _ client: SupervisorClient) throws -> SupervisorClient {
        let environment = layout.environment
        logger.notice("starting a supervisor", metadata: ["environment": "\(environment)"])
        try layout.create()
        let log = layout.superviseLog
        var arguments = ["supervise", "--home", home.path, "--run", home.run, "--environment", environment.rawValue]
        if let user = settings.environmentUser { arguments += ["--user", user] }
        if let limit = settings.logLimitMebibytes { arguments += ["--log-limit", "\(limit)"] }
        if let seconds = settings.appReadySeconds { arguments += ["--app-ready", "\(seconds)"] }
        try start(arguments, log: log)
        _ = try waitFor("the supervisor of environment \(environment)", log: log) { try client.status() }
        return client
    }

    /// Ends the gateway; for installations that stop as a whole.
    func stopGateway() {
        for entry in ProcessTable.all() {
            guard let data = FileManager.default.contents(atPath: "/proc/\(entry.pid)/cmdline") else { continue }
            let words = data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            guard words.dropFirst().starts(with: ["gateway", "--home", home.path]) else { continue }
            entry.handle.signal(SIGTERM)
            _ = entry.handle.wait(timeout: .seconds(5))
        }
    }

    private func start(_ arguments: [String], log: String) throws {
        let specification = ProcessSpecification(
            executable: OwnBinary.path, arguments: arguments, environment: ProcessInfo.processInfo.environment,
            directory: home.path, logFile: log)
        let handle = try DetachedProcess.spawn(specification)
        // Until it is waited for, a child that ended would stay in the process table.
        startThread("reap") { _ = handle.wait(timeout: nil) }
    }

    private func waitFor<Value>(_ what: String, log: String, _ answer: () throws -> Value) throws -> Value {
        var last: (any Error)?
        for _ in 0..<200 {
            do { return try answer() } catch { last = error }
            Thread.sleep(forTimeInterval: 0.05)
        }
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        let end = text.split(separator: "\n").suffix(4).joined(separator: " | ")
        throw HoldfastError(
            .unavailable, "\(what) did not start\(end.isEmpty ? "" : ": \(end)")", hint: "Look into \(log)", cause: last
        )
    }
}

/// One lock for each environment.
final class EnvironmentLocks: Sendable {
    private let locks = Mutex<[EnvironmentID: NSLock]>([:])

    /// Runs one body at a time for an environment.
    func alone<Result>(_ environment: EnvironmentID, _ body: () throws -> Result) rethrows -> Result {
        let lock = locks.withLock { locks in
            let lock = locks[environment] ?? NSLock()
            locks[environment] = lock
            return lock
        }
        lock.lock()
        defer { lock.unlock() }
        return try body()
    }
}
