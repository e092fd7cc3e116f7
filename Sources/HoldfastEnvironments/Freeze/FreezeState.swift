import HoldfastModel

/// Who holds the frozen set, and how far it is: idle -> open -> freezing -> frozen -> idle.
///
/// A value without clock, processes or threads; times are nanoseconds of one monotonic clock. Every phase may go back
/// to idle: by a thaw, by the end of the connection that began it, or by its lease.
package struct FreezeState: Equatable {
    package enum Phase: Equatable { case idle, open, freezing, frozen }

    package private(set) var phase = Phase.idle
    /// The hold that is open, or the last one that was.
    package private(set) var hold: UInt64 = 0
    /// When the lease of the open hold ends.
    package private(set) var deadline: UInt64 = 0
    private var lease: UInt64 = 0

    package init() {}

    package var isOpen: Bool { phase != .idle }
    package var isStopping: Bool { phase == .freezing || phase == .frozen }

    /// - Parameter lease: nanoseconds.
    package mutating func begin(now: UInt64, lease: UInt64) throws -> UInt64 {
        guard phase == .idle else {
            throw HoldfastError(
                .conflict, "the environment is held by another freeze", hint: "Wait until that has ended")
        }
        hold += 1
        self.lease = lease
        deadline = now + lease
        phase = .open
        return hold
    }

    /// - Parameter until: when it ends at the latest; nil for a whole lease from now.
    package mutating func renew(_ hold: UInt64, now: UInt64, until: UInt64? = nil) throws {
        try check(hold, now)
        deadline = min(now + lease, until ?? .max)
    }

    /// From now on nothing may be started in the frozen set.
    package mutating func startFreezing(_ hold: UInt64, now: UInt64) throws {
        try check(hold, now)
        guard phase == .open else { throw HoldfastError(.conflict, "freeze \(hold) is frozen already") }
        phase = .freezing
    }

    /// Everything stands still.
    package mutating func completeFreezing(_ hold: UInt64, now: UInt64) throws {
        try check(hold, now)
        guard phase == .freezing else { throw HoldfastError(.conflict, "freeze \(hold) was not begun") }
        phase = .frozen
    }

    /// Ends a hold; false if it had ended before.
    package mutating func end(_ hold: UInt64) -> Bool {
        guard phase != .idle, hold == self.hold else { return false }
        phase = .idle
        return true
    }

    /// The hold whose lease is over at `now` and which has to be ended; nil if there is none.
    package func expired(now: UInt64) -> UInt64? { phase != .idle && now >= deadline ? hold : nil }

    private func check(_ hold: UInt64, _ now: UInt64) throws {
        guard phase != .idle, hold == self.hold, now < deadline else {
            throw HoldfastError(
                .unavailable, "the lease of freeze \(hold) has run out, everything was thawed",
                hint: "Begin again; renew more often if this repeats")
        }
    }
}
