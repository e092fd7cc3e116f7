import Foundation
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import Logging

/// Starts the two other processes of an installation, detached: they outlive this one, and this one finds them again.
struct Launcher: Sendable {
    let home: StateDirectory
    let settings: Settings
    let logger: Logger

    /// The binary that runs now.
    private var binary: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// Makes sure that a gateway answers.
    ///
    /// - Returns: its port.
    /// - Throws: `unavailable` with the end of its log if it does not start.
    @discardableResult
    func ensureGateway(listen: String) throws -> Int {
        let client = GatewayClient(socketPath: home.gatewaySocket, timeout: .seconds(2))
        if let status = try? client.status() { return status.port }
        logger.notice("starting the gateway", metadata: ["listen": "\(listen)"])
        try start(["gateway", "--home", home.path, "--listen", listen], log: "\(home.logs)/gateway.log")
        return try waitFor("the gateway", log: "\(home.logs)/gateway.log") { try client.status().port }
    }

    /// Makes sure that the environment has a supervisor.
    func ensureSupervisor(_ environment: EnvironmentID) throws -> SupervisorClient {
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment)
        let client = SupervisorClient(socketPath: layout.socket)
        if (try? client.status()) != nil { return client }
        logger.notice("starting a supervisor", metadata: ["environment": "\(environment)"])
        try layout.create()
        let log = layout.log("supervise")
        try start(["supervise", "--home", home.path, "--run", home.run, "--environment", environment.rawValue], log: log)
        _ = try waitFor("the supervisor of environment \(environment)", log: log) { try client.status() }
        return client
    }

    private func start(_ arguments: [String], log: String) throws {
        var specification = ProcessSpecification(executable: binary, arguments: arguments)
        specification.environment = ProcessInfo.processInfo.environment
        specification.directory = home.path
        specification.output = .file(log)
        _ = try DetachedProcess.spawn(specification)
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
            .unavailable, "\(what) did not start\(end.isEmpty ? "" : ": \(end)")", hint: "Look into \(log)", cause: last)
    }
}
