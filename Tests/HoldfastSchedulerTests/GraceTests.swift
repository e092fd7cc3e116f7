import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastScheduler
import Synchronization
import Testing

/// What was deleted can be brought back for its whole grace, and nothing goes while nothing may.
@Suite struct GraceTests {
    private static let hour = 3600.0
    private static let day = 86_400.0

    /// A bench with two manual backups, of which the first is deleted.
    private func deleted(_ bench: Bench) throws -> (first: BackupID, second: BackupID) {
        try bench.set([])
        let (first, second) = (try bench.manual(bench.main), try bench.manual(bench.main))
        _ = try bench.desk.submit(.deleteBackup(first), by: nil)
        try bench.work()
        return (first, second)
    }

    private func claim(_ bench: Bench) throws -> ActivityContext {
        let activity = try #require(try bench.catalogue.claimActivity(in: .backup, at: bench.time.now()))
        return ActivityContext(activity: activity, catalogue: bench.catalogue, time: bench.time)
    }

    @Test func `a backup that is brought back while others are purged stays`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let ids = try (0..<3).map { _ in try bench.manual(bench.main) }
        for id in ids.dropLast() {
            _ = try bench.desk.submit(.deleteBackup(id), by: nil)
            try bench.work()
            bench.time.advance(60)
        }
        bench.time.advance(Self.day)
        let retention = try bench.desk.submitRetention(of: bench.main.id, named: "main", in: bench.project.id)
        let context = try claim(bench)
        #expect(context.activity.id == retention.id)
        var house = bench.house
        house.reached = { [bench] point in
            guard point == .backupPurged else { return }
            _ = try? bench.catalogue.undeleteBackup(ids[1], protect: false, at: bench.time.now())
        }
        try HousePerformer(house: house).perform(context)
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(ids[0]) }
        let back = try bench.catalogue.backup(ids[1])
        #expect(back.status == .created && !back.keeping.isDeleted)
        #expect(try bench.repository().snapshots().map(\.id.description).contains(back.snapshot))
        #expect(try bench.catalogue.log(of: retention.id).contains { $0.message.contains("was brought back") })
    }

    @Test func `what is queued to go for good is not brought back, unless that is cancelled`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let (first, _) = try deleted(bench)
        let deletion = try bench.desk.submit(.deleteBackup(first, now: true), by: nil)
        let error = #expect(throws: HoldfastError.self) {
            try bench.catalogue.undeleteBackup(first, protect: false, at: bench.time.now())
        }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains(deletion.id.rawValue) == true)
        try bench.catalogue.cancelActivity(deletion.id, at: bench.time.now())
        try bench.catalogue.undeleteBackup(first, protect: false, at: bench.time.now())
        try bench.work()
        #expect(try bench.catalogue.backup(first).status == .created)
    }

    @Test func `the grace begins when the backup is deleted, not when its policy was queued`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([], manual: 2)
        let ids = try (0..<2).map { _ in try bench.manual(bench.main) }
        try bench.set([], manual: 1)
        // It waits behind something, or the control plane stands still.
        _ = try bench.desk.submitRetention(of: bench.main.id, named: "main", in: bench.project.id)
        bench.time.advance(3 * Self.day)
        try bench.work()
        #expect(try bench.catalogue.backup(ids[0]).keeping.deletedAt == bench.time.now())
        bench.time.advance(Self.day - Self.hour)
        try bench.look()
        #expect(try bench.catalogue.backup(ids[0]).keeping.isDeleted)
        bench.time.advance(2 * Self.hour)
        try bench.look()
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(ids[0]) }
    }

    @Test(arguments: [true, false]) func `what is queued deletes nothing while nothing may be deleted`(
        clockIsWrong: Bool
    ) throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([], manual: 3)
        let ids = try (0..<3).map { _ in try bench.manual(bench.main) }
        _ = try bench.desk.submit(.deleteBackup(ids[0]), by: nil)
        try bench.work()
        try bench.set([], manual: 1)
        bench.time.advance(Self.day + Self.hour)
        _ = try bench.desk.submitRetention(of: bench.main.id, named: "main", in: bench.project.id)
        _ = try bench.desk.submitPrune(of: bench.project.id)
        var house = bench.house
        if clockIsWrong { bench.time.jump(400 * Self.day) } else { house.appliesPolicies = false }
        for _ in 0..<2 {
            let context = try claim(bench)
            let error = #expect(throws: HoldfastError.self) { try HousePerformer(house: house).perform(context) }
            #expect(error?.message.contains("postponed") == true)
            try bench.catalogue.finishActivity(
                context.activity.id, result: .failure, failure: "postponed", at: bench.time.now())
        }
        #expect(try bench.catalogue.backup(ids[0]).status == .created)
        #expect(Set(try bench.listed(bench.main).map(\.id)) == [ids[1], ids[2]])
        // Later it happens all the same.
        if clockIsWrong { bench.time.jump(-400 * Self.day) }
        for _ in 0..<4 {
            bench.time.advance(Self.hour)
            try bench.look()
        }
        #expect(try bench.listed(bench.main).map(\.id) == [ids[2]])
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(ids[0]) }
    }

    @Test func `a lock holds when the clock jumps ahead, and a deletion is stamped with the time as it should be`()
        throws
    {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let (locked, other) = (try bench.manual(bench.main), try bench.manual(bench.main))
        let right = bench.time.now()
        try bench.catalogue.protectBackup(
            locked, true, lockedUntil: right.addingTimeInterval(30 * Self.day), at: right)
        bench.time.jump(400 * Self.day)
        #expect(throws: HoldfastError.self) {
            _ = try bench.desk.submit(.deleteBackup(locked, force: true, now: true), by: nil)
        }
        _ = try bench.desk.submit(.deleteBackup(other), by: nil)
        try bench.work()
        #expect(try bench.catalogue.backup(other).keeping.deletedAt == right)
    }

    @Test func `a deletion that fails keeps no other from ending, and is tried again later and later`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let (first, second) = try deleted(bench)
        var damaged = Backup(
            id: .random(), environment: bench.main, safe: false, automated: false,
            commit: String(repeating: "c", count: 40), deployment: "d", snapshot: String(repeating: "z", count: 64),
            sizes: (1, 1), sites: [SitePlacement(site: "a", isComplete: true)], evidence: (nil, nil),
            createdAt: bench.time.now(), updatedAt: bench.time.now())
        damaged.keeping.label = "its record is damaged"
        try bench.catalogue.insertBackup(damaged)
        // It is deleted before the other: the first that is to end.
        try bench.catalogue.deleteBackup(
            damaged.id, because: "test", at: bench.time.now().addingTimeInterval(-Self.hour))
        bench.time.advance(Self.day + Self.hour)
        var tries = 0
        for _ in 0..<360 {
            tries += try bench.look().count { $0.type == .retention }
            bench.time.advance(10)
        }
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(first) }
        #expect(try bench.catalogue.backup(damaged.id).status == .deleting)
        #expect(try bench.listed(bench.main).map(\.id) == [second])
        #expect((2...7).contains(tries), "\(tries) in an hour")
    }

    @Test func `a deletion for good that failed halfway is ended by itself`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.set([])
        let (first, second) = (try bench.manual(bench.main), try bench.manual(bench.main))
        let (site, away) = ("\(bench.folder)/a", "\(bench.folder)/away")
        try FileManager.default.moveItem(atPath: site, toPath: away)
        _ = try bench.desk.submit(.deleteBackup(first, now: true), by: nil)
        #expect(try bench.work().map(\.result) == [.failure])
        #expect(try bench.catalogue.backup(first).status == .deleting)
        try FileManager.default.moveItem(atPath: away, toPath: site)
        bench.time.advance(Self.hour)
        try bench.look()
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(first) }
        #expect(try bench.listed(bench.main).map(\.id) == [second])
    }

    @Test func `a start does not wait for deletions that were going on`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        let (first, _) = try deleted(bench)
        _ = try bench.desk.submit(.deleteBackup(first, now: true), by: nil)
        let context = try claim(bench)
        #expect(HousePerformer(house: bench.house).recover(context) == .again)
        #expect(try bench.catalogue.backup(first).status == .created)
        try bench.catalogue.requeueActivity(context.activity.id, at: bench.time.now())
        #expect(try bench.work().map(\.result) == [.success])
        #expect(throws: HoldfastError.self) { try bench.catalogue.backup(first) }
    }

    @Test func `an automated backup that is cancelled comes back no sooner than one that failed`() throws {
        let bench = try Bench("2026-03-01T04:45:00Z")
        bench.scheduler.tick()
        let queued = try #require(try bench.catalogue.openActivities().first { $0.type == .backup })
        try bench.catalogue.cancelActivity(queued.id, at: bench.time.now())
        bench.time.advance(2)
        #expect(try bench.look().isEmpty)
        bench.time.advance(60)
        #expect(try bench.look().map(\.type) == [.backup])
    }

    @Test func `looking changes nothing, and what changes nothing is looked at once`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z")
        try bench.look()
        try bench.look()
        let before = bench.catalogue.generation
        for _ in 0..<5 {
            bench.time.advance(2)
            try bench.look()
        }
        #expect(bench.catalogue.generation == before)
        _ = try bench.manual(bench.main)
        #expect(bench.catalogue.generation > before)
    }

    @Test func `a prune takes from a site that was away what was removed meanwhile, once it has the rest`() throws {
        let bench = try Bench("2026-03-01T12:00:00Z", siteNames: ["a", "b"])
        try bench.set([])
        func objects(_ site: String) -> Set<String> {
            let paths = FileManager.default.subpaths(atPath: "\(bench.folder)/\(site)") ?? []
            return Set(paths.filter { ($0 as NSString).lastPathComponent.count == 64 })
        }
        func deleteAndPrune(_ id: BackupID) throws {
            _ = try bench.desk.submit(.deleteBackup(id, now: true), by: nil)
            try bench.work()
            try bench.pass(2 * Int(Self.day), step: Int(Self.hour))
        }
        let ids = try (0..<3).map { _ in try bench.manual(bench.main) }
        let before = objects("b")
        #expect(before == objects("a") && before.count > 6)
        let (here, away) = ("\(bench.folder)/b", "\(bench.folder)/b-away")
        try FileManager.default.moveItem(atPath: here, toPath: away)
        try deleteAndPrune(ids[0])
        #expect(!before.isSubset(of: objects("a")))
        try FileManager.default.moveItem(atPath: away, toPath: here)
        // Without what the first prune wrote the site keeps everything.
        try deleteAndPrune(ids[1])
        #expect(before.filter { $0.contains("/data/") }.isSubset(of: objects("b")))
        // As before a backup.
        _ = try bench.repository().catchUpSites(limit: .max, comparesPacks: true, isWanted: { _ in true })
        #expect(objects("b").count > objects("a").count)
        let last = try bench.manual(bench.main)
        try deleteAndPrune(ids[2])
        #expect(objects("b") == objects("a"))
        let kept = try bench.catalogue.backup(last).snapshot
        #expect(try bench.repository().snapshots().map(\.id.description) == [kept])
    }
}
