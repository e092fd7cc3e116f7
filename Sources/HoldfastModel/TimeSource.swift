import Foundation

/// Time as a parameter: the wall clock for records, the monotonic clock for bounds.
public protocol TimeSource: Sendable {
    /// The wall clock, for time stamps only.
    func now() -> Date
    /// Nanoseconds since an arbitrary point; never goes back, does not stop while the machine runs.
    func monotonicNanoseconds() -> UInt64
    /// As `monotonicNanoseconds`, and counts also while the machine sleeps: what the wall clock is compared with.
    func elapsedNanoseconds() -> UInt64
}

extension TimeSource {
    public func elapsedNanoseconds() -> UInt64 { monotonicNanoseconds() }
}

/// The machine's clocks. The only place that reads them.
public struct SystemTime: TimeSource {
    public init() {}
    public func now() -> Date { Date() }
    public func monotonicNanoseconds() -> UInt64 { Self.read(CLOCK_MONOTONIC) }
    public func elapsedNanoseconds() -> UInt64 {
        #if os(Linux)
            Self.read(CLOCK_BOOTTIME)
        #else
            Self.read(CLOCK_MONOTONIC_RAW)
        #endif
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
