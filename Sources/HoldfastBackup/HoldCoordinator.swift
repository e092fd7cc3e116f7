import Foundation
import HoldfastModel
import Synchronization

/// What happens inside a hold, and when: milliseconds since the gate closed.
package final class HoldScope: Sendable {
    /// What is to be done when the hold is lost.
    private struct Loss {
        var isLost = false
        var action: (@Sendable () -> Void)?
    }

    private let time: any TimeSource
    private let start: UInt64
    private let marks = Mutex<[String: Double]>([:])
    private let loss = Mutex(Loss())
    /// Nanoseconds of the monotonic clock at which everything goes on at the latest; marks have to be taken by then.
    package let end: UInt64

    init(time: any TimeSource, end: UInt64) {
        self.time = time
        self.end = end
        start = time.monotonicNanoseconds()
    }

    /// Has something done at once, on another thread, if the hold is lost before its body is done; or now, if it is.
    ///
    /// What the body does is worth nothing then: this is for ending what keeps a service from going on.
    package func whenLost(_ action: @escaping @Sendable () -> Void) {
        let isLost = loss.withLock { loss in
            loss.action = action
            return loss.isLost
        }
        if isLost { action() }
    }

    func lose() {
        let action = loss.withLock { loss in
            loss.isLost = true
            return loss.action
        }
        action?()
    }

    /// Records that the mark of a service or a mount was taken now.
    ///
    /// - Returns: how many are taken, with this one.
    @discardableResult
    package func marked(_ name: String) -> Int {
        let at = elapsedMilliseconds
        return marks.withLock { marks in
            marks[name] = at
            return marks.count
        }
    }

    var elapsedMilliseconds: Double { Double(time.monotonicNanoseconds() - start) / 1_000_000 }
    var recordedMarks: [String: Double] { marks.withLock { $0 } }
}

