import HoldfastModel
import HoldfastRetention
import Testing

@Suite struct PlanTests {
    static func policy(_ schedules: [(String, Int)], manual: Int? = nil, max: Int? = nil) throws -> RetentionPolicy {
        try RetentionPolicy(
            schedules: schedules.map {
                try RetentionSchedule(interval: try RetentionInterval($0.0), count: $0.1)
            }, manualCount: manual, maxBackups: max)
    }

    private func automated(_ order: Int, _ claims: [(String, Int)], good: Bool = true) throws -> RetainedBackup {
        RetainedBackup(
            id: try #require(BackupID("b\(order)")), order: order, isAutomated: true, isGood: good,
            claims: Set(try claims.map { Slot(interval: try RetentionInterval($0.0), number: $0.1) }))
    }

    private func manual(_ order: Int) throws -> RetainedBackup {
        RetainedBackup(id: try #require(BackupID("m\(order)")), order: order, isAutomated: false, isSafe: true)
    }

    private func kept(_ plan: RetentionPlan) -> [String] { plan.kept.map(\.id.rawValue) }

    @Test func `the worked example holds 22 backups on 31 December 2026`() throws {
        let simulation = try RetentionSimulation(
            try Self.policy([("1d", 7), ("1w", 4), ("1M", 12)]), from: try CivilZoneTests.time("2026-01-01T04:00:00Z"),
            to: try CivilZoneTests.time("2026-12-31T23:00:00Z"), in: .utc)
        #expect(simulation.entries.count == 22)
        #expect(simulation.steps.count == 365)
        let by = { (interval: String) in
            simulation.entries.filter { $0.reasons.contains { $0.description.hasPrefix("\(interval) #") } }.map(
                \.createdAt)
        }
        #expect(by("1d").first == (try CivilZoneTests.time("2026-12-31T04:00:00Z")))
        #expect(by("1d").last == (try CivilZoneTests.time("2026-12-25T04:00:00Z")))
        #expect(
            by("1w") == (try ["28", "21", "14", "07"].map { try CivilZoneTests.time("2026-12-\($0)T04:00:00Z") }))
        #expect(by("1M").count == 12)
        #expect(by("1M").last == (try CivilZoneTests.time("2026-01-01T04:00:00Z")))
    }

    @Test func `the default keeps two days' worth`() throws {
        let simulation = try RetentionSimulation(
            try Self.policy([("1d", 2)]), from: 0, to: 20 * 86_400, in: .utc)
        #expect(simulation.entries.count == 2)
        #expect(simulation.largest == 2)
    }

    @Test func `each backup says why it stays or goes, and what took its place`() throws {
        let plan = RetentionPlan(
            [
                try automated(1, [("1d", 1), ("1w", 0)]), try automated(2, [("1d", 2)]), try automated(3, [("1d", 3)]),
                try automated(4, [("1d", 4)]),
            ], policy: try Self.policy([("1d", 2), ("1w", 1)]))
        #expect(plan.kept.map { $0.reasons.map(\.description) } == [["newest good", "1d #1"], ["1d #2"], ["1w #1"]])
        let newest = try #require(BackupID("b4"))
        #expect(plan.removed.map(\.id.rawValue) == ["b2"])
        #expect(plan.removed[0].reasons == [.replaced(try RetentionInterval("1d"), count: 2, by: newest)])
        #expect(plan.warnings.isEmpty)
    }

    @Test func `age removes nothing: an old backup stays until newer ones are there`() throws {
        let old = try automated(1, [("1d", -20_000)])
        #expect(kept(RetentionPlan([old], policy: try Self.policy([("1d", 1)]))) == ["b1"])
        let failed = try automated(2, [("1d", 1)], good: false)
        #expect(kept(RetentionPlan([old, failed], policy: try Self.policy([("1d", 1)]))) == ["b2", "b1"])
    }

    @Test func `a backup that is not good takes nobody's place, and goes when good ones have come`() throws {
        let policy = try Self.policy([("1d", 2)])
        let two = [try automated(1, [("1d", 1)]), try automated(2, [("1d", 2)])]
        let bad = try automated(3, [("1d", 3)], good: false)
        #expect(kept(RetentionPlan(two + [bad], policy: policy)) == ["b3", "b2", "b1"])
        let later = [try automated(4, [("1d", 4)]), try automated(5, [("1d", 5)])]
        #expect(kept(RetentionPlan(two + [bad] + later, policy: policy)) == ["b5", "b4"])
    }

    @Test func `a removed schedule leaves no orphans, and the newest good one stays whatever the policy says`() throws {
        let backups = [try automated(1, [("1d", 1)]), try automated(2, [("1d", 2)])]
        let plan = RetentionPlan(backups, policy: .manual)
        #expect(kept(plan) == ["b2"])
        #expect(plan.removed[0].reasons == [.noSchedule])
    }

    @Test func `manual ones are replaced by newer ones from their limit on, and by nothing else`() throws {
        let backups = [try manual(1), try manual(2), try automated(3, [("1d", 1)]), try manual(4)]
        #expect(kept(RetentionPlan(backups, policy: try Self.policy([("1d", 1)]))) == ["m4", "b3", "m2", "m1"])
        let plan = RetentionPlan(backups, policy: try Self.policy([("1d", 1)], manual: 2))
        #expect(kept(plan) == ["m4", "b3", "m2"])
        #expect(plan.removed[0].reasons == [.replacedManual(count: 2, by: try #require(BackupID("m4")))])
    }

