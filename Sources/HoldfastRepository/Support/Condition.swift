import Foundation
import Glibc

/// A lock with a condition to wait for: the engine's one primitive for threads that wait for each other.
final class Condition: Sendable {
    private let condition = NSCondition()

    func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        condition.lock()
        defer { condition.unlock() }
        return try body()
    }

    /// Waits until somebody signals; only inside `locked`, and always in a loop that looks at the state again.
    func wait() { condition.wait() }

    func signal() { condition.signal() }
    func broadcast() { condition.broadcast() }
}

/// A thread of the engine's own, at the priority of its process; nothing of it runs on Swift's cooperative pool.
func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread { body() }
    thread.name = name
    thread.stackSize = 2 << 20
    thread.start()
}

/// How many threads do the engine's work: one per core, at most eight.
let workerCount = min(max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1), 8)
