import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastRetention
import HoldfastScheduler
import Testing

@Suite struct SchedulerTests {
    private static let hour = 3600
    private static let day = 86_400

    @Test func `the default policy backs production up once a day and keeps two, and leaves the others alone`() throws {
        let bench = try Bench()
        let stage = try bench.add("stage", .staging)
        let feature = try bench.add("feature", .development)
        try bench.pass(5 * Self.day, step: Self.hour)
        let listed = try bench.listed(bench.main)
        #expect(listed.count == 2)
        #expect(listed.allSatisfy { $0.automated && !$0.safe })
        #expect(Set(listed.flatMap(\.keeping.claims).map(\.interval)) == ["1d"])
        #expect(try bench.catalogue.claims(of: bench.main.id).count <= 5)
        #expect(try bench.listed(stage).isEmpty)
        #expect(try bench.listed(feature).isEmpty)
        let taken = try bench.catalogue.activities(in: bench.project.id, .init(limit: 100)).filter {
            $0.activity.type == .backup
        }
        #expect(taken.count == 5)
    }

    @Test func `a day that is claimed is not claimed again, however often one looks or starts anew`() throws {
        let bench = try Bench("2026-03-01T03:00:00Z")
        bench.time.advance(7200)
        #expect(try bench.look().map(\.type) == [.backup])
        for _ in 0..<20 {
            bench.restart()
            bench.time.advance(600)
            #expect(try bench.look().isEmpty)
        }
        #expect(try bench.listed(bench.main).count == 1)
    }

