import Foundation
import HoldfastModel

/// Where retention reads what it decides upon. Implemented by the catalogue.
package protocol RetentionSource: Sendable {
    func project(_ id: ProjectID) throws -> Project
    /// All backups of an environment in the order in which they were recorded, deleted ones too.
    func recordedBackups(of environment: EnvironmentID) throws -> [Backup]
    /// Slots that backups of the environment ever claimed; the newest of each interval are enough.
    func claims(of environment: EnvironmentID) throws -> [SlotClaim]
    func openActivities() throws -> [Activity]
    /// When an environment became active last, as far as its activities say; nil if none of them made it so.
    func activeSince(_ environment: EnvironmentID) throws -> Date?
}

extension RetentionSource {
    /// What retention knows of an environment now.
    ///
    /// - Parameter change: what would be different in the question that is asked; nothing is written.
    /// - Throws: `notFound` if its project is gone, `invalidInput` if its policy or its time zone is none; and what
    ///   `change` throws.
    package func retention(
        of environment: Environment, at now: Date,
        with change: (inout Project, inout [Backup]) throws -> Void = { _, _ in }
    ) throws -> EnvironmentRetention {
        var (project, backups) = (try project(environment.project), try recordedBackups(of: environment.id))
        try change(&project, &backups)
        return try EnvironmentRetention(
            environment, project: project, records: (backups, try claims(of: environment.id)),
            open: openActivities(), activeSince: activeSince(environment.id), at: now)
    }
}

/// One environment as retention sees it: its policy, its zone, its backups and what they claimed.
package struct EnvironmentRetention: Sendable {
    package let environment: Environment
    package let policy: RetentionPolicy
    package let zone: CivilZone
    /// Those that are not deleted, the oldest first.
    package let backups: [RetainedBackup]
    package let claimed: Set<Slot>
    /// In seconds since 1970: slots of a schedule without claims that were due before are nobody's fault.
    package let since: Int
    package let due: DueTime
    /// When each of its backups was taken, those that are deleted included.
    package let createdAt: [BackupID: Date]
    /// In seconds since 1970: what was due before was due while nothing was to be backed up.
    private let activeSince: Int
    /// For each interval the number of the newest slot that was claimed.
    private let newestClaims: [RetentionInterval: Int]

    /// - Parameters:
    ///   - records: its backups in the order in which they were recorded, and all claims.
    ///   - open: activities that are pending or in progress, of any environment.
    ///   - activeSince: when it became active last; nil if that is not known.
    fileprivate init(
        _ environment: Environment, project: Project, records: (backups: [Backup], claims: [SlotClaim]),
        open: [Activity], activeSince: Date?, at now: Date
    ) throws {
        self.environment = environment
        policy = try RetentionPolicy(project.retention, for: environment.type)
        zone = try CivilZone.named(project.timeZone)
        let inUse = Set(open.filter(\.readsBackup).compactMap { $0.parameters["backup"] })
        backups = records.backups.enumerated().compactMap { order, backup in
            guard backup.status == .created, !backup.keeping.isDeleted else { return nil }
            return RetainedBackup(backup, order: order, isInUse: inUse.contains(backup.id.rawValue), at: now)
        }
        claimed = Set(records.claims.compactMap { Slot($0) })
        newestClaims = Dictionary(claimed.map { ($0.interval, $0.number) }, uniquingKeysWith: max)
        createdAt = Dictionary(records.backups.map { ($0.id, $0.createdAt) }) { first, _ in first }
        let changed = project.retention?.changedAt(of: environment.type) ?? environment.createdAt
        self.activeSince = (activeSince ?? environment.createdAt).wholeSeconds
        since = max(environment.createdAt, changed).wholeSeconds
        due = DueTime(for: environment.id)
    }

    /// What is due, and what was missed.
    package func state(at now: Date) -> ScheduleState {
        ScheduleState(
            policy, claimed: claimed, since: since, activeSince: activeSince, at: now.wholeSeconds, in: zone, due: due)
    }

    /// What stays and what goes.
    package func plan() -> RetentionPlan { RetentionPlan(backups, policy: policy) }

    /// The end of the year 9999, in seconds since 1970.
    private static let latestStamp = 253_402_300_799

    /// When newer claims will have pushed a backup out, if every one of them is taken in time: an estimate, and never
    /// before the newer ones exist. Nil if nothing on a clock does that.
    package func expiry(of reasons: [KeepReason], at now: Date) -> Date? {
        var latest: Int?
        for reason in reasons {
            switch reason {
            case .protected, .inUse, .manual: return nil
            case .newestGood, .newestOn: continue
            case .schedule(let interval, let rank):
                guard let count = policy.schedules.first(where: { $0.interval == interval })?.count else { continue }
                let current = Slot(of: interval, at: now.wholeSeconds, in: zone).number
                let newest = max(newestClaims[interval] ?? current, current - 1)
                let slot = Slot(interval: interval, number: newest + max(1, count - rank + 1))
                latest = max(latest ?? 0, due.instant(of: slot, in: zone))
            }
        }
        // What is further away than a time stamp can say is not on a clock.
        guard let latest, latest <= Self.latestStamp else { return nil }
        return Date(timeIntervalSince1970: Double(latest))
    }
}

extension RetainedBackup {
    package init(_ backup: Backup, order: Int, isInUse: Bool = false, at now: Date) {
        self.init(
            id: backup.id, order: order, isAutomated: backup.automated, isSafe: backup.safe,
            isGood: backup.sites.contains(where: \.isComplete),
            claims: Set(backup.keeping.claims.compactMap { Slot($0) }))
        sites = Set(backup.sites.filter(\.isComplete).map(\.site))
        isProtected = backup.keeping.isProtected || backup.keeping.isLocked(at: now)
        self.isInUse = isInUse
    }
}

extension Activity {
    /// Whether it reads the backup that its parameters name, so that this must stay as long as it is open.
    fileprivate var readsBackup: Bool {
        switch type {
        case .backup, .backupDelete, .retention: false
        default: true
        }
    }
}

extension Date {
    /// Whole seconds since 1970.
    package var wholeSeconds: Int { Int(timeIntervalSince1970.rounded(.down)) }
}
