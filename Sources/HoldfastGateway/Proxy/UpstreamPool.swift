import HoldfastModel
import NIOCore
import NIOPosix

/// An app of an environment.
struct UpstreamKey: Hashable, Sendable {
    var environment: EnvironmentID
    var upstream: GatewayUpstream
}

/// Connections to apps that rest between two requests. Event loop only.
final class UpstreamPool {
    private let loop: any EventLoop
    private let time: any TimeSource
    private var resting: [UpstreamKey: [Resting]] = [:]
    private(set) var count = 0
    var limits = GatewayLimits()

    private struct Resting {
        var connection: UpstreamConnection
        var since: UInt64
    }

    init(loop: any EventLoop, time: any TimeSource) {
        self.loop = loop
        self.time = time
    }

    /// The connection that rested last and can still be used; those that cannot are closed on the way.
    func take(_ key: UpstreamKey) -> UpstreamConnection? {
        let now = time.monotonicNanoseconds()
        while let last = resting[key]?.popLast() {
            if now - last.since <= idleNanoseconds, last.connection.isUsable { return last.connection }
            last.connection.close()
        }
        return nil
    }

    func give(_ connection: UpstreamConnection) {
        guard (resting[connection.key]?.count ?? 0) < limits.upstreamIdleConnections else { return connection.close() }
        connection.rest()
        resting[connection.key, default: []].append(
            Resting(connection: connection, since: time.monotonicNanoseconds()))
    }

    /// Closes what rests; at the end of a hold the apps get new connections.
    func closeResting(of environment: EnvironmentID? = nil) {
        for (key, connections) in resting where environment == nil || key.environment == environment {
            resting[key] = nil
            for resting in connections { resting.connection.close() }
        }
    }

    /// Closes what rested for too long.
    func sweep() {
        let now = time.monotonicNanoseconds()
        for (key, connections) in resting {
            let old = connections.filter { now - $0.since > idleNanoseconds }
            guard !old.isEmpty else { continue }
            let young = connections.filter { now - $0.since <= idleNanoseconds }
            resting[key] = young.isEmpty ? nil : young
            for resting in old { resting.connection.close() }
        }
    }

    func ended(_ connection: UpstreamConnection) {
        count -= 1
        resting[connection.key]?.removeAll { $0.connection === connection }
    }

    /// Makes a new connection; the answer comes later, on the event loop.
    func connect(_ key: UpstreamKey, then done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        let connection = UpstreamConnection(key: key, pool: self)
        let bound = NIOLoopBound(connection, eventLoop: loop)
        var bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(Int64(max(1, limits.connectMilliseconds))))
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
        let channel: EventLoopFuture<any Channel>
        switch key.upstream {
        case .unix(let path): channel = bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port):
            bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                channel = bootstrap.connect(to: address)
            } else {
                channel = bootstrap.connect(host: host, port: port)
            }
        }
        channel.assumeIsolated().whenComplete { [weak self] result in
            switch result {
            case .success:
                self?.count += 1
                done(.success(connection))
            case .failure(let error): done(.failure(error))
            }
        }
    }

    private var idleNanoseconds: UInt64 { UInt64(limits.upstreamIdleMilliseconds) * 1_000_000 }
}