    @Test func `each trigger is a look, and without more of them the service ends`() async throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let (triggers, source) = AsyncStream.makeStream(of: Void.self)
        source.yield()
        source.yield()
        source.finish()
        await bench.scheduler.run(triggers: triggers)
        #expect(try bench.catalogue.openActivities().map(\.type) == [.backup])
    }

    @Test func `a control plane that stood still for three days takes one backup, and the days between stay missed`()
        throws
    {
        let bench = try Bench()
        try bench.set([("1d", 7)])
        try bench.pass(2 * Self.day, step: Self.hour)
        let before = try bench.listed(bench.main).count
        #expect(before == 2)
        bench.time.advance(Double(3 * Self.day + 6 * Self.hour))
        bench.restart()
        #expect(try bench.look().map(\.type) == [.backup])
        for _ in 0..<10 {
            bench.time.advance(60)
            #expect(try bench.look().isEmpty)
        }
        #expect(try bench.listed(bench.main).count == before + 1)
        let gap = try bench.catalogue.claims(of: bench.main.id).map(\.slot).sorted()
        #expect(gap.last.map { $0 - gap[gap.count - 2] } ?? 0 >= 3)
    }

    @Test func `in the nights in which the clocks are changed each day and each hour is backed up once`() throws {
        for start in ["2026-03-28T20:30:00Z", "2026-10-24T20:30:00Z"] {
            let bench = try Bench(start, zone: "Europe/Berlin")
            try bench.set([("1d", 7), ("1h", 48)])
            try bench.pass(12 * Self.hour, step: 300)
            let listed = try bench.listed(bench.main)
            let claims = listed.flatMap(\.keeping.claims)
            #expect(Set(claims).count == claims.count)
            // Days begin later in their slot than hours, so that theirs may be a backup of its own.
            #expect((13...14).contains(listed.count), "\(listed.count)")
            #expect(claims.count { $0.interval == "1h" } == 13)
            #expect(claims.count { $0.interval == "1d" } == 2, "\(start)")
            let hours = claims.filter { $0.interval == "1h" }.map(\.slot).sorted()
            #expect(hours.last.map { $0 - (hours.first ?? 0) } == 12, "none is left out")
        }
    }

    @Test func `an environment that was paused for long is due when it runs again, and not overdue before`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.look()
        #expect(try bench.listed(bench.main).count == 1)
        func move(_ type: ActivityType, to status: EnvironmentStatus) throws {
            let activity = Activity(
                id: .random(), project: bench.project.id, environment: bench.main.id, type: type, user: nil, text: "x",
                createdAt: bench.time.now())
            try bench.catalogue.createActivity(activity)
            _ = try bench.catalogue.claimActivity(in: .default, at: bench.time.now())
            var environment = try bench.catalogue.environment(bench.main.id)
            environment.status = status
            try bench.catalogue.update(environment)
            try bench.catalogue.finishActivity(activity.id, result: .success, failure: nil, at: bench.time.now())
        }
        try move(.pause, to: .paused)
        try bench.pass(20 * Self.day, step: Self.day / 4)
        #expect(try bench.listed(bench.main).count == 1)
        try move(.resume, to: .active)
        bench.backups.fail(bench.main, true)
        bench.time.advance(30)
        #expect(try bench.look().map(\.type) == [.backup])
        func overdue() throws -> Int {
            try bench.catalogue.retention(of: bench.main, at: bench.time.now()).state(at: bench.time.now())
                .overdueSeconds
        }
        #expect(try overdue() == 30)
        bench.time.advance(Double(2 * Self.day))
        #expect(try overdue() == 2 * Self.day + 30)
        bench.backups.fail(bench.main, false)
        try bench.look()
        #expect(try overdue() == 0)
    }

    @Test func `only active environments are backed up, production first, and few at a time`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([("1d", 2)], for: .staging)
        try bench.set([("1d", 2)], for: .development)
        var active: [Environment] = []
        for number in 0..<5 { active.append(try bench.add("a\(number)", .development)) }
        let paused = try bench.add("paused", .staging, .paused)
        let inactive = try bench.add("inactive", .development, .inactive)
        bench.scheduler.tick()
        bench.scheduler.tick()
        let open = try bench.catalogue.openActivities()
        #expect(open.count == SchedulerLimits().open)
        #expect(open.first?.environment == bench.main.id)
        var order = try bench.work()
        while case let next = try bench.look(), !next.isEmpty { order += next }
        #expect(Set(order.compactMap(\.environment)) == Set([bench.main.id] + active.map(\.id)))
        #expect(order.count == 6)
        #expect(try bench.listed(paused).isEmpty)
        #expect(try bench.listed(inactive).isEmpty)
    }

    @Test func `a backup that fails claims nothing and is tried again later and later, until one works`() throws {
        let bench = try Bench("2026-03-01T04:45:00Z")
        bench.backups.fail(bench.main, true)
        var tries: [Int] = []
        for second in stride(from: 0, to: 4 * Self.hour, by: 10) {
            if try bench.look().contains(where: { $0.type == .backup }) { tries.append(second) }
            bench.time.advance(10)
        }
        let waits = zip(tries.dropFirst(), tries).map { $0 - $1 }
        #expect(waits.prefix(6) == [60, 120, 240, 480, 960, 1920])
        #expect(waits.dropFirst(6).allSatisfy { $0 == Self.hour })
        #expect(try bench.catalogue.claims(of: bench.main.id).isEmpty)
        bench.backups.fail(bench.main, false)
        try bench.pass(Self.hour, step: 60)
        #expect(try bench.listed(bench.main).count == 1)
        // The next day begins without a delay.
        try bench.pass(Self.day, step: 600)
        #expect(try bench.listed(bench.main).count == 2)
    }

    @Test func `an environment that is dirty is backed up when it is clean again, and nothing failed`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let push = Activity(
            id: .random(), project: bench.project.id, environment: bench.main.id, type: .push, user: nil, text: "push",
            createdAt: bench.time.now())
        try bench.catalogue.createActivity(push)
        #expect(try bench.look().isEmpty)
        _ = try bench.catalogue.claimActivity(in: .default, at: bench.time.now())
        #expect(try bench.look().isEmpty)
        try bench.catalogue.finishActivity(push.id, result: .success, failure: nil, at: bench.time.now())
        #expect(try bench.look().map(\.type) == [.backup])
        #expect(try bench.catalogue.automatedFailures(of: bench.main.id) == nil)
    }

    @Test func `a crash between a new backup and the end of the old one leads to the plan's state at the next start`()
        throws
    {
        let bench = try Bench()
        try bench.pass(2 * Self.day, step: Self.hour)
        let oldest = try #require(try bench.listed(bench.main).last)
        bench.time.advance(Double(6 * Self.hour))
        // The new one is durable, and nothing after it has happened.
        #expect(try bench.look().map(\.type) == [.backup])
        #expect(try bench.listed(bench.main).count == 3)
        bench.restart()
        let plan = try bench.catalogue.retention(of: bench.main, at: bench.time.now()).plan()
        #expect(plan.removed.map(\.id) == [oldest.id])
        #expect(try bench.look().map(\.type) == [.retention])
        #expect(try bench.listed(bench.main).map(\.id) == plan.kept.map(\.id))
        // And in the middle of the deletion: what was in progress is done again.
        bench.time.advance(Double(23 * Self.hour))
        #expect(try bench.look().map(\.type).filter { $0 != .prune } == [.backup])
        let expected = try bench.catalogue.retention(of: bench.main, at: bench.time.now()).plan().kept.map(\.id)
        bench.restart()
        bench.scheduler.tick()
        let begun = try #require(try bench.catalogue.claimActivity(in: .backup, at: bench.time.now()))
        let context = ActivityContext(activity: begun, catalogue: bench.catalogue, time: bench.time)
        #expect(bench.backups.recover(context) == .again)
        try bench.catalogue.requeueActivity(begun.id, at: bench.time.now())
        #expect(try bench.work().map(\.id) == [begun.id])
        #expect(try bench.listed(bench.main).map(\.id) == expected)
    }

    @Test(arguments: [10 * 365 * 86_400, -400 * 86_400])
    func `while the clock is wrong nothing is deleted, and that is known`(jump: Int) throws {
        let bench = try Bench()
        try bench.pass(4 * Self.day, step: Self.hour)
        let before = Set(try bench.listed(bench.main).map(\.id))
        bench.time.jump(Double(jump))
        for _ in 0..<20 {
            bench.time.advance(Double(Self.hour))
            #expect(try !bench.look().contains { $0.type == .retention })
        }
        #expect(bench.scheduler.clockError.map { abs($0 - jump) < 10 } == true)
        #expect(Set(try bench.listed(bench.main).map(\.id)).isSuperset(of: before))
        // Put right again, it is trusted at once; and the plan still holds.
        bench.time.jump(Double(-jump))
        bench.time.advance(Double(Self.hour))
        try bench.look()
        #expect(bench.scheduler.clockError == nil)
        try bench.pass(2 * Self.day, step: Self.hour)
        #expect(try !bench.listed(bench.main).isEmpty)
    }

    @Test func `a clock that was set while the control plane stood still is noticed at its start`() throws {
        let bench = try Bench()
        try bench.pass(3 * Self.day, step: Self.hour)
        // A new one pushes the oldest out, and nobody has looked since.
        bench.time.advance(Double(6 * Self.hour))
        #expect(try bench.look().map(\.type) == [.backup, .retention])
        bench.time.advance(Double(23 * Self.hour))
        #expect(try bench.look().map(\.type).filter { $0 != .prune } == [.backup])
        bench.time.jump(Double(10 * 365 * Self.day))
        bench.restart()
        let before = Set(try bench.listed(bench.main).map(\.id))
        for _ in 0..<5 {
            bench.time.advance(Double(Self.hour))
            #expect(try !bench.look().contains { $0.type == .retention })
        }
        #expect(bench.scheduler.clockError != nil)
        #expect(Set(try bench.listed(bench.main).map(\.id)).isSuperset(of: before))
        // Restarted, it still knows; after a day without another jump the clock is believed.
        bench.restart()
        try bench.pass(22 * Self.hour, step: Self.hour)
        #expect(bench.scheduler.clockError == nil)
        #expect(try !bench.listed(bench.main).isEmpty)
    }

    @Test func `a new manual backup replaces the oldest, after it is there`() throws {
        let bench = try Bench("2026-03-01T01:00:00Z")
        try bench.set([], manual: 2)
        var made: [BackupID] = []
        for _ in 0..<4 {
            made.append(try bench.manual(bench.main))
            #expect(try bench.listed(bench.main).contains { $0.id == made.first } == (made.count < 4))
            bench.time.advance(120)
            try bench.look()
        }
        #expect(try bench.listed(bench.main).map(\.id) == [made[3], made[2]])
        let gone = try bench.catalogue.backup(made[0])
        #expect(gone.keeping.deletedBecause?.contains("manual_count is 2") == true)
        let log = try bench.catalogue.auditLog(of: bench.project.id, limit: 10)
        #expect(log.contains { $0.subject == made[0].rawValue && $0.detail?.contains("replaced by") == true })
    }

    @Test func `with max_backups full of protected ones a manual backup is refused with the reason`() throws {
        let bench = try Bench("2026-03-01T01:00:00Z")
        try bench.set([], most: 2)
        for _ in 0..<2 {
            try bench.catalogue.protectBackup(bench.manual(bench.main), true, at: bench.time.now())
            bench.time.advance(120)
        }
        let error = #expect(throws: HoldfastError.self) { try bench.manual(bench.main) }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains("max_backups is 2") == true)
        // One of them is handed back: now there is a place.
        let oldest = try #require(try bench.listed(bench.main).last)
        try bench.catalogue.protectBackup(oldest.id, false, at: bench.time.now())
        _ = try bench.manual(bench.main)
        bench.time.advance(120)
        try bench.look()
        #expect(try bench.listed(bench.main).count == 2)
        #expect(try bench.catalogue.backup(oldest.id).keeping.isDeleted)
    }

    @Test func `what is deleted can be brought back for a day, and is gone with its snapshot after it`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let (first, second) = (try bench.manual(bench.main), try bench.manual(bench.main))
        let snapshot = try bench.catalogue.backup(first).snapshot
        _ = try bench.desk.submit(.deleteBackup(first), by: nil)
        try bench.work()
        #expect(try bench.listed(bench.main).map(\.id) == [second])
        try bench.pass(Self.day - Self.hour, step: Self.hour)
        #expect(try bench.repository().snapshots().count == 2)
        try bench.catalogue.undeleteBackup(first, protect: false, at: bench.time.now())
        try bench.pass(2 * Self.day, step: Self.hour)
        #expect(Set(try bench.listed(bench.main).map(\.id)) == [first, second])
        _ = try bench.desk.submit(.deleteBackup(first), by: nil)
        try bench.work()
        try bench.pass(Self.day + Self.hour, step: Self.hour)
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(first) }
        #expect(try !bench.repository().snapshots().contains { $0.id.description == snapshot })
    }

    @Test func `a prune waits for what uses the repository, keeps it to itself, and comes once a day`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let ids = try (0..<3).map { _ in try bench.manual(bench.main) }
        let other = try bench.add("other", .development)
        for id in ids.dropLast() {
            _ = try bench.desk.submit(.deleteBackup(id, now: true), by: nil)
            try bench.work()
        }
        // Something reads the repository.
        let restore = try bench.desk.submit(.restore(ids[2], RestoreRequest(target: "other")), by: nil)
        #expect(restore.environment == other.id)
        #expect(try bench.catalogue.claimActivity(in: .default, at: bench.time.now())?.id == restore.id)
        bench.scheduler.tick()
        #expect(try bench.catalogue.openActivities().contains { $0.type == .prune })
        #expect(try bench.catalogue.claimActivity(in: .backup, at: bench.time.now()) == nil)
        try bench.catalogue.finishActivity(restore.id, result: .success, failure: nil, at: bench.time.now())
        let prune = try #require(try bench.catalogue.claimActivity(in: .backup, at: bench.time.now()))
        #expect(prune.type == .prune)
        // And nothing begins beside it, in no environment of the project.
        let backup = try bench.desk.submit(.backup(bench.main.id, safe: false), by: nil)
        #expect(try bench.catalogue.claimActivity(in: .backup, at: bench.time.now()) == nil)
        try bench.backups.perform(
            ActivityContext(activity: prune, catalogue: bench.catalogue, time: bench.time))
        try bench.catalogue.finishActivity(prune.id, result: .success, failure: nil, at: bench.time.now())
        #expect(try bench.work().map(\.id) == [backup.id])
        #expect(try bench.repository().planPrune().isEmpty)
        _ = try bench.desk.submit(.deleteBackup(ids[2], now: true), by: nil)
        var pruned = 0
        for _ in 0..<23 {
            bench.time.advance(Double(Self.hour))
            pruned += try bench.look().count { $0.type == .prune }
        }
        #expect(pruned == 0)
        try bench.pass(2 * Self.hour, step: Self.hour)
        #expect(
            try bench.catalogue.activities(in: bench.project.id, .init(limit: 50)).count {
                $0.activity.type == .prune && $0.activity.result == .success
            } == 2)
    }

    @Test func `a prune gives way to a restore, and is overtaken by nothing else for longer than an hour`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let ids = try (0..<3).map { _ in try bench.manual(bench.main) }
        _ = try bench.add("other", .development)
        for id in ids.dropLast() {
            _ = try bench.desk.submit(.deleteBackup(id, now: true), by: nil)
            try bench.work()
        }
        func claim(_ queue: ActivityQueueName) throws -> Activity? {
            try bench.catalogue.claimActivity(in: queue, at: bench.time.now())
        }
        func perform(_ activity: Activity) throws {
            try bench.backups.perform(
                ActivityContext(activity: activity, catalogue: bench.catalogue, time: bench.time))
        }
        func end(_ id: ActivityID) throws {
            try bench.catalogue.finishActivity(id, result: .success, failure: nil, at: bench.time.now())
        }
        let queued = try bench.desk.submitPrune(of: bench.project.id)
        let prune = try #require(try claim(.backup))
        #expect(prune.id == queued.id)
        let restore = try bench.desk.submit(.restore(ids[2], RestoreRequest(target: "other")), by: nil)
        #expect(try claim(.default) == nil)
        #expect(throws: GivesWay.self) { try perform(prune) }
        #expect(try !bench.repository().planPrune().isEmpty, "it has begun nothing")
        try bench.catalogue.requeueActivity(prune.id, at: bench.time.now())
        #expect(try claim(.backup) == nil, "the restore comes first")
        #expect(try claim(.default)?.id == restore.id)
        // A backup that waits beside it does not overtake the prune once that has waited for an hour.
        bench.time.advance(3601)
        let backup = try bench.desk.submit(.backup(bench.main.id, safe: false), by: nil)
        #expect(try claim(.backup) == nil)
        try end(restore.id)
        #expect(try claim(.backup)?.id == prune.id)
        try perform(prune)
        try end(prune.id)
        #expect(try bench.repository().planPrune().isEmpty)
        #expect(try claim(.backup)?.id == backup.id)
    }

    @Test func `a schedule that is safe asks for consistent backups, and others for live ones`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let stage = try bench.add("stage", .staging)
        try bench.set([("1d", 2)], for: .staging)
        try bench.set([("1d", 2)], safe: true)
        bench.scheduler.tick()
        let asked = try bench.catalogue.openActivities().filter { $0.type == .backup }
        #expect(asked.count == 2)
        for activity in asked {
            #expect(activity.parameters["safe"] == (activity.environment == stage.id ? "false" : "true"))
        }
    }

    @Test func `a drill is due some days after the last restore, one at a time, and a failed one waits for a day`()
        throws
    {
        var limits = SchedulerLimits()
        limits.drillEvery = 7 * Self.day
        let bench = try Bench("2026-03-01T12:00:00Z", limits: limits)
        let other = try bench.add("other", .development)
        try bench.set([])
        _ = try bench.manual(bench.main)
        bench.time.advance(60)
        let newest = try bench.manual(bench.main)
        _ = try bench.manual(other)
        func drills(_ result: ActivityResult) throws -> [Activity] {
            bench.scheduler.tick()
            let open = try bench.catalogue.openActivities().filter { $0.type == .drill }
            for drill in open {
                #expect(try bench.catalogue.claimActivity(in: .default, at: bench.time.now())?.id == drill.id)
                try bench.catalogue.finishActivity(
                    drill.id, result: result, failure: result == .failure ? "x" : nil, at: bench.time.now())
            }
            return open
        }
        let first = try drills(.success)
        let second = try drills(.success)
        #expect((first + second).count == 2, "one at a time, one for each")
        #expect(Set((first + second).compactMap(\.environment)) == [bench.main.id, other.id])
        #expect((first + second).contains { $0.parameters["backup"] == newest.rawValue })
        for _ in 0..<6 {
            bench.time.advance(Double(Self.day))
            #expect(try drills(.success).isEmpty)
        }
        bench.time.advance(Double(Self.day))
        #expect(try drills(.failure).count == 1)
        #expect(try drills(.failure).count == 1)
        #expect(try drills(.failure).isEmpty, "a failed one is not tried at each look")
        bench.time.advance(Double(Self.day + Self.hour))
        #expect(try drills(.success).count == 1)
    }

    @Test func `what is protected, locked or read stays, whatever the policy says`() throws {
        let bench = try Bench()
        try bench.set([("1d", 5)])
        try bench.pass(5 * Self.day, step: Self.hour)
        let all = try bench.listed(bench.main)
        #expect(all.count == 5)
        let (protected, locked, read, plain) = (all[4], all[3], all[2], all[1])
        try bench.catalogue.protectBackup(protected.id, true, at: bench.time.now())
        let until = bench.time.now().addingTimeInterval(Double(40 * Self.day))
        try bench.catalogue.protectBackup(locked.id, true, lockedUntil: until, at: bench.time.now())
        let other = try bench.add("other", .development)
        let restore = Activity(
            id: .random(), project: bench.project.id, environment: other.id, type: .restore,
            parameters: ["backup": read.id.rawValue], user: nil, text: "restore", createdAt: bench.time.now())
        try bench.catalogue.createActivity(restore)
        try bench.set([])
        try bench.pass(2 * Self.hour, step: 600)
        #expect(Set(try bench.listed(bench.main).map(\.id)) == [all[0].id, read.id, locked.id, protected.id])
        #expect(try bench.catalogue.backup(plain.id).keeping.isDeleted)
        for id in [locked.id, read.id] {
            #expect(throws: HoldfastError.self) {
                try bench.catalogue.deleteBackup(id, because: "x", force: true, at: bench.time.now())
            }
        }
        try bench.catalogue.cancelActivity(restore.id, at: bench.time.now())
        try bench.pass(2 * Self.hour, step: 600)
        #expect(Set(try bench.listed(bench.main).map(\.id)) == [all[0].id, locked.id, protected.id])
    }
}
