import Foundation
import HoldfastControl
import HoldfastModel
import Synchronization

/// Speaks to a running gateway. Blocking; every call makes a connection of its own.
package struct GatewayClient: Sendable {
    package let socketPath: String
    /// How long a connection or an answer may take; the gateway answers in milliseconds.
    package var timeout: Duration

    package init(socketPath: String, timeout: Duration = .seconds(5)) {
        self.socketPath = socketPath
        self.timeout = timeout
    }

    /// Replaces routes and limits; they are stored before this returns. Running requests and holds go on.
    ///
    /// - Throws: `invalidInput` naming the route, `unavailable` if there is no gateway.
    package func configure(_ configuration: GatewayConfiguration) throws {
        let _: GatewayAcknowledged = try call(.configure(configuration))
    }

    package func status() throws -> GatewayStatus { try call(.status) }

    /// Requests that were sent on to the app and have not ended, the longest first, 64 at most; no streams.
    ///
    /// - Throws: `unavailable` if there is no gateway.
    package func running(_ environment: EnvironmentID) throws -> [DrainBlocker] {
        let answer: RunningRequests = try call(.running(environment: environment))
        return answer.requests
    }

    /// Closes an environment's gate; from now on its new requests wait.
    ///
    /// - Parameters:
    ///   - lease: how long the gate stays closed without a renewal.
    ///   - cap: how long it stays closed at most, renewed or not; at most 30 seconds.
    /// - Throws: `locked` if the gate is closed already or not yet open again, `unavailable` if there is no gateway.
    package func hold(_ environment: EnvironmentID, lease: Duration, cap: Duration) throws -> GatewayHold {
        let connection = try ControlConnection(path: socketPath, timeout: timeout)
        do {
            let granted: HoldGranted = try connection.call(
                GatewayRequest.hold(
                    environment: environment, leaseMilliseconds: lease.wholeMilliseconds,
                    capMilliseconds: cap.wholeMilliseconds),
                timeout: timeout)
            return GatewayHold(client: self, environment: environment, granted: granted, connection: connection)
        } catch {
            connection.close()
            throw error
        }
    }

    func call<Answer: Decodable & Sendable>(
        _ request: GatewayRequest, timeout: Duration? = nil
    ) throws -> Answer {
        let connection = try ControlConnection(path: socketPath, timeout: self.timeout)
        defer { connection.close() }
        return try connection.call(request, timeout: timeout ?? self.timeout)
    }
}

/// A closed gate. Its connection is the lease: when it ends, by whatever way, the gate opens at once.
///
/// Blocking and thread-safe: one thread may renew while another waits in `drain`.
package final class GatewayHold: Sendable {
    package let environment: EnvironmentID
    package let epoch: UInt64
    /// The gateway's wall clock when the gate closed.
    package let closedAt: Date
    private let client: GatewayClient
    private let connection: ControlConnection
    /// Taken for each call on the lease's connection; true once the hold was released or abandoned.
    private let ended = Mutex(false)

    init(client: GatewayClient, environment: EnvironmentID, granted: HoldGranted, connection: ControlConnection) {
        self.client = client
        self.environment = environment
        self.epoch = granted.epoch
        self.closedAt = granted.closedAt
        self.connection = connection
    }

    deinit { connection.close() }

    /// Waits until no request runs, or answers at the time-out what still does.
    ///
    /// - Throws: `conflict` if the hold ended meanwhile, `unavailable` if the gateway is gone.
    package func drain(timeout: Duration) throws -> DrainResult {
        try client.call(
            .drain(environment: environment, epoch: epoch, timeoutMilliseconds: timeout.wholeMilliseconds),
            timeout: timeout + client.timeout)
    }

    /// Extends the lease to its full length from now. After `release` it does nothing, so that a renewing thread
    /// that is a moment late reports no failure.
    ///
    /// - Throws: `conflict` if the gate is open again, `unavailable` if the gateway is gone.
    package func renew() throws {
        try ended.withLock { ended in
            guard !ended else { return }
            let _: GatewayAcknowledged = try connection.call(
                GatewayRequest.renew(environment: environment, epoch: epoch), timeout: client.timeout)
        }
    }

    /// Opens the gate; returns when every parked request was sent on, in order of arrival.
    ///
    /// - Returns: the evidence. It also comes for a gate that had opened by itself: then it is not `unbroken`.
    /// - Throws: `conflict` if the gateway does not know this hold, `unavailable` if it is gone.
    package func release() throws -> GateEvidence {
        try ended.withLock { ended in
            guard !ended else {
                throw HoldfastError(.conflict, "hold \(epoch) of environment \(environment) was released before")
            }
            ended = true
            defer { connection.close() }
            return try connection.call(
                GatewayRequest.release(environment: environment, epoch: epoch), timeout: client.timeout)
        }
    }

    /// Opens the gate and asks for nothing. May be called at any time, also after `release`.
    package func abandon() {
        // First, because it also ends a call that another thread is waiting in.
        connection.close()
        ended.withLock { $0 = true }
    }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
