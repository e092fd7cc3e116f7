import HoldfastModel

// HoldfastRetention: which backups are due, which are kept, and why.
//
// Every schedule is a clock, each tick is a `Slot`, a finished backup claims slots, and a schedule keeps its newest
// claims. `RetentionPolicy` says how many; `RetentionPlan` decides with a reason for each backup; `ScheduleState` says
// what is due; `RetentionSimulation` runs a policy through years. Values only: no clock, no files, no catalogue.

/// How often to back up, and how many of these backups to keep.
public struct RetentionSchedule: Sendable, Hashable {
    public let interval: RetentionInterval
    /// How many of its slots keep their backup, at least 1.
    public let count: Int
    /// Takes consistent backups instead of live ones.
    public let safe: Bool

    /// More than this cannot be meant: an hour's backups of a hundred years.
    public static let largestCount = 1_000_000

    /// - Throws: `invalidInput` if the count is not between 1 and a million.
    public init(interval: RetentionInterval, count: Int, safe: Bool = false) throws {
        guard (1...Self.largestCount).contains(count) else {
            throw HoldfastError(
                .invalidInput, "\(count) is not a count of backups", hint: "Give 1 to \(Self.largestCount)")
        }
        self.interval = interval
        self.count = count
        self.safe = safe
    }

    private init(unchecked interval: RetentionInterval, count: Int, safe: Bool) {
        self.interval = interval
        self.count = count
        self.safe = safe
    }

    /// One schedule per interval: of equal intervals the larger count, consistent if one of them is.
    static func merged(_ schedules: [RetentionSchedule]) -> [RetentionSchedule] {
        var byInterval: [RetentionInterval: RetentionSchedule] = [:]
        for schedule in schedules {
            let other = byInterval[schedule.interval] ?? schedule
            byInterval[schedule.interval] = RetentionSchedule(
                unchecked: schedule.interval, count: max(schedule.count, other.count),
                safe: schedule.safe || other.safe)
        }
        return byInterval.values.sorted { $0.interval < $1.interval }
    }
}

/// What is kept of one environment.
public struct RetentionPolicy: Sendable, Hashable {
    /// At most one for each interval, the finest first.
    public let schedules: [RetentionSchedule]
    /// The newest so many manual backups are kept; nil for all.
    public let manualCount: Int?
    /// Manual and automated ones together; nil for no limit.
    public let maxBackups: Int?

    /// - Throws: `invalidInput` if a limit is less than 1.
    public init(schedules: [RetentionSchedule], manualCount: Int? = nil, maxBackups: Int? = nil) throws {
        for (name, value) in [("manual_count", manualCount), ("max_backups", maxBackups)] {
            guard let value, value < 1 else { continue }
            throw HoldfastError(
                .invalidInput, "\(name) is \(value)", hint: "Give at least 1, or null for no limit")
        }
        self.init(unchecked: schedules, manualCount: manualCount, maxBackups: maxBackups)
    }

    private init(unchecked schedules: [RetentionSchedule], manualCount: Int?, maxBackups: Int?) {
        self.schedules = RetentionSchedule.merged(schedules)
        self.manualCount = manualCount
        self.maxBackups = maxBackups
    }

    /// Nothing runs by itself, everything manual stays.
    public static let manual = RetentionPolicy(unchecked: [], manualCount: nil, maxBackups: nil)

    /// What a person should know before saving it, in sentences without a full stop.
    public var warnings: [String] {
        guard let maxBackups else { return [] }
        let automated = schedules.reduce(0) { $0 + $1.count } + (manualCount ?? 0)
        guard automated > maxBackups else { return [] }
        return [
            "the schedules\(manualCount == nil ? "" : " and manual_count") may keep \(automated) backups, max_backups "
                + "allows \(maxBackups): the oldest ones of the finest schedule go first"
        ]
    }
}
