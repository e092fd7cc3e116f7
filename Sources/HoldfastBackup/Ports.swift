import Foundation
import HoldfastModel
import HoldfastRetention

// HoldfastBackup: the activities that move data (backup, restore, deploy, cron, delete), and what runs their queues.
//
// It knows neither the gateway nor the database: this file declares what it needs of them, and the executable
// states the conformances. Everything here is synchronous and runs on threads of its own, because two cores are
// two threads of the cooperative pool and a backup may hash for minutes.

/// The gate in front of an environment. Implemented by the gateway's client.
package protocol RequestGate: Sendable {
    /// What has passed the gate and not ended, the longest first; no streams. Changes nothing.
    ///
    /// - Throws: `unavailable` if the gateway cannot be reached.
    func running(_ environment: EnvironmentID) throws -> [PassedRequest]
    /// Closes the gate: from now on new requests are parked. The result's lifetime is the lease.
    ///
    /// - Throws: `unavailable` if the gateway cannot be reached, `conflict` if another hold is open.
    func hold(_ environment: EnvironmentID, lease: Duration, cap: Duration) throws -> any GateHold
}

/// A closed gate. Whatever happens, `release` or `abandon` must be called; if neither is, the lease runs out.
package protocol GateHold: Sendable {
    var epoch: UInt64 { get }
    /// Waits until no request is running.
    func drain(timeout: Duration) throws -> DrainOutcome
    func renew() throws
    /// Opens the gate and answers with the evidence.
    func release() throws -> GateReport
    /// Opens the gate without asking for evidence; never throws, may be called after `release`.
    func abandon()
}

package enum DrainOutcome: Sendable, Equatable {
    /// Milliseconds since the gate closed.
    case drained(atMilliseconds: Double)
    /// What still ran when the time was over, the longest first.
    case blocked(by: [PassedRequest])
}

/// A request that the app has got, or is getting.
package struct PassedRequest: Sendable, Hashable, CustomStringConvertible {
    /// The gateway's number of it.
    package var id: UInt64
    /// Method and path, without the query.
    package var line: String
    /// Since it was sent to the app.
    package var milliseconds: Double
    /// False while its client has not sent all of it.
    package var isReceived: Bool
    /// Since something of it came last from its client.
    package var silentMilliseconds: Double
    /// Nobody waits for the answer any more, and the app has not ended it.
    package var isGivenUp: Bool

    package init(
        id: UInt64, line: String, milliseconds: Double, isReceived: Bool, silentMilliseconds: Double,
        isGivenUp: Bool = false
    ) {
        self.id = id
        self.line = line
        self.milliseconds = milliseconds
        self.isReceived = isReceived
        self.silentMilliseconds = silentMilliseconds
        self.isGivenUp = isGivenUp
    }

    /// For people: `POST /upload, 12.4 s`.
    package var description: String {
        let shown = line.count > 200 ? line.prefix(200) + "…" : line
        return "\(shown), \((milliseconds / 100).rounded() / 10) s"
            + (isReceived ? "" : ", not all of it sent by its client")
            + (isGivenUp ? ", nobody waits for the answer any more" : "")
    }
}

/// What the gateway says of a hold that ended.
package struct GateReport: Sendable, Equatable {
    package var closedAt: Date
    package var heldForMilliseconds: Double
    package var requestsHeld: Int
    package var longestRequestMilliseconds: Double
    package var requestsRefused: Int
    /// Requests whose client went away while they waited; like what follows nil if the gate does not say.
    package var requestsLeft: Int?
    /// WebSockets and event streams that stood where they were.
    package var streamsFrozen: Int?
    /// WebSockets and event streams that went on, because their route says so.
    package var streamsIgnored: Int?
    /// True only if the gate was closed from hold to release without a gap.
    package var unbroken: Bool

    package init(
        closedAt: Date, heldForMilliseconds: Double, requestsHeld: Int, longestRequestMilliseconds: Double,
        requestsRefused: Int, unbroken: Bool
    ) {
        self.closedAt = closedAt
        self.heldForMilliseconds = heldForMilliseconds
        self.requestsHeld = requestsHeld
        self.longestRequestMilliseconds = longestRequestMilliseconds
        self.requestsRefused = requestsRefused
        self.unbroken = unbroken
    }
}

/// Stops the processes of an environment and lets them go on. Implemented by the supervisor's client.
package protocol ProcessFreezer: Sendable {
    func beginFreeze(_ environment: EnvironmentID, lease: Duration) throws -> any FreezeLease
}

