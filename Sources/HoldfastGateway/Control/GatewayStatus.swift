import Foundation
import HoldfastModel

/// How the gateway is.
package struct GatewayStatus: Codable, Sendable, Equatable {
    package var startedAt: Date
    /// `Control.version` of its binary; nil if that is older than the first one.
    package var version: Int?
    package var pid: Int32?
    /// The port that it listens on.
    package var port: Int
    package var routes: Int
    package var clientConnections: Int
    package var upstreamConnections: Int
    package var counters: GatewayCounters
    /// By environment; only those that have a route or had a request.
    package var environments: [GateStatus]
    /// Why the stored routes could not be read at the start; nil when all is well.
    package var problem: String?
}

/// What happened to requests that belong to no environment, since the gateway started.
package struct GatewayCounters: Codable, Sendable, Equatable {
    /// Not valid HTTP/1.1, or over a limit of the head: answered with 4xx and closed.
    package var malformed = 0
    /// For a host without a route.
    package var unknownHost = 0
    package var redirected = 0
    /// Connections closed because there were too many.
    package var connectionsRefused = 0
}

/// One environment's gate.
package struct GateStatus: Codable, Sendable, Equatable {
    package var environment: EnvironmentID
    package var phase: HoldPhase
    /// The open hold's number.
    package var epoch: UInt64?
    package var leaseLeftMilliseconds: Double?
    package var running: Int
    package var parked: Int
    package var streams: Int
    package var counters: GateCounters
    /// The last hold that ended.
    package var lastHold: GateEvidence?
}

/// What happened to an environment's requests since the gateway started.
package struct GateCounters: Codable, Sendable, Equatable {
    /// Requests that reached the gate.
    package var requests = 0
    /// Requests sent on to the app.
    package var forwarded = 0
    /// Requests that waited for the gate.
    package var held = 0
    /// 503: over a bound of the gate.
    package var refused = 0
    /// 502: no app, or the connection to it failed.
    package var badGateway = 0
    /// 504: no answer in time.
    package var timedOut = 0
    /// Connection attempts made again because nothing had been sent.
    package var retried = 0
    /// Clients that went away before their answer was complete.
    package var clientsLeft = 0
}
