import Foundation
import HoldfastControl
import HoldfastModel

/// Speaks to the supervisor of one environment. Each call blocks, on a connection of its own.
package struct SupervisorClient: Sendable {
    package let socketPath: String

    /// - Parameter socketPath: `EnvironmentLayout.socket`.
    package init(socketPath: String) { self.socketPath = socketPath }

    package func status() throws -> SupervisorStatus { try ask(.status, timeout: .seconds(10)) }

    /// Makes what `current.json` says true: stops what is not in it, starts what is, keeps what is the same.
    ///
    /// - Returns: when all of it is ready, lines for the activity's log.
    /// - Throws: the first thing that did not start, with the end of its log. What started before it runs on.
    @discardableResult
    package func apply(_ options: ApplyOptions = ApplyOptions()) throws -> [String] {
        let answer: LinesAnswer = try ask(.apply(options), timeout: .seconds(7200))
        return answer.lines
    }

    /// Starts a service on other data than the live one, beside it, and waits until it is ready and verified.
    ///
    /// - Parameters:
    ///   - configuration: of the service when the data was made.
    ///   - manifest: of the backup that the data comes from; nil for data that was not restored.
    /// - Returns: lines for the activity's log.
    @discardableResult
    package func startAside(
        service: String, record: ServiceRecord, configuration: ServiceConfiguration?, manifest: ServiceManifest?
    ) throws -> [String] {
        let request = AsideRequest(
            service: service, record: record, configuration: configuration?.configuration, manifest: manifest)
        let answer: LinesAnswer = try ask(.startAside(request), timeout: .seconds(7200))
        return answer.lines
    }

    /// Stops a service that was started aside; does nothing if it does not run.
    package func stopAside(service: String, record: ServiceRecord) throws {
        let _: EmptyAnswer = try ask(.stopAside(service: service, record: record), timeout: .seconds(300))
    }

    /// Starts the apps of another state beside the live ones, each on a port of its own, and waits until they listen.
    /// An `apply` of that state takes them over. Its services have to run already.
    ///
    /// - Returns: app name -> port.
    /// - Throws: `timedOut` if an app does not listen, `unavailable` if it ended. Nothing of them runs then.
    package func startAppsAside(_ state: CurrentState) throws -> [String: Int] {
        let answer: PortsAnswer = try ask(.startAppsAside(state), timeout: .seconds(7200))
        return answer.ports
    }

    /// Stops everything that runs aside; what `current.json` names stays.
    package func dropAside() throws {
        let _: EmptyAnswer = try ask(.dropAside, timeout: .seconds(300))
    }

    /// Runs a cron to its end. It starts as soon as no freeze is open.
    ///
    /// - Throws: `conflict` if it runs already or its app does not run, `notFound` if there is no such cron.
    package func runCron(app: String, cron: String) throws -> CronOutcome {
        try ask(.runCron(app: app, cron: cron), timeout: .seconds(100_000))
    }

    /// Stops everything in good order, and ends the supervisor.
    package func stop() throws {
        let _: EmptyAnswer = try ask(.stop, timeout: .seconds(600))
    }

    /// Opens a hold. Its connection is the lease: when that ends, or nobody renews it, everything is thawed.
    ///
    /// - Throws: `conflict` while another hold is open or processes are being replaced.
    package func freezeHold(lease: Duration) throws -> FreezeHold {
        let connection = try ControlConnection(path: socketPath)
        let milliseconds = max(1, Int64(Deadline.nanoseconds(lease) / 1_000_000))
        let granted: FreezeGranted = try connection.call(
            SupervisorRequest.beginFreeze(leaseMilliseconds: milliseconds), timeout: .seconds(5))
        // A connection of its own for what takes time: renewals never wait behind it.
        return FreezeHold(id: granted.hold, lease: connection, work: try ControlConnection(path: socketPath))
    }

    private func ask<Answer: Decodable>(_ request: SupervisorRequest, timeout: Duration) throws -> Answer {
        let connection = try ControlConnection(path: socketPath)
        defer { connection.close() }
        return try connection.call(request, timeout: timeout)
    }
}

/// An open hold on apps, workers and crons of one environment. Renew it more often than its lease.
package final class FreezeHold: Sendable {
    private let id: UInt64
    private let lease: ControlConnection
    private let work: ControlConnection

    init(id: UInt64, lease: ControlConnection, work: ControlConnection) {
        self.id = id
        self.lease = lease
        self.work = work
    }

    deinit { abandon() }

    /// Asks workers with a quiesce signal to stand between two units of work, and waits for running crons.
    package func quiesce(timeout: Duration) throws -> QuiesceResult {
        let milliseconds = Int64(Deadline.nanoseconds(timeout) / 1_000_000)
        return try work.call(
            SupervisorRequest.quiesce(hold: id, timeoutMilliseconds: milliseconds), timeout: timeout + .seconds(5))
    }

    /// Makes everything stand still; when this returns, it does.
    package func freeze() throws -> FreezeResult {
        try work.call(SupervisorRequest.freeze(hold: id), timeout: .seconds(10))
    }

    /// - Parameter until: when it ends at the latest, in nanoseconds of the machine's monotonic clock, which its
    ///   processes share; nil for a whole lease from now.
    /// - Throws: `unavailable` if the lease had run out, or the supervisor is gone.
    package func renew(until: UInt64? = nil) throws {
        let request = SupervisorRequest.renewFreeze(hold: id, untilNanoseconds: until)
        let _: EmptyAnswer = try lease.call(request, timeout: .seconds(5))
    }

    /// Lets everything go on.
    ///
    /// - Throws: `unavailable` if the lease had run out before: then the freeze was not whole.
    package func thaw() throws {
        let _: EmptyAnswer = try lease.call(SupervisorRequest.thaw(hold: id), timeout: .seconds(5))
    }

    /// Ends the hold, whatever its state. Never throws; may be called after `thaw`.
    package func abandon() {
        lease.close()
        work.close()
    }
}