/// Waits for a good moment, closes the gate, drains, freezes, lets a body take its marks, thaws, opens: the order that
/// makes one point in time.
///
/// Whatever the body does, processes are thawed and the gate is opened before this returns; if this process dies,
/// both leases end with its connections; if it stands still, the freeze's lease ends before the gate's.
package struct HoldCoordinator: Sendable {
    /// A load of requests that are older than this does not get lighter by waiting for more than a moment.
    private static let settledMilliseconds = 40.0
    private static let looksToSettle = 20

    package let gate: any RequestGate
    package let freezer: any ProcessFreezer
    package let time: any TimeSource
    /// What to do when requests do not end.
    private let hint: String
    /// Takes lines for people.
    private let log: @Sendable (String) -> Void
    /// Called before and after each step of a hold that freezes, for tests of crashes.
    private let reached: @Sendable (CrashPoint) -> Void

    package init(
        gate: any RequestGate, freezer: any ProcessFreezer, time: any TimeSource,
        hint: String = "Try again when these have ended", log: @escaping @Sendable (String) -> Void = { _ in },
        reached: @escaping @Sendable (CrashPoint) -> Void = { _ in }
    ) {
        self.hint = hint
        self.gate = gate
        self.freezer = freezer
        self.time = time
        self.log = log
        self.reached = reached
    }

    /// Runs `body` while nothing of the environment moves.
    ///
    /// - Parameters:
    ///   - tries: the tries at the same point before this one; this one is added, however it ends.
    ///   - closes: called when the moment is good, just before the gate closes; not at all if it never is.
    /// - Returns: the evidence; the caller must look at `unbroken`.
    /// - Throws: `timedOut` with what blocked the drain or stood in the way of closing the gate, `unavailable` if gate
    ///   or freeze were lost, the body's own error, or what gateway and supervisor say.
    package func hold(
        _ environment: EnvironmentID, limits: HoldLimits, tries: inout HoldTries, closes: () -> Void = {},
        body: (HoldScope) throws -> Void
    ) throws -> HoldEvidence {
        try awaitGoodMoment(environment, limits, &tries)
        closes()
        try settle(environment)
        // The freeze's connection is made first: nothing that can be done before belongs into the hold.
        let freeze = try freezer.beginFreeze(environment, lease: limits.lease - limits.lead)
        let closing = time.monotonicNanoseconds()
        let gateHold: any GateHold
        do {
            gateHold = try gate.hold(environment, lease: limits.lease, cap: limits.cap)
        } catch {
            freeze.abandon()
            throw error
        }
        let scope = HoldScope(time: time, end: closing + (limits.cap - limits.lead).nanoseconds)
        let keeper = HoldKeeper(
            gateHold, freeze, limits: limits, clock: (time, closing), lost: { scope.lose() })
        tries.count += 1
        do {
            var evidence = HoldEvidence(epoch: gateHold.epoch, closedAt: time.now())
            evidence.drainedAtMilliseconds = try drain(gateHold, freeze, keeper, limits, scope, &tries)
            reached(.backupDrained)
            let frozen = try freeze.freeze()
            evidence.frozenAtMilliseconds = scope.elapsedMilliseconds
            evidence.freezeMethod = frozen.method
            evidence.workersFrozenInPlace = frozen.workersFrozenInPlace
            reached(.backupFrozen)
            try body(scope)
            reached(.backupMarked)
            evidence.marksAtMilliseconds = scope.recordedMarks
            // Thaw before the gate opens: a released request must find a running app.
            try keeper.thaw()
            reached(.backupThawed)
            evidence.add(try keeper.release(), keeper.loss)
            tries.heldMilliseconds += evidence.heldForMilliseconds
            evidence.tries = tries.count
            evidence.heldInAllMilliseconds = tries.heldMilliseconds
            return evidence
        } catch {
            // What a lost hold made fail is not the reason.
            let reason = keeper.loss ?? error
            let report = keeper.end()
            tries.heldMilliseconds += report?.heldForMilliseconds ?? scope.elapsedMilliseconds
            throw reason
        }
    }

    /// Runs `body` behind the closed gate without freezing anything: for switches, where processes are replaced. What
    /// nobody waits for any more ends with them, and is not waited for: else an app that hangs could not be replaced.
    ///
    /// - Parameter body: gets the monotonic time in nanoseconds just before the gate was closed.
    package func holdRequests(
        _ environment: EnvironmentID, limits: HoldLimits, body: (_ closedAt: UInt64) throws -> Void
    ) throws -> HoldEvidence {
        var tries = HoldTries()
        try awaitGoodMoment(environment, limits, &tries, isSwitch: true)
        let closing = time.monotonicNanoseconds()
        let gateHold = try gate.hold(environment, lease: limits.lease, cap: limits.cap)
        let keeper = HoldKeeper(gateHold, nil, limits: limits, clock: (time, closing), lost: {})
        defer { keeper.end() }
        var evidence = HoldEvidence(epoch: gateHold.epoch, closedAt: time.now())
        switch try drainGate(gateHold, limits, isSwitch: true) {
        case .drained(let milliseconds): evidence.drainedAtMilliseconds = milliseconds
        case .blocked(let requests): throw notDrained(requests.map(\.description))
        }
        try body(closing)
        evidence.add(try keeper.release(), keeper.loss)
        return evidence
    }

    // MARK: Before

    /// Waits, with the gate open, for what a drain would wait for in vain.
    private func awaitGoodMoment(
        _ environment: EnvironmentID, _ limits: HoldLimits, _ tries: inout HoldTries, isSwitch: Bool = false
    ) throws {
        let moment = GoodMoment(limits: limits, blamed: tries.blamed)
        let start = time.monotonicNanoseconds()
        let before = tries.waited
        var named: Set<UInt64> = []
        while true {
            let running = try gate.running(environment).filter { !(isSwitch && $0.isGivenUp) }
            let waited = Duration.nanoseconds(Int64(time.monotonicNanoseconds() - start))
            tries.waited = before + waited
            switch moment.decide(running, waited: waited, waitedInAll: tries.waited) {
            case .close: return
            case .giveUp(let requests):
                throw HoldfastError(
                    .timedOut,
                    "no good moment to close the gate within \(tries.waited.milliseconds / 1000) s, still running: "
                        + requests.prefix(5).map(\.description).joined(separator: "; "),
                    hint: hint)
            case .wait(let requests):
                for request in requests.prefix(5) where named.count < 20 && named.insert(request.id).inserted {
                    log("Waiting with the gate open for \(request).")
                }
                Thread.sleep(forTimeInterval: 0.05)
            }
        }
    }

    /// What our own work has kept from the processor ends with the gate open instead of closed: a drain waits for it.
    private func settle(_ environment: EnvironmentID) throws {
        for _ in 0..<Self.looksToSettle {
            let oldest = try gate.running(environment).map(\.milliseconds).max() ?? 0
            if oldest < Self.settledMilliseconds { return }
            Thread.sleep(forTimeInterval: 0.015)
        }
    }

    // MARK: The drain

    /// Requests and workers come to an end at the same time. When the requests do not, all is over at once: nobody
    /// waits at a closed gate for workers that do not matter any more.
    private func drain(
        _ gateHold: any GateHold, _ freeze: any FreezeLease, _ keeper: HoldKeeper, _ limits: HoldLimits,
        _ scope: HoldScope, _ tries: inout HoldTries
    ) throws -> Double {
        let late = Mutex<[String]>([])
        let isBlocked = Mutex(false)
        let outcomes = try inParallel([
            { @Sendable () throws -> DrainOutcome in
                let outcome = try drainGate(gateHold, limits)
                if case .blocked = outcome {
                    isBlocked.withLock { $0 = true }
                    keeper.end()
                }
                return outcome
            },
            { @Sendable () throws -> DrainOutcome in
                do {
                    let names = try freeze.quiesce(timeout: limits.drain)
                    late.withLock { $0 = names }
                } catch {
                    // What was ended on purpose is not the reason.
                    guard isBlocked.withLock({ $0 }) else { throw error }
                }
                return .drained(atMilliseconds: 0)
            },
        ])
        var blockers = late.withLock { $0 }
        for case .blocked(let requests) in outcomes {
            tries.blamed.formUnion(requests.map(\.id))
            blockers += requests.map(\.description)
        }
        guard blockers.isEmpty else { throw notDrained(blockers) }
        return scope.elapsedMilliseconds
    }

    /// A request whose client has stopped in the middle of it is not waited for any longer than it takes to see that.
    private func drainGate(
        _ gateHold: any GateHold, _ limits: HoldLimits, isSwitch: Bool = false
    ) throws -> DrainOutcome {
        let moment = GoodMoment(limits: limits)
        let start = time.monotonicNanoseconds()
        var left = limits.drain
        while true {
            let step = min(limits.grace, left)
            left -= step
            let outcome = try gateHold.drain(timeout: step)
            guard case .blocked(let all) = outcome else { return outcome }
            let requests = all.filter { !(isSwitch && $0.isGivenUp) }
            if requests.isEmpty {
                return .drained(atMilliseconds: Double(time.monotonicNanoseconds() - start) / 1_000_000)
            }
            if left < .milliseconds(1) || requests.contains(where: moment.isStalled) { return .blocked(by: requests) }
        }
    }

    private func notDrained(_ blockers: [String]) -> HoldfastError {
        HoldfastError(
            .timedOut,
            "not drained, still running: " + blockers.prefix(5).joined(separator: "; "), hint: hint)
    }
}

extension HoldEvidence {
    fileprivate mutating func add(_ report: GateReport, _ loss: HoldfastError?) {
        closedAt = report.closedAt
        heldForMilliseconds = report.heldForMilliseconds
        requestsHeld = report.requestsHeld
        longestRequestMilliseconds = report.longestRequestMilliseconds
        requestsRefused = report.requestsRefused
        requestsLeft = report.requestsLeft
        streamsFrozen = report.streamsFrozen
        streamsIgnored = report.streamsIgnored
        unbroken = report.unbroken && loss == nil
    }
}
