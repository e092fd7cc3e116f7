import Foundation
import HoldfastModel
import HoldfastRetention
import HoldfastTestSupport
import Testing

/// Random lives of an environment: what must hold at every step of every one of them.
@Suite struct HistoryTests {
    private static let zones: [CivilZone] = [
        "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC",
    ].compactMap { try? CivilZone(identifier: $0) }

    /// How many histories; `HOLDFAST_HISTORIES` asks for more, `HOLDFAST_SEED` for others.
    private static let count = ProcessInfo.processInfo.environment["HOLDFAST_HISTORIES"].flatMap { Int($0) } ?? 24
    private static let firstSeed = ProcessInfo.processInfo.environment["HOLDFAST_SEED"].flatMap { UInt64($0) } ?? 1

    @Test func `every property holds in thirty years of successes, failures, outages and changes`() async {
        #expect(Self.zones.count == 6)
        let broken = await Self.run(years: 30, hourly: false)
        #expect(broken == [], "seeds from \(Self.firstSeed) on")
    }

    @Test func `every property holds in two years of hourly schedules`() async {
        let broken = await Self.run(years: 2, hourly: true)
        #expect(broken == [], "seeds from \(Self.firstSeed) on")
    }

    /// Runs the histories on all cores.
    ///
    /// - Returns: what was broken, with its seed; a few of them.
    private static func run(years: Int, hourly: Bool) async -> [String] {
        await withCheckedContinuation { (done: CheckedContinuation<[String], Never>) in
            DispatchQueue.global().async {
                let faults = Faults()
                let seeds = "seeds \(firstSeed) to \(firstSeed + UInt64(count) - 1)"
                let kind = "histories of \(years) years, \(hourly ? "hourly" : "days and longer"), \(seeds)"
                DispatchQueue.concurrentPerform(iterations: count) { index in
                    let seed = firstSeed + UInt64(index)
                    var history = History(seed: seed, hourly: hourly, zones: zones)
                    if let fault = history.live(years: years) {
                        faults.add("seed \(seed): \(fault)")
                        FileHandle.standardError.write(Data("broken: seed \(seed): \(fault)\n".utf8))
                    }
                    let (lived, backups, broken) = faults.lived(history.backupsTaken)
                    guard lived == count || lived % 100 == 0 else { return }
                    let line = "\(lived) of \(count) \(kind): \(backups) backups, \(broken) broken\n"
                    FileHandle.standardError.write(Data(line.utf8))
                }
                done.resume(returning: faults.first(5))
            }
        }
    }

    private final class Faults: @unchecked Sendable {
        private let lock = NSLock()
        private var all: [String] = []
        private var lives = 0
        private var backups = 0
        func add(_ fault: String) { lock.withLock { all.append(fault) } }
        /// How many histories were lived, with how many backups, and how many of them broke something.
        func lived(_ taken: Int) -> (Int, backups: Int, broken: Int) {
            lock.withLock {
                (lives, backups) = (lives + 1, backups + taken)
                return (lives, backups, all.count)
            }
        }
        func first(_ count: Int) -> [String] { lock.withLock { Array(all.prefix(count)) } }
    }
}

/// One environment's life.
private struct History {
    private var generator: SeededGenerator
    private let zones: [CivilZone]
    private let hourly: Bool
    private let due: DueTime
    private let steady: Bool
    private var zone: CivilZone
    private var policy = RetentionPolicy.manual
    private var backups: [RetainedBackup] = []
    private var everClaimed: Set<Slot> = []
    /// The three newest of each interval, which a catalogue keeps for a while, or for ever.
    private var newestClaims: [RetentionInterval: [Slot]] = [:]
    /// Those of the backups that are there.
    private var presentClaims: Set<Slot> = []
    /// All of these: what a catalogue that forgets older ones would have.
    private var claimed: Set<Slot> = []
    private var claimedCount: [RetentionInterval: Int] = [:]
    /// What the wall clock shows.
    private var now = 1_767_225_600
    /// By how much it is wrong.
    private var clockError = 0
    private var clockWasWrong = false
    private var order = 0
    var backupsTaken: Int { order }
    private var since: Int
    private var hadGood = false
    private var policyChanged = false

