import Foundation
import HoldfastModel
import Synchronization

/// Keeps a closed gate and a freeze behind it, together: from a thread of its own, so that no hashing or database can
/// make a renewal late.
///
/// The freeze always ends first. Each of its renewals names an instant before the one at which the gate will open
/// without the next, and before the gate's cap: so if everything here stands still, the supervisor thaws and then the
/// gateway opens, without a word between them. If one of the two is lost, the other is ended at once.
final class HoldKeeper: Sendable {
    private enum Stage { case frozen, thawed, ended }
    private struct State {
        var stage = Stage.frozen
        var loss: HoldfastError?
        var report: GateReport?
    }

    private let gate: any GateHold
    private let freeze: (any FreezeLease)?
    private let limits: HoldLimits
    private let time: any TimeSource
    /// Before the gate was asked to close, so not after its cap began.
    private let closing: UInt64
    private let lost: @Sendable () -> Void
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - clock: and what its monotonic time was just before the gate was asked to close.
    ///   - lost: called once if gate or freeze are lost, after both were ended; may take its time.
    init(
        _ gate: any GateHold, _ freeze: (any FreezeLease)?, limits: HoldLimits,
        clock: (time: any TimeSource, closing: UInt64), lost: @escaping @Sendable () -> Void
    ) {
        self.gate = gate
        self.freeze = freeze
        self.limits = limits
        time = clock.time
        closing = clock.closing
        self.lost = lost
        let thread = Thread { [self] in keep() }
        thread.name = "lease"
        thread.qualityOfService = .userInteractive
        thread.start()
    }

    /// Why the hold ended before it should have; nil if it did not.
    var loss: HoldfastError? { state.withLock(\.loss) }

    /// Lets the processes go on, with the gate still closed.
    func thaw() throws {
        state.withLock { state in
            if state.stage == .frozen { state.stage = .thawed }
        }
        try freeze?.thaw()
    }

    /// Opens the gate, after `thaw`, and ends the renewals.
    func release() throws -> GateReport {
        let report = try gate.release()
        if stop() != .ended { wake.signal() }
        freeze?.abandon()
        gate.abandon()
        return report
    }

    /// Ends the renewals, thaws and opens, in this order; does nothing that was done before. Never throws.
    ///
    /// - Returns: what the gate says of the hold, if that is still to be had.
    @discardableResult
    func end() -> GateReport? {
        let last = stop()
        guard last != .ended else { return state.withLock(\.report) }
        wake.signal()
        if last == .frozen { try? freeze?.thaw() }
        freeze?.abandon()
        let report = try? gate.release()
        state.withLock { $0.report = report }
        gate.abandon()
        return report
    }

    /// The stage until now.
    private func stop() -> Stage {
        state.withLock { state in
            defer { state.stage = .ended }
            return state.stage
        }
    }

    private func keep() {
        while wake.wait(timeout: .now() + .milliseconds(Int(limits.heartbeat.milliseconds))) == .timedOut {
            let asked = time.monotonicNanoseconds()
            do { try gate.renew() } catch { return lose("the gate", error) }
            guard let freeze, state.withLock({ $0.stage == .frozen }) else { continue }
            let opens = min(asked + limits.lease.nanoseconds, closing + limits.cap.nanoseconds)
            do {
                try freeze.renew(until: opens - limits.lead.nanoseconds)
            } catch {
                // It may have been thawed, as it should, while it was being renewed.
                if state.withLock({ $0.stage == .frozen }) { return lose("the freeze", error) }
            }
        }
    }

    private func lose(_ what: String, _ error: any Error) {
        let isNews = state.withLock { state in
            guard state.stage != .ended else { return false }
            state.loss = HoldfastError(.unavailable, "\(what) was lost in the hold", cause: error)
            state.stage = .ended
            return true
        }
        guard isNews else { return }
        try? freeze?.thaw()
        freeze?.abandon()
        gate.abandon()
        lost()
    }
}
