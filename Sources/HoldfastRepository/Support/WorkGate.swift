/// Where the engine's threads stand still during a hold.
///
/// A thread announces itself with `enter` and `leave` around a piece of work; `close` returns when no piece is under
/// way any more, so at most one chunk's work later.
final class WorkGate: @unchecked Sendable {
    private let condition = Condition()
    private var isClosed = false
    private var active = 0

    /// Waits while the gate is closed, then counts as working until `leave`.
    func enter() {
        condition.locked {
            while isClosed { condition.wait() }
            active += 1
        }
    }

    /// As `enter`, but also while the gate is closing: somebody inside may be waiting for just this work.
    func enterToHelp() {
        condition.locked {
            while isClosed && active == 0 { condition.wait() }
            active += 1
        }
    }

    func leave() {
        condition.locked {
            active -= 1
            if active == 0 { condition.broadcast() }
        }
    }

    /// Waits while the gate is closed; for work that `close` need not wait for, such as a put under way.
    ///
    /// Lets through while somebody is still inside: he may be waiting for just this work.
    func pass() {
        condition.locked { while isClosed && active == 0 { condition.wait() } }
    }

    /// Lets nobody in any more, and waits for those inside.
    func close() {
        condition.locked {
            isClosed = true
            while active > 0 { condition.wait() }
        }
    }

    func reopen() {
        condition.locked {
            isClosed = false
            condition.broadcast()
        }
    }
}
