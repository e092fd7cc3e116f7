import Foundation
import HoldfastModel
import NIOCore

/// What passes a gate: one request and its answer.
protocol GateParty: AnyObject {
    /// It may be sent to the app now.
    func gatePassed(waited: UInt64?)
    /// It must be answered with 503 and not be sent.
    func gateRefused(_ reason: GateRefusal)
    /// A stream stands still from now.
    func holdStream()
    /// A stream goes on.
    func resumeStream()
    /// A stream ends, because its route says so.
    func closeStream()
}

/// Drives one environment's `HoldState`: does what it says, keeps its timer, and answers who waits for it.
///
/// Everything happens on the gateway's event loop, so nothing here waits for a thread, and nothing is locked.
final class Gate {
    let environment: EnvironmentID
    var counters = GateCounters()
    /// Called when the gate closes: unused connections to the app are not to be used again.
    var whenClosed: () -> Void = {}
    private(set) var state: HoldState

    private let loop: any EventLoop
    private let time: any TimeSource
    private var parties: [RequestID: any GateParty] = [:]
    private var policies: [RequestID: StreamPolicy] = [:]
    private var pending: [HoldAction] = []
    private var isPerforming = false
    private var timer: Scheduled<Void>?
    private var timerAt: UInt64?
    private var drainWaiters: [UInt64: DrainWaiter] = [:]
    private var drainWaiterCount: UInt64 = 0
    private var releaseWaiters: [EventLoopPromise<GateEvidence>] = []

    private struct DrainWaiter {
        var epoch: UInt64
        var promise: EventLoopPromise<DrainResult>
        var timer: Scheduled<Void>
    }

    init(environment: EnvironmentID, bounds: HoldBounds, loop: any EventLoop, time: any TimeSource) {
        self.environment = environment
        self.loop = loop
        self.time = time
        state = HoldState(limits: bounds)
    }

    var isOpen: Bool { state.phase == .open }
    var isUnused: Bool { isOpen && parties.isEmpty }

    func set(bounds: HoldBounds) { state.set(limits: bounds) }

    var status: GateStatus {
        let now = time.monotonicNanoseconds()
        return GateStatus(
            environment: environment, phase: state.phase, epoch: state.hold?.owner.epoch,
            leaseLeftMilliseconds: state.isClosed
                ? state.hold.map { Double($0.deadline - min(now, $0.deadline)) / 1_000_000 } : nil,
            running: state.running.count, parked: state.parking.count, streams: state.streams.count,
            counters: counters, lastHold: state.lastEvidence)
    }

    // MARK: Requests

    func arrive(_ party: any GateParty, _ id: RequestID, _ line: RequestLine, bytes: Int) {
        counters.requests += 1
        parties[id] = party
        perform(state.arrive(id, line, bytes: bytes, at: time.monotonicNanoseconds()))
        if state.parking.contains(id) { counters.held += 1 }
    }

    /// More of a parked request came into memory: now it takes `bytes`.
    func buffered(_ id: RequestID, bytes: Int) {
        perform(state.buffered(id, bytes: bytes, at: time.monotonicNanoseconds()))
    }

    /// A parked request's client went away.
    func leave(_ id: RequestID) {
        parties[id] = nil
        perform(state.leave(id, at: time.monotonicNanoseconds()))
    }

    /// A request that had passed is done.
    func end(_ id: RequestID) {
        parties[id] = nil
        policies[id] = nil
        perform(state.end(id, at: time.monotonicNanoseconds()))
    }

    /// More of a request that has passed came from its client.
    func received(_ id: RequestID, isAll: Bool) {
        state.received(id, isAll: isAll, at: time.monotonicNanoseconds())
    }

    /// Nobody waits any more for the answer to a request that the app works on.
    func giveUp(_ id: RequestID) { state.giveUp(id) }

    /// What runs now, the longest first; the 64 that have run the longest are enough to decide on.
    var running: [DrainBlocker] { Array(state.blockers(at: time.monotonicNanoseconds()).prefix(64)) }

    func becomeStream(_ id: RequestID, policy: StreamPolicy) {
        policies[id] = policy
        perform(state.becomeStream(id, policy: policy, at: time.monotonicNanoseconds()))
    }

    // MARK: The hold

    func hold(_ owner: HoldOwner, lease: UInt64, cap: UInt64) throws -> HoldGranted {
        advance()
        let grant = HoldGrant(owner: owner, lease: lease, cap: cap, wallClock: time.now())
        let open = Dictionary(grouping: policies.values) { $0 }.mapValues(\.count)
        perform(try state.close(grant, policies: open, at: time.monotonicNanoseconds()))
        return HoldGranted(epoch: owner.epoch, closedAt: grant.wallClock)
    }

    func renew(_ epoch: UInt64) throws {
        advance()
        try state.renew(epoch, at: time.monotonicNanoseconds())
        schedule()
    }

