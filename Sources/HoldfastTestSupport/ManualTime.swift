import Foundation
import HoldfastModel
import Synchronization

/// Two clocks that only move when told to.
package final class ManualTime: TimeSource {
    private let wall: Mutex<Double>
    private let counting = Mutex<UInt64>(1_000_000_000_000)

    /// - Parameter start: an instant in ISO 8601; the wall clock begins there.
    package init(_ start: String) {
        wall = Mutex(((try? Date(start, strategy: .iso8601)) ?? .distantPast).timeIntervalSince1970)
    }

    package func now() -> Date { Date(timeIntervalSince1970: wall.withLock { $0 }) }
    package func monotonicNanoseconds() -> UInt64 { counting.withLock { $0 } }
    package func advance(_ seconds: Double) {
        wall.withLock { $0 += seconds }
        counting.withLock { $0 += UInt64(seconds * 1e9) }
    }
    /// Somebody sets the wall clock.
    package func jump(_ seconds: Double) { wall.withLock { $0 += seconds } }
}
