/// How long to wait before something that ended is started again: longer each time, until it has run for a while.
struct Backoff: Sendable, Equatable {
    /// All in milliseconds.
    struct Limits: Sendable, Equatable {
        var first: UInt64 = 250
        var longest: UInt64 = 30_000
        /// Who has run for so long begins anew.
        var settled: UInt64 = 60_000
    }

    private let limits: Limits
    private var next: UInt64

    init(_ limits: Limits = Limits()) {
        self.limits = limits
        next = limits.first
    }

    /// The pause after a run.
    ///
    /// - Parameter ran: how long it was, in milliseconds.
    mutating func pause(after ran: UInt64) -> Duration {
        if ran >= limits.settled { next = limits.first }
        defer { next = min(next * 2, limits.longest) }
        return .milliseconds(Int64(next))
    }
}
