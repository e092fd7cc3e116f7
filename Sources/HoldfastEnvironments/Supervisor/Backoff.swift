/// How long to wait before something that ended is started again: longer each time, until it has run for a while.
package struct Backoff: Sendable, Equatable {
    /// All in milliseconds.
    package struct Limits: Sendable, Equatable {
        package var first: UInt64 = 250
        package var longest: UInt64 = 30_000
        /// Who has run for so long begins anew.
        package var settled: UInt64 = 60_000

        package init() {}
    }

    private let limits: Limits
    private var next: UInt64

    package init(_ limits: Limits = Limits()) {
        self.limits = limits
        next = limits.first
    }

    /// The pause after a run.
    ///
    /// - Parameter ran: how long it was, in milliseconds.
    package mutating func pause(after ran: UInt64) -> Duration {
        if ran >= limits.settled { next = limits.first }
        defer { next = min(next * 2, limits.longest) }
        return .milliseconds(Int64(next))
    }
}
