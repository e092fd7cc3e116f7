import HoldfastModel
import Synchronization

extension RetentionPolicy {
    /// The policy of a type of environment: what was set, and the contract's defaults for the rest. That is two daily
    /// backups of production, and none of the others.
    ///
    /// - Parameter settings: nil if nothing was set.
    /// - Throws: `invalidInput` if what was set makes no policy.
    public init(_ settings: RetentionSettings?, for type: EnvironmentType) throws {
        let limits = settings?[type] ?? RetentionSettings.Limits()
        let schedules = limits.schedule ?? Self.defaultSchedule(of: type)
        try self.init(
            schedules: schedules.map { schedule in
                try RetentionSchedule(
                    interval: RetentionInterval(schedule.interval), count: schedule.count, safe: schedule.safe ?? false)
            }, manualCount: limits.manualCount, maxBackups: limits.maxBackups)
    }

    /// What runs if nobody set a schedule.
    public static func defaultSchedule(of type: EnvironmentType) -> [RetentionSettings.Schedule] {
        type == .production ? [RetentionSettings.Schedule(interval: "1d", count: 2)] : []
    }
}

extension Slot {
    /// The slot as a backup's record has it; nil if its interval is none.
    public init?(_ claim: SlotClaim) {
        guard let interval = try? RetentionInterval(claim.interval) else { return nil }
        self.init(interval: interval, number: claim.slot)
    }

    public var claim: SlotClaim { SlotClaim(interval: interval.description, slot: number) }
}

extension CivilZone {
    /// Zones that were read before.
    private static let known = Mutex<[String: CivilZone]>(["UTC": .utc])

    /// As `init(identifier:)`, and reads the rules of each zone only once.
    public static func named(_ identifier: String) throws -> CivilZone {
        if let zone = known.withLock({ $0[identifier] }) { return zone }
        let zone = try CivilZone(identifier: identifier)
        known.withLock { $0[identifier] = zone }
        return zone
    }
}