    init(seed: UInt64, hourly: Bool, zones: [CivilZone]) {
        generator = SeededGenerator(seed: seed)
        self.zones = zones
        self.hourly = hourly
        zone = zones[Int(seed) % zones.count]
        due = DueTime(jitter: Double(seed % 10) / 10)
        // Every other life has one policy without a limit, and nobody deletes by hand: property (b).
        steady = seed % 2 == 0
        since = now
        policy = randomPolicy(limited: !steady)
    }

    private mutating func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &generator) < percent }

    private mutating func randomPolicy(limited: Bool) -> RetentionPolicy {
        let texts = hourly ? ["1h", "3h", "1d", "24h"] : ["1d", "2d", "1w", "2w", "1M", "3M", "1y"]
        let chosen = texts.shuffled(using: &generator).prefix(Int.random(in: 1...4, using: &generator))
        let schedules = chosen.compactMap { text in
            try? RetentionSchedule(
                interval: RetentionInterval(text), count: Int.random(in: 1...12, using: &generator),
                safe: Bool.random(using: &generator))
        }
        let manual = chance(50) ? Int.random(in: 1...4, using: &generator) : nil
        let largest = limited && chance(50) ? Int.random(in: 1...20, using: &generator) : nil
        return (try? RetentionPolicy(schedules: schedules, manualCount: manual, maxBackups: largest)) ?? .manual
    }

    /// - Returns: what was broken; nil if nothing was.
    mutating func live(years: Int) -> String? {
        let end = now + years * 31_556_952
        while now - clockError < end {
            if let fault = step() { return "\(fault) at \(now), policy \(policy)" }
        }
        return nil
    }

    private mutating func step() -> String? {
        let state = ScheduleState(policy, claimed: claimed, since: since, at: now, in: zone, due: due)
        guard !state.due.isEmpty else {
            guard let next = state.next, next > now else { return "nothing is due, and nothing will be" }
            now = next
            disturb()
            return nil
        }
        if chance(5) {
            // It failed: nothing is claimed, and after a while it is tried again.
            now += Int.random(in: 60...7200, using: &generator)
            return nil
        }
        if let slot = state.due.first(where: { isTaken($0) }) { return "\(slot) is claimed twice" }
        add(automated: true, safe: state.wantsSafe, claims: Set(state.due))
        if chance(5) { add(automated: false, safe: true, claims: []) }
        now += Int.random(in: 1...600, using: &generator)
        // While the clock is wrong nobody deletes anything.
        return clockError == 0 ? apply() : nil
    }

    /// A clock that was wrong may come to a slot again of which everything is gone.
    private func isTaken(_ slot: Slot) -> Bool {
        clockWasWrong ? backups.contains { $0.claims.contains(slot) } : everClaimed.contains(slot)
    }

    private mutating func add(automated: Bool, safe: Bool, claims: Set<Slot>) {
        order += 1
        guard let id = BackupID("b\(order)") else { return }
        backups.append(RetainedBackup(id: id, order: order, isAutomated: automated, isSafe: safe, claims: claims))
        hadGood = true
        everClaimed.formUnion(claims)
        for slot in claims {
            claimedCount[slot.interval, default: 0] += 1
            claimed.insert(slot)
            presentClaims.insert(slot)
            newestClaims[slot.interval, default: []].append(slot)
            guard let newest = newestClaims[slot.interval], newest.count > 3,
                let oldest = newest.indices.min(by: { newest[$0].number < newest[$1].number })
            else { continue }
            if !presentClaims.contains(newest[oldest]) { claimed.remove(newest[oldest]) }
            newestClaims[slot.interval]?.remove(at: oldest)
        }
    }

    /// What the catalogue forgets when a backup is gone.
    private mutating func forget(_ claims: Set<Slot>) {
        for slot in claims {
            presentClaims.remove(slot)
            if newestClaims[slot.interval]?.contains(slot) != true { claimed.remove(slot) }
        }
    }

    /// What happens to an environment between its backups.
    private mutating func disturb() {
        if chance(0.5) { now += Int.random(in: 3600...(40 * 86_400), using: &generator) }
        guard !steady else { return }
        if chance(0.3), let index = backups.indices.randomElement(using: &generator) {
            backups[index].isProtected.toggle()
        }
        if chance(0.3), let index = backups.indices.randomElement(using: &generator) { backups[index].isGood = false }
        if chance(0.2), backups.count(where: \.isGood) > 1, let index = backups.indices.randomElement(using: &generator)
        {
            forget(backups.remove(at: index).claims)
        }
        if chance(0.1) {
            policy = randomPolicy(limited: true)
            policyChanged = true
            since = now
        }
        if chance(0.05), let other = zones.randomElement(using: &generator) { zone = other }
        if clockError != 0, chance(20) {
            now -= clockError
            clockError = 0
        } else if clockError == 0, chance(0.1) {
            clockError = Int.random(in: (-400 * 86_400)...(3650 * 86_400), using: &generator)
            now += clockError
            clockWasWrong = true
        }
        hadGood = backups.contains(where: \.isGood)
    }

    /// Plans, checks the plan, and does it.
    private mutating func apply() -> String? {
        let plan = RetentionPlan(backups, policy: policy)
        if plan.kept.count + plan.removed.count != backups.count { return "a backup is neither kept nor removed" }
        if let fault = checkCauses(plan) { return fault }
        // Few go at a time, so that looking through them is cheaper than hashing names.
        let gone = plan.removed.map(\.id)
        let left = backups.filter { !gone.contains($0.id) }
        if hadGood, !left.contains(where: \.isGood) { return "no good backup is left" }
        if left.count != backups.count - plan.removed.count { return "a backup is removed twice" }
        if backups.contains(where: { gone.contains($0.id) && ($0.isProtected || $0.isInUse) }) {
            return "a protected one goes"
        }
        if chance(policy.maxBackups == nil ? 2 : 20) {
            let again = RetentionPlan(left, policy: policy)
            if !again.removed.isEmpty || again.kept != plan.kept {
                return "a second plan changes something"
            }
            if let fault = checkOrder(plan) { return fault }
        }
        for backup in backups where gone.contains(backup.id) { forget(backup.claims) }
        backups = left
        return steady ? checkCounts(plan) : nil
    }

    private func checkCauses(_ plan: RetentionPlan) -> String? {
        for removed in plan.removed {
            guard let backup = backups.first(where: { $0.id == removed.id }), !removed.reasons.isEmpty else {
                return "\(removed.id) goes without reason"
            }
            for reason in removed.reasons {
                switch reason {
                case .replaced(_, _, let newer), .replacedManual(_, let newer):
                    guard let other = backups.first(where: { $0.id == newer }), other.isGood, other.order > backup.order
                    else {
                        return "\(removed.id) is replaced by \(newer), which is no newer good one"
                    }
                case .noSchedule:
                    if !policyChanged { return "\(removed.id) goes for a change of policy that never was" }
                case .tooMany(let limit):
                    if policy.maxBackups != limit { return "\(removed.id) goes for a limit that is none" }
                }
            }
        }
        return nil
    }

    private mutating func checkOrder(_ plan: RetentionPlan) -> String? {
        let shuffled = try? RetentionPolicy(
            schedules: policy.schedules.shuffled(using: &generator), manualCount: policy.manualCount,
            maxBackups: policy.maxBackups)
        guard let shuffled else { return "the policy is refused in another order" }
        return RetentionPlan(backups.shuffled(using: &generator), policy: shuffled) == plan
            ? nil : "the order of schedules or backups matters"
    }

    /// Property (b): what stays of each schedule, after what goes is gone.
    private func checkCounts(_ plan: RetentionPlan) -> String? {
        for schedule in policy.schedules {
            let ranked = plan.kept.count { kept in
                kept.reasons.contains { reason in
                    if case .schedule(schedule.interval, _) = reason { true } else { false }
                }
            }
            let expected = min(schedule.count, claimedCount[schedule.interval] ?? 0)
            if ranked != expected {
                let kept = backups.count { $0.claims.contains { $0.interval == schedule.interval } }
                return "\(schedule.interval) keeps \(ranked) of \(kept), not \(expected)"
            }
        }
        return nil
    }
}
