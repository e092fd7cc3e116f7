import Foundation
import HoldfastGateway
import HoldfastModel
import Synchronization
import Testing

/// A gateway on a free port with a folder of its own, and the client that controls it.
final class GatewayHarness: Sendable {
    let directory: String
    let port: Int
    let client: GatewayClient
    let environment: EnvironmentID
    let gateway: Gateway

    private init(_ gateway: Gateway, directory: String, port: Int, environment: EnvironmentID) {
        self.gateway = gateway
        self.directory = directory
        self.port = port
        self.environment = environment
        client = GatewayClient(socketPath: directory + "/gateway.sock")
    }

    static func newDirectory() -> String { NSTemporaryDirectory() + "hf-gw-" + UUID().uuidString.prefix(8) }

    /// Runs a gateway for as long as `body` takes, on a thread, in a folder that stays.
    static func serving(
        in directory: String, _ body: @escaping @Sendable (GatewayHarness) throws -> Void
    ) async throws {
        let environment = try #require(EnvironmentID("env-test"))
        let gateway = Gateway(
            GatewaySettings(
                host: "127.0.0.1", port: 0, controlSocket: directory + "/gateway.sock",
                stateFile: directory + "/gateway/routes.json"))
        let serving = Serving()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { serving.ready.signal() }
                try await gateway.run { port in
                    serving.port.withLock { $0 = port }
                    serving.ready.signal()
                }
            }
            group.addTask {
                try await onThread {
                    defer { gateway.stop() }
                    serving.ready.wait()
                    let port = serving.port.withLock { $0 }
                    guard port > 0 else { throw SocketFailure("the gateway did not start") }
                    try body(
                        GatewayHarness(gateway, directory: directory, port: port, environment: environment))
                }
            }
            try await group.waitForAll()
        }
    }

    private final class Serving: Sendable {
        let port = Mutex(0)
        let ready = DispatchSemaphore(value: 0)
    }

    /// A gateway and an app for the time of a test, on a thread.
    static func with(
        app: TestApp? = nil, limits: GatewayLimits = GatewayLimits(), streams: StreamPolicy = .freeze,
        _ body: @escaping @Sendable (GatewayHarness, TestApp) throws -> Void
    ) async throws {
        let directory = newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let app = try app ?? TestApp()
        defer { app.stop() }
        try await serving(in: directory) { harness in
            try harness.route(to: app.port, limits: limits, streams: streams)
            try body(harness, app)
        }
    }

    func route(to port: Int, limits: GatewayLimits = GatewayLimits(), streams: StreamPolicy = .freeze) throws {
        let route = GatewayRoute(
            host: "app.test", environment: environment, kind: .upstream(.tcp(host: "127.0.0.1", port: port)),
            streams: streams)
        try client.configure(GatewayConfiguration(routes: [route], limits: limits))
    }

    func hold(lease: Duration = .seconds(5), cap: Duration = .seconds(15)) throws -> GatewayHold {
        try client.hold(environment, lease: lease, cap: cap)
    }

    func connect() throws -> TestSocket { try TestSocket(port: port) }

    func gate() throws -> GateStatus {
        try #require(try client.status().environments.first { $0.environment == environment })
    }

    func waitUntil(_ what: String, _ condition: (GateStatus) -> Bool) throws {
        for _ in 0..<500 {
            if condition(try gate()) { return }
            usleep(10_000)
        }
        throw SocketFailure("did not happen: \(what); \(try gate())")
    }
}
