import Foundation
import HoldfastModel

/// What is said to the gateway over its control socket: one request, one answer.
///
/// A hold belongs to the connection that asked for it. `drain` names its hold by number, because it is asked on a
/// connection of its own: it takes long, and a renewal must not wait behind it.
enum GatewayRequest: Codable, Sendable {
    case configure(GatewayConfiguration)
    case status
    /// The requests of an environment that were sent on and have not ended.
    case running(environment: EnvironmentID)
    case hold(environment: EnvironmentID, leaseMilliseconds: Int64, capMilliseconds: Int64)
    case drain(environment: EnvironmentID, epoch: UInt64, timeoutMilliseconds: Int64)
    case renew(environment: EnvironmentID, epoch: UInt64)
    case release(environment: EnvironmentID, epoch: UInt64)
}

/// The answer to `hold`.
struct HoldGranted: Codable, Sendable {
    var epoch: UInt64
    var closedAt: Date
}

/// The answer to `running`.
struct RunningRequests: Codable, Sendable {
    var requests: [DrainBlocker]
}

/// The answer to what has nothing to say.
struct GatewayAcknowledged: Codable, Sendable {
    var done = true
}
