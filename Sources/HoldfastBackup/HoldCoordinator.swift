import Foundation
import HoldfastModel
import Synchronization

/// The bounds of one hold.
package struct HoldLimits: Sendable, Equatable {
    /// How long gate and freeze last without a renewal.
    package var lease: Duration
    /// How long running requests, crons and workers may take to end.
    package var drain: Duration
    /// The longest hold in all; the gateway opens by itself after it.
    package var cap: Duration

    package init(lease: Duration = .seconds(5), drain: Duration = .seconds(10), cap: Duration = .seconds(15)) {
        self.lease = lease
        self.drain = drain
        self.cap = cap
    }
}

/// What happens inside a hold, and when: milliseconds since the gate closed.
package final class HoldScope: Sendable {
    private let time: any TimeSource
    private let start: UInt64
    private let marks = Mutex<[String: Double]>([:])

    init(time: any TimeSource) {
        self.time = time
        start = time.monotonicNanoseconds()
    }

    /// Records that the mark of a service or a mount was taken now.
    package func marked(_ name: String) {
        let at = elapsedMilliseconds
        marks.withLock { $0[name] = at }
    }

    var elapsedMilliseconds: Double { Double(time.monotonicNanoseconds() - start) / 1_000_000 }
    var recordedMarks: [String: Double] { marks.withLock { $0 } }
}

/// Closes the gate, waits, freezes, lets a body take its marks, thaws, opens: the order that makes one point in time.
///
/// Whatever the body does, processes are thawed and the gate is opened before this returns; if this process dies,
/// both leases end with its connections.
package struct HoldCoordinator: Sendable {
    package let gate: any RequestGate
    package let freezer: any ProcessFreezer
    package let time: any TimeSource

    package init(gate: any RequestGate, freezer: any ProcessFreezer, time: any TimeSource) {
        self.gate = gate
        self.freezer = freezer
        self.time = time
    }

    /// Runs `body` while nothing of the environment moves.
    ///
    /// - Returns: the evidence; the caller must look at `unbroken`.
    /// - Throws: `timedOut` with what blocked the drain, the body's own error, or what gateway and supervisor say.
    package func hold(
        _ environment: EnvironmentID, limits: HoldLimits, body: (HoldScope) throws -> Void
    ) throws -> HoldEvidence {
        // The freeze's connection is made first: nothing that can be done before belongs into the hold.
        let freeze = try freezer.beginFreeze(environment, lease: limits.lease)
        defer { freeze.abandon() }
        let gateHold = try gate.hold(environment, lease: limits.lease, cap: limits.cap)
        defer { gateHold.abandon() }
        let scope = HoldScope(time: time)
        let keeper = LeaseKeeper(every: limits.lease / 3) {
            try gateHold.renew()
            try freeze.renew()
        }
        defer { keeper.stop() }

        var evidence = HoldEvidence(epoch: gateHold.epoch, closedAt: time.now())
        evidence.drainedAtMilliseconds = try drain(gateHold, freeze, limits, scope)
        let frozen = try freeze.freeze()
        evidence.frozenAtMilliseconds = scope.elapsedMilliseconds
        evidence.freezeMethod = frozen.method
        evidence.workersFrozenInPlace = frozen.workersFrozenInPlace
        try body(scope)
        evidence.marksAtMilliseconds = scope.recordedMarks
        // Thaw before the gate opens: a released request must find a running app.
        try freeze.thaw()
        let report = try gateHold.release()
        evidence.add(report, leaseKept: keeper.stop())
        return evidence
    }

    /// Runs `body` behind the closed gate without freezing anything: for switches, where processes are replaced.
    package func holdRequests(
        _ environment: EnvironmentID, limits: HoldLimits, body: () throws -> Void
    ) throws -> HoldEvidence {
        let gateHold = try gate.hold(environment, lease: limits.lease, cap: limits.cap)
        defer { gateHold.abandon() }
        let keeper = LeaseKeeper(every: limits.lease / 3) { try gateHold.renew() }
        defer { keeper.stop() }
        var evidence = HoldEvidence(epoch: gateHold.epoch, closedAt: time.now())
        switch try gateHold.drain(timeout: limits.drain) {
        case .drained(let milliseconds): evidence.drainedAtMilliseconds = milliseconds
        case .blocked(let blockers): throw Self.notDrained(blockers, limits)
        }
        try body()
        let report = try gateHold.release()
        evidence.add(report, leaseKept: keeper.stop())
        return evidence
    }

    /// Requests and workers come to an end at the same time.
    private func drain(
        _ gateHold: any GateHold, _ freeze: any FreezeLease, _ limits: HoldLimits, _ scope: HoldScope
    ) throws -> Double {
        let outcomes = try inParallel([
            { @Sendable () throws -> DrainOutcome in try gateHold.drain(timeout: limits.drain) },
            { @Sendable () throws -> DrainOutcome in
                let late = try freeze.quiesce(timeout: limits.drain)
                return late.isEmpty ? .drained(atMilliseconds: 0) : .blocked(by: late)
            },
        ])
        let blockers = outcomes.flatMap { outcome -> [String] in
            if case .blocked(let names) = outcome { names } else { [] }
        }
        guard blockers.isEmpty else { throw Self.notDrained(blockers, limits) }
        return scope.elapsedMilliseconds
    }

    private static func notDrained(_ blockers: [String], _ limits: HoldLimits) -> HoldfastError {
        HoldfastError(
            .timedOut,
            "not drained within \(limits.drain.milliseconds.formatted()) ms, still running: "
                + blockers.joined(separator: ", "),
            hint: "Try again when these have ended, or take a live backup with --live")
    }
}

extension HoldEvidence {
    fileprivate mutating func add(_ report: GateReport, leaseKept: Bool) {
        closedAt = report.closedAt
        heldForMilliseconds = report.heldForMilliseconds
        requestsHeld = report.requestsHeld
        longestRequestMilliseconds = report.longestRequestMilliseconds
        requestsRefused = report.requestsRefused
        unbroken = report.unbroken && leaseKept
    }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    package var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}

/// Renews a lease from a thread of its own, so that no hashing or database can make it late.
private final class LeaseKeeper: Sendable {
    private struct State {
        var stopped = false
        var failed = false
    }
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    init(every interval: Duration, renew: @escaping @Sendable () throws -> Void) {
        let thread = Thread { [self] in
            while wake.wait(timeout: .now() + .milliseconds(Int(interval.milliseconds))) == .timedOut {
                do {
                    try renew()
                } catch {
                    state.withLock { state in
                        if !state.stopped { state.failed = true }
                    }
                    return
                }
            }
        }
        thread.name = "lease"
        thread.qualityOfService = .userInteractive
        thread.start()
    }

    /// Ends the renewals; answers whether none of them failed.
    @discardableResult
    func stop() -> Bool {
        let (wasStopped, kept) = state.withLock { state in
            defer { state.stopped = true }
            return (state.stopped, !state.failed)
        }
        if !wasStopped { wake.signal() }
        return kept
    }
}
