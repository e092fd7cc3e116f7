import HoldfastModel

/// What a policy keeps of an environment's backups and what goes, each with its reasons. Nothing happens by it.
public struct RetentionPlan: Sendable, Hashable {
    public struct Kept: Sendable, Hashable {
        public let id: BackupID
        /// At least one.
        public let reasons: [KeepReason]
    }

    public struct Removed: Sendable, Hashable {
        public let id: BackupID
        /// At least one.
        public let reasons: [RemoveReason]
    }

    /// The newest first.
    public let kept: [Kept]
    /// The oldest first: the order in which they should go.
    public let removed: [Removed]
    /// For people, in sentences without a full stop.
    public let warnings: [String]

    /// Decides for one environment.
    ///
    /// - Parameter backups: all of it that are not deleted, in any order.
    public init(_ backups: [RetainedBackup], policy: RetentionPolicy) {
        var decision = Decision(backups, policy: policy)
        decision.applyLimit()
        kept = decision.backups.indices.compactMap { index in
            let reasons = decision.keep[index]
            return reasons.isEmpty ? nil : Kept(id: decision.backups[index].id, reasons: reasons)
        }
        removed = decision.backups.indices.reversed().compactMap { index in
            guard decision.keep[index].isEmpty else { return nil }
            return Removed(id: decision.backups[index].id, reasons: decision.causes(of: index))
        }
        warnings = decision.warnings
    }

    /// Whether one more manual backup finds a place, when it is done and the plan is made again.
    ///
    /// - Throws: `conflict` if `max_backups` leaves no place and nothing may go for it.
    public static func admitManual(_ backups: [RetainedBackup], policy: RetentionPolicy, new: BackupID) throws {
        guard let limit = policy.maxBackups else { return }
        let order = (backups.map(\.order).max() ?? 0) + 1
        let plan = RetentionPlan(
            backups + [RetainedBackup(id: new, order: order, isAutomated: false)], policy: policy)
        guard plan.kept.count > limit else { return }
        throw HoldfastError(
            .conflict, "there are \(backups.count) backups, max_backups is \(limit), and none of them may be replaced",
            hint: "Delete one, unprotect one, or raise max_backups")
    }
}

/// The working state of a plan.
private struct Decision {
    /// The newest first.
    let backups: [RetainedBackup]
    let policy: RetentionPolicy
    /// For each backup why it stays; empty if it goes.
    var keep: [[KeepReason]]
    /// Went for the limit.
    var overLimit: Set<Int> = []
    /// For each schedule the newest good claim.
    var newestClaims: [RetentionInterval: BackupID] = [:]
    var newestManual: BackupID?

    init(_ backups: [RetainedBackup], policy: RetentionPolicy) {
        let sorted = backups.sorted { $0.order == $1.order ? $0.id > $1.id : $0.order > $1.order }
        self.backups = sorted
        self.policy = policy
        keep = []
        for schedule in policy.schedules {
            newestClaims[schedule.interval] =
                sorted.first { backup in
                    backup.isGood && backup.claims.contains { $0.interval == schedule.interval }
                }?.id
        }
        newestManual = sorted.first { $0.isGood && !$0.isAutomated }?.id
        keep = reasons { _ in true }
    }

    /// Why each stays of those that are there; nothing for the others.
    private func reasons(among isThere: (Int) -> Bool) -> [[KeepReason]] {
        var keep: [[KeepReason]] = Array(repeating: [], count: backups.count)
        let there = backups.indices.filter(isThere)
        for index in there {
            if backups[index].isProtected { keep[index].append(.protected) }
            if backups[index].isInUse { keep[index].append(.inUse) }
        }
        if let newest = there.first(where: { backups[$0].isGood }) { keep[newest].append(.newestGood) }
        addNewestOfSites(there, &keep)
        for schedule in policy.schedules {
            let claiming = there.filter { backups[$0].claims.contains { $0.interval == schedule.interval } }
            add(claiming, first: schedule.count, &keep) { .schedule(schedule.interval, rank: $0) }
        }
        add(there.filter { !backups[$0].isAutomated }, first: policy.manualCount ?? .max, &keep) { .manual(rank: $0) }
        return keep
    }

