import HoldfastModel
import HoldfastRetention
import HoldfastTestSupport
import Testing

/// What a plan leaves on each site, when sites are away for a while.
@Suite struct SiteTests {
    private func backup(_ order: Int, on sites: Set<String>) throws -> RetainedBackup {
        var backup = RetainedBackup(
            id: try #require(BackupID("b\(order)")), order: order, isAutomated: true, isGood: !sites.isEmpty,
            claims: [Slot(interval: try RetentionInterval("1d"), number: order)])
        backup.sites = sites
        return backup
    }

    @Test func `backups on one site alone do not push out the last one that another site has`() throws {
        let policy = try PlanTests.policy([("1d", 2)])
        let away = try [backup(1, on: ["a", "b"]), backup(2, on: ["a"]), backup(3, on: ["a"]), backup(4, on: ["a"])]
        let plan = RetentionPlan(away, policy: policy)
        #expect(plan.kept.map(\.id.rawValue) == ["b4", "b3", "b1"])
        #expect(plan.kept.last?.reasons.map(\.description) == ["newest on b"])
        let back = RetentionPlan(away + [try backup(5, on: ["a", "b"])], policy: policy)
        #expect(back.kept.map(\.id.rawValue) == ["b5", "b4"])
    }

    @Test func `simulated backups are on every site, so that none of today stays for its site`() throws {
        let simulation = try RetentionSimulation(
            PlanTests.policy([("1d", 2)]), existing: [backup(1, on: ["a", "b"])], from: 20 * 86_400, to: 30 * 86_400,
            in: .utc)
        #expect(simulation.entries.map { $0.reasons.map(\.description) } == [["newest good", "1d #1"], ["1d #2"]])
    }

    @Test(arguments: 0..<50) func `whatever sites are away, each keeps the newest good one that it ever held`(seed: Int)
        throws
    {
        var random = SeededGenerator(seed: UInt64(seed) &* 7919 &+ 3)
        let sites = ["a", "b", "c"]
        let policy = try PlanTests.policy([("1d", Int.random(in: 1...3, using: &random))], max: seed % 2 == 0 ? 2 : nil)
        var backups: [RetainedBackup] = []
        var newest: [String: Int] = [:]
        var there = Set(sites)
        for order in 1...60 {
            for site in sites where Int.random(in: 0..<6, using: &random) == 0 {
                if there.contains(site) { there.remove(site) } else { there.insert(site) }
            }
            backups.append(try backup(order, on: there))
            for site in there { newest[site] = order }
            let gone = Set(RetentionPlan(backups, policy: policy).removed.map(\.id))
            backups.removeAll { gone.contains($0.id) }
            for (site, order) in newest {
                #expect(backups.contains { $0.order == order && $0.sites.contains(site) }, "\(site) in step \(order)")
            }
        }
    }
}

@Suite struct LargeCountTests {
    @Test func `a simulation that would take hours is refused before it begins`() throws {
        let policy = try PlanTests.policy([("1h", 1_000_000)])
        let error = #expect(throws: HoldfastError.self) {
            _ = try RetentionSimulation(policy, from: 0, to: 36_525 * 86_400, in: .utc)
        }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.contains("too many steps") == true)
        let year = try RetentionSimulation(
            PlanTests.policy([("1h", 24), ("1d", 7), ("1M", 12)]), from: 0, to: 365 * 86_400, in: .utc)
        #expect(year.steps.count > 8000)
    }

    @Test func `what was claimed once is overdue since then, whatever is changed meanwhile`() throws {
        let claimed = Slot(
            of: try RetentionInterval("1d"), at: try CivilZoneTests.time("2026-06-01T12:00:00Z"), in: .utc)
        let state = ScheduleState(
            try PlanTests.policy([("1d", 7)]), claimed: [claimed],
            since: try CivilZoneTests.time("2026-06-04T11:59:00Z"), at: try CivilZoneTests.time("2026-06-04T12:00:00Z"),
            in: .utc, due: DueTime())
        #expect(state.overdueSeconds == 2 * 86_400 + 8 * 3600)
        // Of a schedule that is new nothing is overdue yet.
        let new = ScheduleState(
            try PlanTests.policy([("1d", 7)]), claimed: [], since: try CivilZoneTests.time("2026-06-04T11:59:00Z"),
            at: try CivilZoneTests.time("2026-06-04T12:00:00Z"), in: .utc, due: DueTime())
        #expect(new.overdueSeconds == 60)
    }
}
