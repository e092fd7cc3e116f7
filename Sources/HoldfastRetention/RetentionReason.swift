import HoldfastModel

/// Why a backup is kept.
public enum KeepReason: Sendable, Hashable {
    case protected
    case inUse
    /// The newest good one of the environment.
    case newestGood
    /// The newest good one that is complete on a site, which newer ones are not.
    case newestOn(site: String)
    /// The `rank`th newest claim of a schedule, from 1.
    case schedule(RetentionInterval, rank: Int)
    /// The `rank`th newest manual one, from 1.
    case manual(rank: Int)

    /// `1d #3`, `manual #1`, `protected`.
    public var description: String {
        switch self {
        case .protected: "protected"
        case .inUse: "in use"
        case .newestGood: "newest good"
        case .newestOn(let site): "newest on \(site)"
        case .schedule(let interval, let rank): "\(interval) #\(rank)"
        case .manual(let rank): "manual #\(rank)"
        }
    }
}

/// Why a backup goes.
public enum RemoveReason: Sendable, Hashable {
    /// So many newer claims of the schedule are there; the newest of them.
    case replaced(RetentionInterval, count: Int, by: BackupID)
    /// So many newer manual ones are there; the newest of them.
    case replacedManual(count: Int, by: BackupID)
    /// No schedule of the policy counts it any more.
    case noSchedule
    /// More than `max_backups` were there.
    case tooMany(limit: Int)

    /// A phrase for people, such as `1d keeps 7, newer: abc`.
    public var description: String {
        switch self {
        case .replaced(let interval, let count, let newer): "\(interval) keeps \(count), replaced by \(newer)"
        case .replacedManual(let count, let newer): "manual_count is \(count), replaced by \(newer)"
        case .noSchedule: "no schedule of the policy keeps it"
        case .tooMany(let limit): "max_backups is \(limit)"
        }
    }
}