    /// A site that is away gets no newer ones: the last that it holds stays until it holds another, so that the loss of
    /// the other sites does not leave it with nothing.
    private func addNewestOfSites(_ there: [Int], _ keep: inout [[KeepReason]]) {
        for site in there.reduce(into: Set<String>(), { $0.formUnion(backups[$1].sites) }).sorted() {
            let newest = there.first { backups[$0].isGood && backups[$0].sites.contains(site) }
            guard let newest, !keep[newest].contains(.newestGood) else { continue }
            keep[newest].append(.newestOn(site: site))
        }
    }

    /// Gives the newest so many a reason. One that is not good takes nobody's place: it stays only as long as fewer
    /// than `count` good ones are newer.
    private func add(
        _ indices: [Int], first count: Int, _ keep: inout [[KeepReason]], _ reason: (Int) -> KeepReason
    ) {
        var newer = 0
        for index in indices {
            if newer < count { keep[index].append(reason(newer + 1)) }
            if backups[index].isGood { newer += 1 }
        }
    }

    /// Over `max_backups`: the oldest that only the finest schedule keeps, as long as it keeps one; then the next
    /// coarser; then manual ones if they have no limit of their own.
    mutating func applyLimit() {
        guard let limit = policy.maxBackups else { return }
        var over = keep.count { !$0.isEmpty } - limit
        for schedule in policy.schedules {
            // In the place of what goes, the schedule keeps older ones that stay for another reason: the next plan
            // would see that, so this one does.
            while over > 0, giveUpOldest(of: schedule, &over) { keep = reasons { !keep[$0].isEmpty } }
        }
        guard policy.manualCount == nil else { return }
        for index in backups.indices.reversed() where over > 0 {
            guard keep[index].count == 1, case .manual = keep[index][0] else { continue }
            giveUp(index)
            over -= 1
        }
        keep = reasons { !keep[$0].isEmpty }
    }

    /// - Returns: whether any was given up.
    private mutating func giveUpOldest(of schedule: RetentionSchedule, _ over: inout Int) -> Bool {
        let before = over
        var left = keep.count { $0.contains { $0.interval == schedule.interval } }
        for index in backups.indices.reversed() where over > 0 && left > 1 {
            guard keep[index].count == 1, keep[index][0].interval == schedule.interval else { continue }
            giveUp(index)
            (over, left) = (over - 1, left - 1)
        }
        return over < before
    }

    private mutating func giveUp(_ index: Int) {
        keep[index] = []
        overLimit.insert(index)
    }

    func causes(of index: Int) -> [RemoveReason] {
        if overLimit.contains(index), let limit = policy.maxBackups { return [.tooMany(limit: limit)] }
        var causes: [RemoveReason] = []
        let intervals = Set(backups[index].claims.map(\.interval))
        for schedule in policy.schedules where intervals.contains(schedule.interval) {
            guard let newer = newestClaims[schedule.interval] else { continue }
            causes.append(.replaced(schedule.interval, count: schedule.count, by: newer))
        }
        if !backups[index].isAutomated, let count = policy.manualCount, let newestManual {
            causes.append(.replacedManual(count: count, by: newestManual))
        }
        return causes.isEmpty ? [.noSchedule] : causes
    }

    var warnings: [String] {
        var warnings: [String] = []
        let left = backups.indices.filter { !keep[$0].isEmpty }
        if let limit = policy.maxBackups, left.count > limit {
            warnings.append("\(left.count) backups are kept although max_backups is \(limit): none of them may go")
        }
        let hadConsistent = backups.contains { $0.isSafe && $0.isGood }
        if hadConsistent, !left.contains(where: { backups[$0].isSafe && backups[$0].isGood }) {
            warnings.append("no consistent backup will be left")
        }
        if !backups.isEmpty, !backups.contains(where: \.isGood) {
            warnings.append("none of the \(backups.count) backups is good")
        }
        return warnings
    }
}

extension KeepReason {
    fileprivate var interval: RetentionInterval? {
        if case .schedule(let interval, _) = self { interval } else { nil }
    }
}
