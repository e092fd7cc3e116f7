import Foundation
import HoldfastControl
import HoldfastModel
import Logging
import NIOCore
import NIOPosix

// HoldfastGateway: the reverse proxy in front of the environments, and the gate that holds their requests.
//
// `HoldState` decides, as a value; `Gate` drives it; `Exchange` carries one request through it to the app and back;
// `GatewayClient` and `GatewayHold` are the control plane's side of the socket that the gateway is controlled by.
// All of it runs on one event loop: a gate needs no lock, and a lease waits for no thread.

/// Where a gateway listens and what it keeps.
package struct GatewaySettings: Sendable {
    /// An IP address.
    package var host: String
    /// 0 takes any free one; see `GatewayStatus.port`.
    package var port: Int
    /// Path of the Unix socket that `GatewayClient` connects to.
    package var controlSocket: String
    /// The last configuration; its folder also keeps the counter that makes hold numbers unique.
    package var stateFile: String
    package var time: any TimeSource

    package init(
        host: String, port: Int, controlSocket: String, stateFile: String, time: any TimeSource = SystemTime()
    ) {
        self.host = host
        self.port = port
        self.controlSocket = controlSocket
        self.stateFile = stateFile
        self.time = time
    }
}

/// A gateway: listens for clients and for the control plane until it is stopped.
package final class Gateway: Sendable {
    private let settings: GatewaySettings
    private let log: Logger
    private let group: MultiThreadedEventLoopGroup
    private let stopping: EventLoopPromise<Void>

    package init(_ settings: GatewaySettings, log: Logger = Logger(label: "holdfast.gateway")) {
        self.settings = settings
        self.log = log
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        stopping = group.next().makePromise()
    }

    /// Serves until `stop` is called or the task is cancelled; then lets running requests end, for ten seconds at
    /// most. May be called once.
    ///
    /// - Parameter ready: called once it serves, with the port.
    /// - Throws: `unavailable` if the port or the control socket cannot be listened on.
    package func run(ready: @Sendable (Int) -> Void = { _ in }) async throws {
        do {
            try await serve(ready)
        } catch {
            stop()
            try? await group.shutdownGracefully()
            throw error
        }
        try? await group.shutdownGracefully()
    }

    /// Ends `run`. From any thread, more than once.
    package func stop() { stopping.succeed(()) }

    private func serve(_ ready: @Sendable (Int) -> Void) async throws {
        raiseFileLimit()
        let loop = group.next()
        let store = GatewayStore(path: settings.stateFile)
        let start = try store.start(at: settings.time.now())
        if let problem = start.problem { log.error("stored routes not read", metadata: ["problem": "\(problem)"]) }
        let proxy = try await loop.submit { [settings, log] in
            let proxy = Proxy(loop: loop, time: settings.time, log: log)
            proxy.apply(start.configuration)
            return NIOLoopBound(proxy, eventLoop: loop)
        }.get()
        let channel = try await listen(proxy)
        let port = channel.localAddress?.port ?? settings.port
        try await loop.submit { proxy.value.port = port }.get()

        let controller = GatewayController(
            loop: loop, proxy: proxy, store: store, start: start, time: settings.time)
        let control = ControlServer(path: settings.controlSocket) { GatewaySession(controller) }
        do {
            try control.start()
        } catch {
            try? await channel.close()
            throw error
        }
        log.info("gateway serves", metadata: ["port": "\(port)"])
        ready(port)
        await withTaskCancellationHandler {
            try? await stopping.futureResult.get()
        } onCancel: {
            stop()
        }
        log.info("gateway stops")
        try? await channel.close()
        try? await loop.flatSubmit { proxy.value.stop() }.get()
        control.stop()
        // Their last word goes to the event loop, which must still be there.
        for _ in 0..<100 where control.connectionCount > 0 { try? await Task.sleep(for: .milliseconds(10)) }
    }

    private func listen(_ proxy: NIOLoopBound<Proxy>) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1 << 10, initial: 4 << 10, maximum: 64 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ClientConnection(proxy: proxy.value))
                }
            }
        do {
            return try await bootstrap.bind(host: settings.host, port: settings.port).get()
        } catch {
            throw HoldfastError(
                .unavailable, "cannot listen on \(settings.host) port \(settings.port)",
                hint: "Choose a free port, or end what listens on it", cause: error)
        }
    }

    /// Every client may need two descriptors; the usual soft limit is 1024.
    private func raiseFileLimit() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = min(limit.rlim_max, 1 << 20)
        if setrlimit(resource, &limit) != 0 { log.warning("limit of open files not raised") }
    }
}
