import Foundation

/// What one hold did, measured by the gateway. It goes into the manifest of the backup that was taken under it.
package struct GateEvidence: Codable, Sendable, Equatable {
    /// The gateway's number of the hold; never used again, also not by a gateway that was started anew.
    package var epoch: UInt64
    /// Wall clock when the gate closed.
    package var closedAt: Date
    /// From gate closed until the last running request ended; nil if that never happened.
    package var drainedAtMilliseconds: Double?
    /// From gate closed to gate open.
    package var heldForMilliseconds: Double
    /// Requests that waited because the gate was closed.
    package var requestsHeld: Int
    /// The longest time that one of them waited, until it was sent on, refused or given up by its client.
    package var longestRequestMilliseconds: Double
    /// Requests answered with 503 because a limit was passed; none of them reached the app.
    package var requestsRefused: Int
    /// Requests whose client went away while they waited; none of them reached the app.
    package var requestsLeft: Int
    /// WebSockets and event streams that stood still.
    package var streamsFrozen: Int
    /// WebSockets and event streams whose route says that they go on.
    package var streamsIgnored: Int
    /// True only if the gate was closed from hold to release, with a valid lease all the time.
    package var unbroken: Bool
    package var ending: HoldEnding

    init(epoch: UInt64, closedAt: Date, ending: HoldEnding) {
        self.epoch = epoch
        self.closedAt = closedAt
        self.drainedAtMilliseconds = nil
        self.heldForMilliseconds = 0
        self.requestsHeld = 0
        self.longestRequestMilliseconds = 0
        self.requestsRefused = 0
        self.requestsLeft = 0
        self.streamsFrozen = 0
        self.streamsIgnored = 0
        self.unbroken = false
        self.ending = ending
    }
}

/// Why a gate opened. Only the first is good.
package enum HoldEnding: String, Codable, Sendable, CaseIterable {
    case released
    /// The holder did not renew in time.
    case leaseExpired
    /// The hold was renewed up to the longest time that one may last.
    case capReached
    /// The control connection ended: the holder gave up, or died.
    case connectionLost
    /// The gateway was told to stop.
    case gatewayStopped

    var text: String {
        switch self {
        case .released: "it was released"
        case .leaseExpired: "its lease ran out"
        case .capReached: "it reached the longest time a hold may last"
        case .connectionLost: "its control connection ended"
        case .gatewayStopped: "the gateway was stopped"
        }
    }
}

/// The answer to a drain.
package struct DrainResult: Codable, Sendable, Equatable {
    package var drained: Bool
    /// From gate closed until the last running request ended; nil if they did not.
    package var drainedAtMilliseconds: Double?
    /// What still ran at the time-out, the longest first; empty if drained.
    package var blockers: [DrainBlocker]
}

/// A request that is running: now, or when a drain gave up.
package struct DrainBlocker: Codable, Sendable, Equatable {
    /// The gateway's number of it.
    package var id: UInt64
    package var method: String
    /// Without the query, which may carry secrets.
    package var path: String
    /// Since it was sent to the app.
    package var milliseconds: Double
    /// False while its client has not sent all of it.
    package var isReceived: Bool
    /// Since something of it came last from its client.
    package var silentMilliseconds: Double
    /// True if nobody waits for the answer any more, and the app has not ended it; nil otherwise.
    package var isGivenUp: Bool?
}