    @Test func `what is protected or in use stays, and counts in its schedule`() throws {
        var backups = try (1...4).map { try automated($0, [("1d", $0)]) }
        backups[0].isProtected = true
        backups[1].isInUse = true
        let plan = RetentionPlan(backups, policy: try Self.policy([("1d", 1)]))
        #expect(kept(plan) == ["b4", "b2", "b1"])
        #expect(
            plan.kept.map { $0.reasons.map(\.description) } == [["newest good", "1d #1"], ["in use"], ["protected"]])
    }

    @Test func `over the limit the finest schedule gives up first, then coarser ones, each keeping one`() throws {
        // Days 1 to 7, of which 1 and 5 are a week's too.
        let backups = try (1...7).map { day in
            try automated(day, [("1d", day)] + (day % 4 == 1 ? [("1w", day / 4)] : []))
        }
        let schedules = [("1d", 7), ("1w", 4)]
        #expect(
            kept(RetentionPlan(backups, policy: try Self.policy(schedules, max: 5))) == ["b7", "b6", "b5", "b4", "b1"])
        let tight = RetentionPlan(backups, policy: try Self.policy(schedules, max: 3))
        #expect(kept(tight) == ["b7", "b5", "b1"])
        #expect(tight.removed.allSatisfy { $0.reasons == [.tooMany(limit: 3)] })
        let impossible = RetentionPlan(backups, policy: try Self.policy(schedules, max: 1))
        #expect(kept(impossible).first == "b7")
        #expect(impossible.warnings.contains { $0.contains("max_backups is 1") })
    }

    @Test func `over the limit a plan is final: in what it leaves the next one finds nothing`() throws {
        // Of the days the two newest are kept; the oldest is a week's, and counts as a day when newer ones have gone.
        let backups = [
            try automated(1, [("1d", 1), ("1w", 0)]), try automated(2, [("1d", 2)]), try automated(3, [("1d", 3)]),
            try manual(4),
        ]
        let policy = try Self.policy([("1d", 2), ("1w", 1)], manual: 3, max: 2)
        let plan = RetentionPlan(backups, policy: policy)
        #expect(kept(plan) == ["m4", "b1"])
        #expect(plan.kept.last?.reasons.map(\.description) == ["1d #1", "1w #1"])
        #expect(plan.removed.allSatisfy { $0.reasons == [.tooMany(limit: 2)] })
        let left = backups.filter { kept(plan).contains($0.id.rawValue) }
        #expect(RetentionPlan(left, policy: policy).kept == plan.kept)
    }

    @Test func `over the limit manual ones go only if they have no limit of their own`() throws {
        let backups = try (1...4).map { try manual($0) } + [try automated(5, [("1d", 1)])]
        let plan = RetentionPlan(backups, policy: try Self.policy([("1d", 1)], max: 3))
        #expect(kept(plan) == ["b5", "m4", "m3"])
        let limited = RetentionPlan(backups, policy: try Self.policy([("1d", 1)], manual: 4, max: 3))
        #expect(kept(limited) == ["b5", "m4", "m3", "m2", "m1"])
        #expect(!limited.warnings.isEmpty)
    }

    @Test func `a manual backup for which nothing may go is refused beforehand`() throws {
        let policy = try Self.policy([], manual: 3, max: 2)
        var backups = [try manual(1), try manual(2)]
        for index in backups.indices { backups[index].isProtected = true }
        let new = try #require(BackupID("new"))
        let error = #expect(throws: HoldfastError.self) {
            try RetentionPlan.admitManual(backups, policy: policy, new: new)
        }
        #expect(error?.code == .conflict)
        #expect(throws: Never.self) {
            try RetentionPlan.admitManual(backups, policy: try Self.policy([], manual: 3, max: 3), new: new)
            try RetentionPlan.admitManual(
                [try manual(1), try manual(2)], policy: try Self.policy([], max: 2), new: new)
        }
    }

    @Test func `a plan warns when the last consistent backup goes, but that keeps nothing`() throws {
        let backups = [try manual(1), try automated(2, [("1d", 1)])]
        var policy = try Self.policy([("1d", 1)], max: 1)
        #expect(RetentionPlan(backups, policy: policy).warnings.contains("no consistent backup will be left"))
        policy = try Self.policy([("1d", 1)])
        #expect(RetentionPlan(backups, policy: policy).warnings.isEmpty)
    }

    @Test func `absurd policies are refused`() throws {
        for count in [0, -1, 1_000_000_000_000, Int.max, Int.min] {
            #expect(throws: HoldfastError.self) { try Self.policy([("1d", count)]) }
        }
        #expect(throws: HoldfastError.self) { try Self.policy([], manual: 0) }
        #expect(throws: HoldfastError.self) { try Self.policy([], max: -3) }
        #expect(try Self.policy([("1d", 7)], manual: 4, max: 10).warnings.count == 1)
        #expect(try Self.policy([("1d", 7)], manual: 3, max: 10).warnings.isEmpty)
    }

    @Test func `schedules of one interval are one, with the larger count`() throws {
        let policy = try Self.policy([("1d", 2), ("1w", 1), ("1d", 5)])
        #expect(policy.schedules.map(\.interval.description) == ["1d", "1w"])
        #expect(policy.schedules[0].count == 5)
    }
}
