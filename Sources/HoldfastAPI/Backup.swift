import Foundation
import HoldfastModel

extension API {
    /// `GET …/backups/{b}`: all keys of the contract, and ours behind them.
    package struct Backup: Codable, Sendable {
        package var id: BackupID
        @Nullable package var createdAt: Date?
        @Nullable package var updatedAt: Date?
        package var attributes: [String: String] = [:]
        /// `CREATED` or `DELETING`.
        package var status: String
        @Nullable package var expiresAt: Date?
        @Nullable package var index: Int?
        package var commitId: String
        /// The environment's name.
        package var environment: String
        package var safe: Bool
        /// Logical bytes.
        @Nullable package var sizeOfVolumes: Int64?
        /// Bytes that it added to each site.
        @Nullable package var sizeUsed: Int64?
        @Nullable package var sizeObjectStorage: Int64?
        @Nullable package var deployment: String?
        package var restorable: Bool
        /// Why it is not restorable now; null if it is.
        @Nullable package var restorableProblem: String?
        package var automated: Bool
        /// Our additions.
        /// The environment that it belongs to is gone; another one may have its name.
        package var environmentDeleted: Bool?
        package var project: ProjectID
        /// SHA-256 name of the snapshot in the project's restic repository.
        package var snapshot: String
        package var degraded: Bool
        package var sites: [Site]
        @Nullable package var hold: HoldEvidence?
        @Nullable package var skew: LiveSkew?
        /// Why it is kept, such as `1d #3`; empty if it goes next, and if it is deleted.
        package var kept: [String]?
        package var protected: Bool?
        /// Nobody deletes it before.
        @Nullable package var lockedUntil: Date?
        /// It is deleted, and can be brought back for a while.
        @Nullable package var deletedAt: Date?
        @Nullable package var deletedBecause: String?
        @Nullable package var label: String?
        @Nullable package var note: String?
        package var links: Links

        package struct Site: Codable, Sendable {
            package var name: String
            package var complete: Bool
            @Nullable package var problem: String?
            /// False if it lies on one device with another site; null while that cannot be seen.
            @Nullable package var separate: Bool?
            /// False if it cannot be reached now.
            package var reachable: Bool

            init(_ placement: SitePlacement, separate: Bool?, reachable: Bool) {
                name = placement.site
                complete = placement.isComplete
                self.reachable = reachable
                problem = placement.problem
                self.separate = separate
            }
        }

        /// - Parameters:
        ///   - isEnvironmentDeleted: nobody can restore it to where it came from without naming a target.
        ///   - now: how the project's sites are; without, what was known when the backup was taken is told.
        package init(
            _ backup: HoldfastModel.Backup, isEnvironmentDeleted: Bool = false, links: Links, now: [SiteState] = []
        ) {
            environmentDeleted = isEnvironmentDeleted
            id = backup.id
            status = backup.status.rawValue
            commitId = backup.commit
            environment = backup.environmentName
            safe = backup.safe
            let obstacle = backup.restoreObstacle(now: now)
            restorable = obstacle == nil
            automated = backup.automated
            project = backup.project
            snapshot = backup.snapshot
            degraded = backup.isDegraded
            sites = backup.sites.map { placement in
                Site(
                    placement, separate: backup.isSeparate(placement.site, now: now),
                    reachable: now.first { $0.site == placement.site }?.isReachable ?? true)
            }
            self.links = links
            restorableProblem = obstacle
            createdAt = backup.createdAt
            updatedAt = backup.updatedAt
            sizeOfVolumes = backup.sizeBytes
            sizeUsed = backup.addedBytes
            deployment = backup.deployment
            hold = backup.hold
            skew = backup.skew
            let keeping = backup.keeping
            kept = []
            protected = keeping.isProtected
            lockedUntil = keeping.lockedUntil
            deletedAt = keeping.deletedAt
            deletedBecause = keeping.deletedBecause
            label = keeping.label
            note = keeping.note
        }
    }

    /// `GET …/backup`: our addition. It would be let in now; how its point in time would be taken.
    package struct BackupForecast: Codable, Sendable {
        package var allowed = true
        package var mounts: [Mount]
        /// Names of the services that would be marked.
        package var services: [String]
        /// How each of them would be stored; null from servers that do not say it.
        @Nullable package var serviceMarks: [Service]?
        /// What the last consistent backups held, in milliseconds; null without any.
        @Nullable package var holdMilliseconds: Double?
        @Nullable package var longestHoldMilliseconds: Double?
        /// How many these were.
        package var holds: Int

        package struct Mount: Codable, Sendable {
            /// App and path, such as `ledger/files`.
            package var name: String
            /// What changed is told by the kernel, and not looked for in all files.
            package var watched: Bool
            /// What changed is shared with the copy, and not copied.
            package var shared: Bool

            package init(name: String, watched: Bool, shared: Bool) {
                self.name = name
                self.watched = watched
                self.shared = shared
            }
        }

        package struct Service: Codable, Sendable {
            package var name: String
            /// `physical`, `frozen` or `empty`.
            package var method: String
            /// What its mark does and costs in the hold, for people.
            package var mark: String
            /// What changed of its files is shared with the copy, and not copied; null if no files are set aside.
            @Nullable package var shared: Bool?

            package init(name: String, method: String, mark: String, shared: Bool?) {
                self.name = name
                self.method = method
                self.mark = mark
                self.shared = shared
            }
        }

        /// - Parameter holds: how long the last consistent backups held, in milliseconds.
        package init(mounts: [Mount], services: [Service], holds: [Double]) {
            self.mounts = mounts
            self.services = services.map(\.name)
            serviceMarks = services
            self.holds = holds.count
            holdMilliseconds = holds.isEmpty ? nil : holds.sorted()[(holds.count - 1) / 2]
            longestHoldMilliseconds = holds.max()
        }
    }

    /// `POST …/backup`.
    package struct BackupInput: Codable, Sendable {
        /// False for a live backup, which does not hold requests; left out means true.
        package var safe: Bool?
        /// Our addition: whether a live backup will do if no consistent point can be had in time; left out means no.
        package var orLive: Bool?

        package init(safe: Bool? = nil, orLive: Bool? = nil) {
            self.safe = safe
            self.orLive = orLive
        }
    }

    /// `PATCH …/backups/{b}`: our addition. What is left out stays, an empty text takes away.
    package struct BackupPatch: Codable, Sendable {
        package var label: String?
        package var note: String?

        package init(label: String? = nil, note: String? = nil) {
            self.label = label
            self.note = note
        }
    }

    /// `POST …/backups/{b}/protect`: our addition.
    package struct ProtectInput: Codable, Sendable {
        /// Nobody deletes the backup before, and nobody can make it earlier.
        package var lockUntil: Date?

        package init(lockUntil: Date? = nil) { self.lockUntil = lockUntil }
    }

    /// `POST …/backups/{b}/restore`.
    package struct RestoreInput: Codable, Sendable {
        /// The target; left out means the backup's environment.
        package var environmentName: String?
        /// Parent of the target if the target does not exist yet.
        package var branchFrom: String?
        /// Left out means true.
        package var restoreCode: Bool?
        /// Left out means true.
        package var restoreResources: Bool?
        package var resources: ResourcesInput.Strategy?

        package init(
            environmentName: String? = nil, branchFrom: String? = nil, restoreCode: Bool? = nil,
            restoreResources: Bool? = nil, resources: ResourcesInput.Strategy? = nil
        ) {
            self.environmentName = environmentName
            self.branchFrom = branchFrom
            self.restoreCode = restoreCode
            self.restoreResources = restoreResources
            self.resources = resources
        }
    }
}
