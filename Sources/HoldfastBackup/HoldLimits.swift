import HoldfastModel

/// The bounds of one hold.
package struct HoldLimits: Sendable, Equatable {
    /// How long the gate stays closed without a renewal.
    package var lease: Duration
    /// How long running requests, crons and workers may take to end.
    package var drain: Duration
    /// The longest hold in all; the gate opens by itself after it.
    package var cap: Duration
    /// How long to wait, with the gate open, until nothing is in the way that a drain would wait for in vain.
    package var patience: Duration

    package init(
        lease: Duration = .seconds(5), drain: Duration = .seconds(10), cap: Duration = .seconds(15),
        patience: Duration = .seconds(60)
    ) {
        self.lease = lease
        self.drain = drain
        self.cap = cap
        self.patience = patience
    }

    /// By how much the freeze ends before the gate opens: else requests would go to processes that stand still.
    var lead: Duration { min(lease / 10, .milliseconds(500)) }
    /// How often both leases are renewed; also how fast the loss of one ends the other.
    var heartbeat: Duration { min(lease / 4, .milliseconds(200)) }
    /// What runs longer, or from whose client nothing came for that long, is worth waiting for before the gate closes.
    var grace: Duration { min(drain, .seconds(1)) }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    package var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }

    var nanoseconds: UInt64 {
        UInt64(max(0, components.seconds)) * 1_000_000_000 + UInt64(max(0, components.attoseconds / 1_000_000_000))
    }
}

/// Whether the gate may be closed now: decided from what runs, without a clock.
///
/// A request that would not end within the drain must not cost a hold. So what runs longer than a drain may last,
/// what has blocked a drain before, and what waits for a silent client is waited for while the gate is open. Others
/// that are slow are given as much time as a drain would, because a hold that begins after them is shorter.
package struct GoodMoment: Sendable {
    package enum Decision: Sendable, Equatable {
        case close
        case wait(for: [PassedRequest])
        case giveUp(because: [PassedRequest])
    }

    private let limits: HoldLimits
    private let blamed: Set<UInt64>

    /// - Parameter blamed: requests that kept an earlier drain from its end.
    package init(limits: HoldLimits, blamed: Set<UInt64> = []) {
        self.limits = limits
        self.blamed = blamed
    }

    /// - Parameters:
    ///   - running: what has passed the gate and not ended.
    ///   - waited: for this hold, so far.
    ///   - waitedInAll: for this hold and those tried before it.
    package func decide(_ running: [PassedRequest], waited: Duration, waitedInAll: Duration) -> Decision {
        let inTheWay = running.filter { request in
            blamed.contains(request.id) || request.milliseconds >= Double(limits.drain.milliseconds)
                || isStalled(request)
        }
        if !inTheWay.isEmpty {
            return waitedInAll < limits.patience ? .wait(for: inTheWay) : .giveUp(because: inTheWay)
        }
        let slow = running.filter { $0.milliseconds >= Double(limits.grace.milliseconds) }
        return slow.isEmpty || waited >= min(limits.drain, limits.patience) ? .close : .wait(for: slow)
    }

    /// Its client has stopped in the middle of it, and nobody knows whether it goes on.
    package func isStalled(_ request: PassedRequest) -> Bool {
        !request.isReceived && request.silentMilliseconds >= Double(limits.grace.milliseconds)
    }
}

/// What the tries at one consistent point have cost, and what was learnt from them.
package struct HoldTries: Sendable, Equatable {
    /// How often the gate was closed.
    package internal(set) var count = 0
    /// How long it was closed in all.
    package internal(set) var heldMilliseconds = 0.0
    /// How long it was waited for with the gate open.
    package internal(set) var waited = Duration.zero
    /// The gateway's numbers of requests that kept a drain from its end.
    package internal(set) var blamed: Set<UInt64> = []

    package init() {}
}
