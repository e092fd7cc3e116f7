import Foundation
import HoldfastModel

extension API {
    /// `GET …/environments/{e}/retention`: our addition. What is due, what stays and why, and what goes next.
    package struct Retention: Codable, Sendable {
        /// The environment's name.
        package var environment: String
        /// IANA name of the zone that days, weeks, months and years are read in.
        package var timezone: String
        @Nullable package var maxBackups: Int?
        @Nullable package var manualCount: Int?
        package var schedule: [Schedule] = []
        /// When the next automated backup will begin, about; null if there will be none.
        @Nullable package var nextDueAt: Date?
        /// Seconds since the first automated backup that should be there and is not.
        package var overdueSeconds = 0
        /// When a backup was last really restored here, aside or for good; null if none ever was.
        @Nullable package var lastDrillAt: Date?
        /// Backups of all kinds that were tried, and those of them that failed.
        package var attempts = 0
        package var failures = 0
        /// Intervals of which a backup is due now.
        package var due: [String] = []
        /// The newest first.
        package var kept: [Item] = []
        /// What the policy deletes next, the oldest first.
        package var removed: [Item] = []
        /// Sentences without a full stop.
        package var warnings: [String] = []
        /// Only if it was asked for.
        package var simulation: Simulation?
        package var links: Links

        package init(environment: String, timezone: String, links: Links) {
            self.environment = environment
            self.timezone = timezone
            self.links = links
        }

        package struct Schedule: Codable, Sendable {
            package var interval: String
            package var count: Int
            package var safe: Bool
            /// Slots that nobody claimed since the newest one that somebody did; they stay so.
            package var missed: Int

            package init(interval: String, count: Int, safe: Bool, missed: Int) {
                self.interval = interval
                self.count = count
                self.safe = safe
                self.missed = missed
            }
        }

        package struct Item: Codable, Sendable {
            package var id: BackupID
            @Nullable package var createdAt: Date?
            package var automated: Bool
            package var reasons: [String] = []
            @Nullable package var expiresAt: Date?

            package init(id: BackupID, createdAt: Date?, automated: Bool) {
                self.id = id
                self.automated = automated
                self.createdAt = createdAt
            }
        }

        /// What would be there if every automated backup worked, and nobody did anything by hand.
        package struct Simulation: Codable, Sendable {
            package var days: Int
            /// How many were taken.
            package var backups: Int
            /// The most that were there at once.
            package var largest: Int
            /// How many are there at the end.
            package var left: Int
            /// Those, the newest first.
            package var entries: [SimulatedBackup]

            package init(days: Int, backups: Int, largest: Int, left: Int, entries: [SimulatedBackup]) {
                self.days = days
                self.backups = backups
                self.largest = largest
                self.left = left
                self.entries = entries
            }
        }

        package struct SimulatedBackup: Codable, Sendable {
            /// Null for one that is there already.
            @Nullable package var createdAt: Date?
            package var kept: [String]

            package init(createdAt: Date?, kept: [String]) {
                self.kept = kept
                self.createdAt = createdAt
            }
        }
    }

    /// `POST …/environments/{e}/retention/preview`: our addition.
    package struct RetentionPreviewInput: Codable, Sendable {
        /// As in `PATCH /projects/{p}/settings`; left out: the policy as it is.
        package var dataRetention: JSONValue?
        /// How many days to simulate; left out: none.
        package var days: Int?

        package init(dataRetention: JSONValue? = nil, days: Int? = nil) {
            self.dataRetention = dataRetention
            self.days = days
        }
    }
}
