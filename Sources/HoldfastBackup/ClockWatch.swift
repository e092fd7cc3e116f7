import Foundation
import HoldfastModel
import HoldfastRetention
import Logging
import Synchronization

/// Where it is kept how the clocks stood, so that a clock that jumps while nobody looks is noticed too.
package protocol ClockMemory: Sendable {
    /// What was stored since the machine started; nil if nothing was. Never throws: without it, the clock is believed.
    func load() -> ClockGuard?
    func store(_ clocks: ClockGuard)
}

/// Whether the wall clock can be trusted, for everything that deletes or that a lock keeps from it.
package final class ClockWatch: Sendable {
    private let time: any TimeSource
    private let memory: (any ClockMemory)?
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        var clocks: ClockGuard
        var error: Int?
        /// When the clocks were stored last, by the counting clock.
        var remembered: Int?
    }

    /// - Parameter memory: nil to believe the clock as it is now.
    package init(time: any TimeSource, memory: (any ClockMemory)? = nil, logger: Logger) {
        self.time = time
        self.memory = memory
        self.logger = logger
        let now = ClockGuard(wall: time.now().wholeSeconds, counting: Self.counting(time))
        state = Mutex(State(clocks: memory?.load() ?? now))
    }

    /// By how many seconds the wall clock differed from where it should be when somebody looked last; nil if it was
    /// trusted.
    package var error: Int? { state.withLock(\.error) }

    /// Looks at both clocks.
    ///
    /// - Returns: by how many seconds the wall clock is off while it is not trusted; nil if it is.
    @discardableResult
    package func check() -> Int? {
        let (wall, counting) = (time.now().wholeSeconds, Self.counting(time))
        let (error, isNews, toStore) = state.withLock { state -> (Int?, Bool, ClockGuard?) in
            let error = state.clocks.check(wall: wall, counting: counting)
            let isNews = (error == nil) != (state.error == nil)
            state.error = error
            let isOld = state.remembered.map { counting >= $0 + 600 } ?? true
            if isNews || isOld { state.remembered = counting }
            return (error, isNews, isNews || isOld ? state.clocks : nil)
        }
        if let toStore { memory?.store(toStore) }
        if isNews, let error {
            logger.warning(
                "the clock has jumped: no backup is deleted by a policy until it is back, or a day has passed",
                metadata: ["seconds": "\(error)"])
        } else if isNews {
            logger.notice("the clock is trusted again")
        }
        return error
    }

    /// The time as it should be: while the wall clock is not trusted, without what it is off by. Locks are compared
    /// with it, and deletions stamped.
    package func now() -> Date {
        let error = check()
        return time.now().addingTimeInterval(-Double(error ?? 0))
    }

    /// Seconds of the clock that only counts.
    package static func counting(_ time: any TimeSource) -> Int { Int(time.elapsedNanoseconds() / 1_000_000_000) }
}
