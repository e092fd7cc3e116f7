import HoldfastModel
import Logging
import NIOCore

/// What all connections share: routes, gates, the pool, the counters. Event loop only.
final class Proxy {
    let loop: any EventLoop
    let time: any TimeSource
    let log: Logger
    let pool: UpstreamPool
    var counters = GatewayCounters()
    /// Requests that passed their gate and are not done.
    var exchanges: [RequestID: Exchange] = [:]
    /// The port that clients connect to.
    var port = 0
    private(set) var routes = RouteTable()
    private(set) var limits = GatewayLimits()
    private(set) var isStopping = false

    private var trustedProxies: Set<String> = []
    private var routedEnvironments: Set<EnvironmentID> = []
    private var gates: [EnvironmentID: Gate] = [:]
    private var clients: [ObjectIdentifier: ClientConnection] = [:]
    private var lastRequestID: RequestID = 0
    private var stopped: EventLoopPromise<Void>?

    init(loop: any EventLoop, time: any TimeSource, log: Logger) {
        self.loop = loop
        self.time = time
        self.log = log
        pool = UpstreamPool(loop: loop, time: time)
        sweepRegularly()
    }

    var now: UInt64 { time.monotonicNanoseconds() }
    var hasTooManyClients: Bool { clients.count > limits.connections || isStopping }
    var headLimits: HTTPHeadParser.Limits {
        HTTPHeadParser.Limits(headBytes: limits.headBytes, targetBytes: limits.targetBytes, fields: limits.headerFields)
    }
    var clientCount: Int { clients.count }

    func nextRequestID() -> RequestID {
        lastRequestID += 1
        return lastRequestID
    }

    func gate(of environment: EnvironmentID) -> Gate {
        if let gate = gates[environment] { return gate }
        let gate = Gate(environment: environment, bounds: limits.holdBounds, loop: loop, time: time)
        gate.whenClosed = { [weak self] in self?.pool.closeResting(of: environment) }
        gates[environment] = gate
        return gate
    }

    func origin(of client: ClientConnection) -> ForwardedRequest.Origin {
        let address = client.address
        return ForwardedRequest.Origin(address: address, port: port, isTrusted: trustedProxies.contains(address))
    }

    // MARK: Control

    /// Takes over a validated configuration. Gates keep their holds; gates that nobody needs any more are dropped.
    func apply(_ configuration: GatewayConfiguration) {
        routes = RouteTable(configuration.routes)
        limits = configuration.limits
        trustedProxies = configuration.trustedProxies
        pool.limits = limits
        routedEnvironments = Set(configuration.routes.map(\.environment))
        gates = gates.filter { routedEnvironments.contains($0.key) || !$0.value.isUnused }
        for gate in gates.values { gate.set(bounds: limits.holdBounds) }
    }

    /// The gates in use, and one for each environment that has a route.
    var gateStatus: [GateStatus] {
        routedEnvironments.union(gates.keys).sorted().map { gate(of: $0).status }
    }

    var routeCount: Int { routes.count }

    /// Opens the gates of the holds that a control connection owned.
    func ownerGone(connection: UInt64) {
        for gate in gates.values { gate.ownerGone(connection: connection) }
    }

    /// Lets running requests end and closes the rest.
    ///
    /// - Returns: done when the last client has gone, at the latest after ten seconds.
    func stop() -> EventLoopFuture<Void> {
        if let stopped { return stopped.futureResult }
        let promise = loop.makePromise(of: Void.self)
        stopped = promise
        isStopping = true
        for gate in gates.values { gate.stop() }
        for client in Array(clients.values) where client.isIdle { client.closeAfterFlush() }
        pool.closeResting()
        loop.assumeIsolated().scheduleTask(in: .seconds(10)) { [weak self] in self?.stoppedNow() }
        if clients.isEmpty { stoppedNow() }
        return promise.futureResult
    }

    private func stoppedNow() {
        guard let promise = stopped else { return }
        for client in Array(clients.values) { client.close() }
        promise.succeed(())
    }

    // MARK: Clients

    func add(_ client: ClientConnection) { clients[ObjectIdentifier(client)] = client }

    func remove(_ client: ClientConnection) {
        clients[ObjectIdentifier(client)] = nil
        if isStopping, clients.isEmpty { stoppedNow() }
    }

    /// An app that hangs must not use up the descriptors of all others: the oldest connections to it are cut.
    private func cutGivenUp() {
        let givenUp = Dictionary(grouping: exchanges.values.filter(\.isGivenUp), by: \.key.environment)
        for exchanges in givenUp.values where exchanges.count > limits.mostGivenUp {
            let oldest = exchanges.sorted { $0.id < $1.id }.prefix(exchanges.count - limits.mostGivenUp)
            for exchange in oldest { exchange.cut() }
        }
    }

    private func sweepRegularly() {
        loop.assumeIsolated().scheduleTask(in: .milliseconds(250)) { [weak self] in
            guard let self else { return }
            let now = self.now
            for client in Array(self.clients.values) { client.sweep(at: now, self.limits) }
            for exchange in Array(self.exchanges.values) { exchange.sweep(at: now, self.limits) }
            self.cutGivenUp()
            self.pool.sweep()
            self.sweepRegularly()
        }
    }
}

extension GatewayLimits {
    var mostGivenUp: Int { max(0, givenUpRequests ?? 1024) }

    var holdBounds: HoldBounds {
        HoldBounds(
            parkedRequests: parkedRequests, parkedBytes: parkedBytes,
            parkedNanoseconds: UInt64(parkedMilliseconds) * 1_000_000)
    }
}
