import Foundation
import HoldfastModel

/// State behind a lock, with threads that wait for it to change. Waits are measured on the monotonic clock.
final class Monitor<State>: @unchecked Sendable {
    // Both live on the heap: a pthread object must not move.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Only touched with the mutex held.
    private var state: State

    init(_ state: State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Reads or changes the state, and wakes those who wait.
    func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Looks without waking anybody.
    func read<Result>(_ body: (State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(state)
    }

    /// What a waiting thread does next.
    enum Step<Result> {
        case done(Result)
        /// Sleeps until the state changes or the deadline passes, and asks again.
        case sleep(until: Deadline?)
    }

    /// Asks `body` again after each change and each deadline that it gives, until it is done.
    func wait<Result>(_ body: (inout State) throws -> Step<Result>) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            switch try body(&state) {
            case .done(let result): return result
            case .sleep(nil): pthread_cond_wait(condition, mutex)
            case .sleep(let deadline?): sleep(until: deadline)
            }
        }
    }

    /// Waits until `body` gives a result, asking again after each change.
    ///
    /// - Returns: nil if the deadline passed before.
    func wait<Result>(until deadline: Deadline?, _ body: (inout State) throws -> Result?) rethrows -> Result? {
        try wait { (state: inout State) throws -> Step<Result?> in
            if let result = try body(&state) { return .done(result) }
            if let deadline, deadline.hasPassed { return .done(nil) }
            return .sleep(until: deadline)
        }
    }

    private func sleep(until deadline: Deadline) {
        // An hour at most in one wait, so that no addition can overflow.
        let milliseconds = min(deadline.millisecondsLeft, 3_600_000)
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_sec += milliseconds / 1000
        until.tv_nsec += (milliseconds % 1000) * 1_000_000
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_sec += 1
            until.tv_nsec -= 1_000_000_000
        }
        pthread_cond_timedwait(condition, mutex, &until)
    }
}