/// A freeze in the making. Its connection is the lease: when it ends, everything is thawed.
///
/// Everything here may be called from several threads.
package protocol FreezeLease: Sendable {
    /// Asks workers with a quiesce signal to finish their unit of work; answers, for people, who did not say so in time
    /// and which crons still run, and for how long.
    func quiesce(timeout: Duration) throws -> [String]
    func freeze() throws -> FreezeOutcome
    /// Renews the lease, to end at `until` at the latest: nanoseconds of the machine's monotonic clock.
    func renew(until: UInt64) throws
    /// - Throws: if the lease had run out before, or a process could not be thawed.
    func thaw() throws
    func abandon()
}

package struct FreezeOutcome: Sendable, Equatable {
    /// `cgroup2`, `cgroup1` or `signal`.
    package var method: String
    package var workersFrozenInPlace: [String]

    package init(method: String, workersFrozenInPlace: [String]) {
        self.method = method
        self.workersFrozenInPlace = workersFrozenInPlace
    }
}

/// Where activities and backups are recorded. Implemented by the catalogue.
package protocol BackupCatalogue: RetentionSource {
    func environment(_ id: EnvironmentID) throws -> Environment
    func environments(in project: ProjectID) throws -> [Environment]
    func allEnvironments() throws -> [Environment]
    func createEnvironment(_ environment: Environment) throws
    func update(_ environment: Environment) throws
    func removeEnvironment(_ id: EnvironmentID) throws

    func createActivity(_ activity: Activity) throws
    /// The oldest pending activity of the queue whose environment has none running, moved to `in_progress`.
    func claimActivity(in queue: ActivityQueueName, at date: Date) throws -> Activity?
    func appendLog(_ activity: ActivityID, _ message: String, at date: Date)
    func setProgress(_ activity: ActivityID, percent: Int, at date: Date)
    func finishActivity(_ id: ActivityID, result: ActivityResult, failure: String?, at date: Date) throws
    /// Puts an activity that is in progress back among those that wait.
    func requeueActivity(_ id: ActivityID, at date: Date) throws

    /// Records a finished backup. Called after its bytes are durable on the quorum.
    func insertBackup(_ backup: Backup) throws
    func backup(_ id: BackupID) throws -> Backup
    func backups(of environment: EnvironmentID) throws -> [Backup]
    /// All backups of a project, those of deleted environments too.
    func backups(in project: ProjectID) throws -> [Backup]
    /// The same, in the order in which they were recorded.
    func recordedBackups(in project: ProjectID) throws -> [Backup]
    /// What is known now about the sites that hold a backup.
    func updateSites(of id: BackupID, to sites: [SitePlacement], at date: Date) throws
    /// Deletes a backup so that it can be brought back: nothing of its data goes.
    ///
    /// - Throws: `conflict` if it is protected, locked, or an open activity reads it.
    func deleteBackup(_ id: BackupID, because reason: String, force: Bool, at date: Date) throws
    /// From here on it cannot be brought back.
    ///
    /// - Parameter limit: only if it was deleted at that time or before, and still is; nil for also if it never was.
    /// - Throws: `conflict` if it may not go.
    func markDeleting(_ id: BackupID, force: Bool, onlyIfDeletedBy limit: Date?, at date: Date) throws
    /// Deleted at that time or before, with data that are still there, or begun to go; of one environment, or of all.
    func deletedBackups(of environment: EnvironmentID?, before date: Date) throws -> [Backup]
    /// How many automated backups failed or were cancelled since the last good one, and when the last of them ended.
    func automatedFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)?
    /// The same of the activities that apply the environment's policy.
    func retentionFailures(of environment: EnvironmentID) throws -> (count: Int, last: Date)?
    /// When a backup was last really restored in an environment, aside or for good; nil if none ever was.
    func lastDrill(of environment: EnvironmentID) throws -> Date?
    /// The newest activity of a type that ended; nil for an environment is for activities of a whole project.
    func lastEnded(_ type: ActivityType, of environment: EnvironmentID?, in project: ProjectID) throws -> Activity?
    /// Projects whose repositories hold what nobody needs any more, and that were not pruned within `pause` seconds.
    func projectsToPrune(at now: Date, pause: TimeInterval) throws -> [ProjectID]
    /// Grows whenever something may have changed.
    var generation: Int { get }
    func removeBackup(_ id: BackupID) throws

    /// Variables of the project and the environment, the environment's own winning.
    func variables(project: ProjectID, environment: EnvironmentID) throws -> [String: Secret]
    /// The sealed repository password of a project; nil before it was made.
    func sealedRepositoryPassword(_ project: ProjectID) throws -> [UInt8]?
    func setSealedRepositoryPassword(_ project: ProjectID, _ sealed: [UInt8]) throws
}
