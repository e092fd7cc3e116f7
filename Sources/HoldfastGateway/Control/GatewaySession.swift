import Foundation
import HoldfastControl
import HoldfastModel
import NIOCore
import Synchronization

/// Carries control requests from their threads to the event loop, and the answers back.
final class GatewayController: Sendable {
    private let loop: any EventLoop
    private let proxy: NIOLoopBound<Proxy>
    private let store: GatewayStore
    private let start: GatewayStart
    private let startedAt: Date
    private let lastEpoch: Mutex<UInt64>
    private let lastConnection = Mutex<UInt64>(0)
    /// One configuration after the other, so that the file and the routes in use are the same one.
    private let configuring = Mutex<Void>(())

    init(
        loop: any EventLoop, proxy: NIOLoopBound<Proxy>, store: GatewayStore, start: GatewayStart,
        time: any TimeSource
    ) {
        self.loop = loop
        self.proxy = proxy
        self.store = store
        self.start = start
        startedAt = time.now()
        lastEpoch = Mutex(start.generation << 20)
    }

    func nextConnection() -> UInt64 {
        lastConnection.withLock { last in
            last += 1
            return last
        }
    }

    func configure(_ configuration: GatewayConfiguration) throws {
        try configuration.validate()
        try configuring.withLock { _ in
            try store.save(configuration)
            try onLoop { $0.apply(configuration) }
        }
    }

    func status() throws -> GatewayStatus {
        try onLoop { [startedAt, start] proxy in
            GatewayStatus(
                startedAt: startedAt, version: Control.version, pid: getpid(), port: proxy.port,
                routes: proxy.routeCount,
                clientConnections: proxy.clientCount, upstreamConnections: proxy.pool.count,
                counters: proxy.counters, environments: proxy.gateStatus, problem: start.problem)
        }
    }

    func running(_ environment: EnvironmentID) throws -> RunningRequests {
        try onLoop { RunningRequests(requests: $0.gate(of: environment).running) }
    }

    func hold(
        _ environment: EnvironmentID, lease: Int64, cap: Int64, connection: UInt64
    ) throws -> HoldGranted {
        guard (1...30_000).contains(cap), lease > 0 else {
            throw HoldfastError(
                .invalidInput, "a hold with a lease of \(lease) ms and a cap of \(cap) ms",
                hint: "Give a lease of more than 0 ms and a cap of at most 30000 ms")
        }
        let epoch = lastEpoch.withLock { last in
            last += 1
            return last
        }
        let owner = HoldOwner(epoch: epoch, connection: connection)
        return try onLoop { proxy in
            try proxy.gate(of: environment).hold(
                owner, lease: UInt64(min(lease, cap)) * 1_000_000, cap: UInt64(cap) * 1_000_000)
        }
    }

    func drain(_ environment: EnvironmentID, _ epoch: UInt64, timeout: Int64) throws -> DrainResult {
        let timeout = TimeAmount.milliseconds(min(max(timeout, 0), 60_000))
        return try loop.flatSubmit { [proxy] in
            proxy.value.gate(of: environment).drain(epoch, timeout: timeout)
        }.wait()
    }

    func renew(_ environment: EnvironmentID, _ epoch: UInt64) throws {
        try onLoop { try $0.gate(of: environment).renew(epoch) }
    }

    func release(_ environment: EnvironmentID, _ epoch: UInt64) throws -> GateEvidence {
        try loop.flatSubmit { [proxy] in proxy.value.gate(of: environment).release(epoch) }.wait()
    }

    func connectionClosed(_ connection: UInt64) {
        loop.execute { [proxy] in proxy.value.ownerGone(connection: connection) }
    }

    private func onLoop<Answer: Sendable>(_ work: @escaping @Sendable (Proxy) throws -> Answer) throws -> Answer {
        try loop.submit { [proxy] in try work(proxy.value) }.wait()
    }
}

/// One control connection. If it took a hold, its end opens the gate.
final class GatewaySession: ControlSession {
    private let controller: GatewayController
    private let connection: UInt64

    init(_ controller: GatewayController) {
        self.controller = controller
        connection = controller.nextConnection()
    }

    func handle(_ frame: Data) throws -> Data {
        switch try Control.decode(GatewayRequest.self, from: frame) {
        case .configure(let configuration):
            try controller.configure(configuration)
            return try encode(GatewayAcknowledged())
        case .status: return try encode(controller.status())
        case .running(let environment): return try encode(controller.running(environment))
        case .hold(let environment, let lease, let cap):
            return try encode(controller.hold(environment, lease: lease, cap: cap, connection: connection))
        case .drain(let environment, let epoch, let timeout):
            return try encode(controller.drain(environment, epoch, timeout: timeout))
        case .renew(let environment, let epoch):
            try controller.renew(environment, epoch)
            return try encode(GatewayAcknowledged())
        case .release(let environment, let epoch): return try encode(controller.release(environment, epoch))
        }
    }

    func connectionClosed() { controller.connectionClosed(connection) }

    private func encode(_ answer: some Encodable) throws -> Data { try Control.encode(answer) }
}