    func drain(_ epoch: UInt64, timeout: TimeAmount) -> EventLoopFuture<DrainResult> {
        advance()
        guard state.isClosed, state.hold?.owner.epoch == epoch else { return loop.makeFailedFuture(state.ended(epoch)) }
        if state.phase == .holding { return loop.makeSucceededFuture(drained) }
        let promise = loop.makePromise(of: DrainResult.self)
        drainWaiterCount += 1
        let number = drainWaiterCount
        let timer = loop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in
            guard let self, let waiter = self.drainWaiters.removeValue(forKey: number) else { return }
            let blockers = self.state.blockers(at: self.time.monotonicNanoseconds())
            waiter.promise.succeed(DrainResult(drained: false, drainedAtMilliseconds: nil, blockers: blockers))
        }
        drainWaiters[number] = DrainWaiter(epoch: epoch, promise: promise, timer: timer)
        return promise.futureResult
    }

    /// Opens the gate, and answers when the last parked request was sent on.
    func release(_ epoch: UInt64) -> EventLoopFuture<GateEvidence> {
        perform(state.open(epoch, .released, at: time.monotonicNanoseconds()))
        if let evidence = state.evidence(of: epoch) { return loop.makeSucceededFuture(evidence) }
        guard state.phase == .releasing, state.hold?.owner.epoch == epoch else {
            return loop.makeFailedFuture(state.ended(epoch))
        }
        let promise = loop.makePromise(of: GateEvidence.self)
        releaseWaiters.append(promise)
        return promise.futureResult
    }

    /// The control connection of a hold has ended: the gate opens at once.
    func ownerGone(connection: UInt64) {
        guard let owner = state.hold?.owner, owner.connection == connection else { return }
        perform(state.open(owner.epoch, .connectionLost, at: time.monotonicNanoseconds()))
    }

    /// The gateway stops: what is parked is sent on, streams end.
    func stop() {
        if let epoch = state.hold?.owner.epoch {
            perform(state.open(epoch, .gatewayStopped, at: time.monotonicNanoseconds()))
        }
        for id in Array(policies.keys) { parties[id]?.closeStream() }
    }

    // MARK: Doing

    private var drained: DrainResult {
        DrainResult(
            drained: true, drainedAtMilliseconds: state.hold?.evidence.drainedAtMilliseconds, blockers: [])
    }

    private func advance() { perform(state.advance(to: time.monotonicNanoseconds())) }

    /// Does actions in order. What they cause (a request that fails at once, say) comes after them, not in between.
    private func perform(_ actions: [HoldAction]) {
        pending.append(contentsOf: actions)
        guard !isPerforming else { return }
        isPerforming = true
        var index = 0
        while index < pending.count {
            act(pending[index])
            index += 1
        }
        pending.removeAll(keepingCapacity: true)
        isPerforming = false
        schedule()
    }

    private func act(_ action: HoldAction) {
        switch action {
        case .forward(let id, let waited):
            // Its client may have left while the actions before this one were done.
            guard let party = parties[id] else { return perform(state.end(id, at: time.monotonicNanoseconds())) }
            counters.forwarded += 1
            party.gatePassed(waited: waited)
        case .refuse(let id, let reason):
            counters.refused += 1
            parties.removeValue(forKey: id)?.gateRefused(reason)
        case .gateClosed:
            whenClosed()
            for (id, policy) in policies { hold(stream: id, policy) }
        case .holdStream(let id):
            if let policy = policies[id] { hold(stream: id, policy) }
        case .drained:
            let result = drained
            for waiter in takeDrainWaiters() { waiter.promise.succeed(result) }
        case .gateOpened:
            for waiter in takeDrainWaiters() {
                waiter.promise.fail(state.ended(waiter.epoch))
            }
            for (id, policy) in policies where policy == .freeze { parties[id]?.resumeStream() }
        case .finished(let evidence):
            let waiters = releaseWaiters
            releaseWaiters = []
            for waiter in waiters { waiter.succeed(evidence) }
        }
    }

    private func hold(stream id: RequestID, _ policy: StreamPolicy) {
        switch policy {
        case .freeze: parties[id]?.holdStream()
        // Not now: it takes itself out of what is being gone through.
        case .close: loop.assumeIsolated().execute { [weak self] in self?.parties[id]?.closeStream() }
        case .ignore: ()
        }
    }

    private func takeDrainWaiters() -> [DrainWaiter] {
        let waiters = Array(drainWaiters.values)
        drainWaiters = [:]
        for waiter in waiters { waiter.timer.cancel() }
        return waiters
    }

    /// Keeps one timer for the next thing that is due.
    private func schedule() {
        guard timerAt != state.nextWake else { return }
        timer?.cancel()
        timer = nil
        timerAt = state.nextWake
        guard let at = timerAt else { return }
        let now = time.monotonicNanoseconds()
        let delay = TimeAmount.nanoseconds(Int64(at > now ? at - now : 0))
        timer = loop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
            guard let self else { return }
            self.timerAt = nil
            self.advance()
        }
    }
}
