import Foundation

/// What proves that a backup is one point in time: it is stored in the manifest and with the backup.
///
/// All `…At` values are milliseconds since the gate closed, on the gateway's monotonic clock unless said otherwise.
public struct HoldEvidence: Sendable, Codable, Hashable {
    /// The gateway's number of this hold; a restarted gateway never repeats one.
    public var epoch: UInt64
    /// Wall clock when the gate closed.
    public var closedAt: Date
    /// From gate closed until the last running request ended.
    public var drainedAtMilliseconds: Double
    /// From gate closed until apps, workers and crons stood still (control plane's clock).
    public var frozenAtMilliseconds: Double
    /// From gate closed to each mark, by service or mount (control plane's clock).
    public var marksAtMilliseconds: [String: Double]
    /// From gate closed to gate open: the hold.
    public var heldForMilliseconds: Double
    public var requestsHeld: Int
    public var longestRequestMilliseconds: Double
    /// Requests refused with 503 because a limit was passed.
    public var requestsRefused: Int
    /// Requests whose client went away while they waited, none of which reached the app; nil in old records.
    public var requestsLeft: Int?
    /// WebSockets and event streams that stood where they were: what an app holds of one in memory is in no backup. Nil
    /// in old records.
    public var streamsFrozen: Int?
    /// WebSockets and event streams that went on, because their route says so; nil in old records.
    public var streamsIgnored: Int?
    /// True only if the lease was valid from gate closed to release.
    public var unbroken: Bool
    /// How processes were stopped: `cgroup2`, `cgroup1` or `signal`.
    public var freezeMethod: String
    /// Workers frozen where they stood, without a quiesce signal: crash-consistent.
    public var workersFrozenInPlace: [String]
    /// How often the gate was closed for this point, this hold included; nil in old records.
    public var tries: Int?
    /// How long the gate was closed in all of them.
    public var heldInAllMilliseconds: Double?

    public init(epoch: UInt64, closedAt: Date) {
        self.epoch = epoch
        self.closedAt = closedAt
        self.drainedAtMilliseconds = 0
        self.frozenAtMilliseconds = 0
        self.marksAtMilliseconds = [:]
        self.heldForMilliseconds = 0
        self.requestsHeld = 0
        self.longestRequestMilliseconds = 0
        self.requestsRefused = 0
        self.unbroken = false
        self.freezeMethod = ""
        self.workersFrozenInPlace = []
    }

    /// One line for people, as in `held 212 ms (37 requests, longest 187 ms), consistent`.
    public var summary: String {
        let longest = "longest \(Int(longestRequestMilliseconds.rounded())) ms"
        let requests =
            switch requestsHeld {
            case 0: "no requests"
            case 1: "1 request, \(longest)"
            default: "\(requestsHeld) requests, \(longest)"
            }
        let held = "held \(Int(heldForMilliseconds.rounded())) ms (\(requests))"
        let worth = "\(held), \(unbroken ? "consistent" : "broken")" + streams
        guard let tries, tries > 1 else { return worth }
        return "\(worth); the \(tries) tries held \(Int((heldInAllMilliseconds ?? 0).rounded())) ms in all"
    }

    /// What to add to the summary if there were streams.
    private var streams: String {
        var text = ""
        if let count = streamsFrozen, count > 0 {
            text += count == 1 ? "; 1 stream stood where it was" : "; \(count) streams stood where they were"
        }
        if let count = streamsIgnored, count > 0 {
            text += "; \(count) \(count == 1 ? "stream" : "streams") went on as configured"
        }
        return text
    }
}

/// How far apart the marks of a live backup are.
public struct LiveSkew: Sendable, Codable, Hashable {
    public var firstMarkAt: Date
    public var lastMarkAt: Date
    /// Order in which the marks were taken, databases before files.
    public var order: [String]
    /// Files that were written to while they were copied, such as `ledger/files/data.sqlite`, the first hundred: their
    /// parts may be of different moments. Nil if there were none.
    public var torn: [String]?

    public init(firstMarkAt: Date, lastMarkAt: Date, order: [String]) {
        self.firstMarkAt = firstMarkAt
        self.lastMarkAt = lastMarkAt
        self.order = order
    }

    public var milliseconds: Double { lastMarkAt.timeIntervalSince(firstMarkAt) * 1000 }
}
