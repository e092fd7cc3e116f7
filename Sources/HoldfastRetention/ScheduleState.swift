import HoldfastModel

/// What is due of an environment's schedules at an instant.
public struct ScheduleState: Sendable, Hashable {
    /// The current slots that are unclaimed and whose time has come, the finest interval first. One backup claims all.
    public let due: [Slot]
    /// One of the schedules that are due wants a consistent backup.
    public let wantsSafe: Bool
    /// When the next slot will be due, in seconds since 1970; the present if something is due now. Nil without a
    /// schedule.
    public let next: Int?
    /// For each schedule the slots between the newest claim and the current slot that nobody claimed. They stay so.
    public let missed: [RetentionInterval: Int]
    /// Seconds since the first slot that should have been claimed was due; 0 if all is well.
    public let overdueSeconds: Int

    /// - Parameters:
    ///   - claimed: every slot that a backup ever claimed, whether it is still there or not; the newest of each
    ///     interval are enough.
    ///   - since: slots that were due before, of a schedule without claims, are nobody's fault: when the environment or
    ///     its policy came to be, in seconds since 1970.
    ///   - activeSince: what was due before was not to be backed up: nothing is overdue for longer.
    public init(
        _ policy: RetentionPolicy, claimed: Set<Slot>, since: Int, activeSince: Int = .min, at now: Int,
        in zone: CivilZone, due time: DueTime
    ) {
        var due: [Slot] = []
        var wantsSafe = false
        var next: Int?
        var missed: [RetentionInterval: Int] = [:]
        var overdue = 0
        for schedule in policy.schedules {
            let current = Slot(of: schedule.interval, at: now, in: zone)
            let instant = time.instant(of: current, in: zone)
            let isDue = !claimed.contains(current) && instant <= now
            if isDue {
                due.append(current)
                wantsSafe = wantsSafe || schedule.safe
            }
            let isAhead = instant > now && !claimed.contains(current)
            let upcoming = isDue ? now : isAhead ? instant : time.instant(of: current.next, in: zone)
            next = min(next ?? .max, upcoming)
            let newest = claimed.lazy.filter { $0.interval == schedule.interval && $0.number <= current.number }
                .map(\.number).max()
            var first = newest.map { $0 + 1 } ?? Slot(of: schedule.interval, at: since, in: zone).number
            // A day that a zone left out can be claimed by nobody.
            while first < current.number, Slot(interval: schedule.interval, number: first).isEmpty(in: zone) {
                first += 1
            }
            missed[schedule.interval] = max(0, current.number - first)
            guard first <= current.number else { continue }
            let expected = time.instant(of: Slot(interval: schedule.interval, number: first), in: zone)
            // What was claimed once has been missing since then, whatever was changed meanwhile.
            overdue = max(overdue, now - max(newest == nil ? max(expected, since) : expected, activeSince))
        }
        self.due = due
        self.wantsSafe = wantsSafe
        self.next = next
        self.missed = missed
        overdueSeconds = overdue
    }
}
