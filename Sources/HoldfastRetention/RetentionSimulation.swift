import HoldfastModel

/// A policy's future: what would be there if every backup worked.
public struct RetentionSimulation: Sendable {
    /// A backup of the simulation.
    public struct Entry: Sendable, Hashable {
        public let id: BackupID
        /// Seconds since 1970.
        public let createdAt: Int
        public let reasons: [KeepReason]
    }

    /// What happened at one instant.
    public struct Step: Sendable, Hashable {
        public let time: Int
        public let claimed: [Slot]
        public let removed: [RetentionPlan.Removed]
        /// How many are left.
        public let count: Int
    }

    /// What is there at the end, the newest first.
    public private(set) var entries: [Entry] = []
    public private(set) var steps: [Step] = []
    /// The most that were there at once, after a plan.
    public private(set) var largest = 0

    /// Runs from one instant to another, in seconds since 1970.
    ///
    /// - Parameters:
    ///   - limit: no more steps than this: a policy of hours over a century is refused rather than endless.
    ///   - work: no more looks at a backup than this may be needed: about a second for ten million.
    /// - Throws: `invalidInput` if it takes more steps, or may take more work: before it begins.
    public init(
        _ policy: RetentionPolicy, existing: [RetainedBackup] = [], from start: Int, to end: Int, in zone: CivilZone,
        due time: DueTime = DueTime(), limit: Int = 200_000, work: Double = 5e7
    ) throws {
        try Self.check(policy, existing.count, seconds: end - start, work: work)
        var backups = existing
        // Every backup works: on every site that has one.
        let sites = backups.reduce(into: Set<String>()) { $0.formUnion($1.sites) }
        var times: [BackupID: Int] = [:]
        var claimed = backups.reduce(into: Set<Slot>()) { $0.formUnion($1.claims) }
        var order = backups.map(\.order).max() ?? 0
        var now = start
        while true {
            let state = ScheduleState(policy, claimed: claimed, since: start, at: now, in: zone, due: time)
            guard let next = state.next, next <= end else { break }
            guard !state.due.isEmpty else {
                now = next
                continue
            }
            order += 1
            guard steps.count < limit, let id = BackupID("simulated-\(order)") else {
                throw HoldfastError(
                    .invalidInput, "the simulation takes more than \(limit) backups", hint: "Simulate a shorter time")
            }
            var backup = RetainedBackup(
                id: id, order: order, isAutomated: true, isSafe: state.wantsSafe, claims: Set(state.due))
            backup.sites = sites
            backups.append(backup)
            times[id] = now
            // Only the newest claim of an interval matters for what is due.
            let intervals = Set(state.due.map(\.interval))
            claimed = claimed.filter { !intervals.contains($0.interval) }.union(state.due)
            let plan = RetentionPlan(backups, policy: policy)
            let gone = Set(plan.removed.map(\.id))
            backups.removeAll { gone.contains($0.id) }
            largest = max(largest, backups.count)
            steps.append(Step(time: now, claimed: state.due, removed: plan.removed, count: backups.count))
        }
        entries = RetentionPlan(backups, policy: policy).kept.map {
            Entry(id: $0.id, createdAt: times[$0.id] ?? start, reasons: $0.reasons)
        }
    }

    /// Each step looks at each backup that is there, for each schedule.
    private static func check(_ policy: RetentionPolicy, _ existing: Int, seconds: Int, work limit: Double) throws {
        let steps = policy.schedules.map { Double(seconds) / Double($0.interval.approximateSeconds) + 1 }
        let kept = zip(policy.schedules, steps).reduce(Double(existing)) { $0 + min(Double($1.0.count), $1.1) }
        guard steps.reduce(0, +) * kept * Double(policy.schedules.count + 1) > limit else { return }
        throw HoldfastError(
            .invalidInput, "the simulation takes too many steps with too many backups",
            hint: "Simulate a shorter time, or smaller counts")
    }
}
