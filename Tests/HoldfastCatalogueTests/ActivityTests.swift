import Foundation
import HoldfastCatalogue
import HoldfastModel
import Testing

@Suite struct ActivityTests {
    @Test func `one activity runs per environment, whatever the queue, and the next one follows`() throws {
        let bench = try Bench()
        let cron = try bench.queue(.cron, on: bench.main)
        let backup = try bench.queue(.backup, on: bench.main)
        #expect(try bench.claim(.cron) == cron.id)
        #expect(try bench.claim(.backup) == nil)
        try bench.finish(cron.id)
        #expect(try bench.claim(.backup) == backup.id)
    }

    @Test func `within a queue the oldest goes first, and production before all others`() throws {
        let bench = try Bench()
        let first = try bench.addEnvironment("a")
        let second = try bench.addEnvironment("b")
        let one = try bench.queue(.push, on: first)
        let two = try bench.queue(.push, on: second)
        let three = try bench.queue(.push, on: bench.main)
        #expect(
            try [bench.claim(.default), bench.claim(.default), bench.claim(.default)] == [three.id, one.id, two.id])
        #expect(try bench.claim(.default) == nil)
    }

    @Test func `a busy environment does not keep others waiting`() throws {
        let bench = try Bench()
        let other = try bench.addEnvironment("a")
        try bench.queue(.push, on: bench.main)
        try bench.queue(.push, on: bench.main)
        let last = try bench.queue(.push, on: other)
        _ = try bench.claim(.default)
        #expect(try bench.claim(.default) == last.id)
    }

    @Test func `two threads never claim the same activity`() throws {
        let bench = try Bench()
        for index in 0..<20 { try bench.queue(.backup, on: bench.addEnvironment("e\(index)")) }
        let (catalogue, now) = (bench.catalogue, bench.time.now())
        let claimed = Claims()
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
            while let activity = try? catalogue.claimActivity(in: .backup, at: now) { claimed.add(activity.id) }
        }
        #expect(claimed.all.count == 20)
        #expect(Set(claimed.all).count == 20)
    }

    @Test(arguments: [ActivityType.restore, .backup])
    func `a backup or restore of a dirty environment is refused in the same step`(type: ActivityType) throws {
        let bench = try Bench()
        let push = try bench.queue(.push, on: bench.main)
        #expect(code { try bench.queue(type, on: bench.main) } == .conflict)
        #expect(try bench.catalogue.dirtyEnvironments(in: bench.project.id) == [bench.main.id])
        #expect(try bench.claim(.default) == push.id)
        try bench.finish(push.id)
        #expect(try bench.catalogue.dirtyEnvironments(in: bench.project.id) == [])
        try bench.queue(type, on: bench.main)
    }

    @Test func `a backup asked for during a cron or another backup is queued`() throws {
        let bench = try Bench()
        try bench.queue(.cron, on: bench.main)
        _ = try bench.claim(.cron)
        try bench.queue(.backup, on: bench.main)
        try bench.queue(.backup, on: bench.main)
        #expect(try bench.catalogue.openActivities().map(\.type) == [.cron, .backup, .backup])
    }

    @Test(arguments: [EnvironmentStatus.inactive, .paused, .deleting])
    func `an environment that is not active cannot be backed up`(status: EnvironmentStatus) throws {
        let bench = try Bench()
        bench.main.status = status
        try bench.catalogue.update(bench.main)
        #expect(code { try bench.queue(.backup, on: bench.main) } == .conflict)
        #expect(try bench.catalogue.openActivities() == [])
    }

    @Test func `what was running when the process stopped is still open after a restart, with its log`() throws {
        let bench = try Bench()
        let activity = try bench.queue(.backup, on: bench.main)
        _ = try bench.claim(.backup)
        bench.catalogue.appendLog(activity.id, "one\n", at: bench.time.now())
        bench.catalogue.setProgress(activity.id, percent: 40, at: bench.time.now())
        try bench.reopen()
        let open = try bench.catalogue.openActivities()
        #expect(open.map(\.id) == [activity.id])
        #expect(open.first?.state == .inProgress)
        #expect(open.first?.completionPercent == 40)
        try bench.catalogue.finishActivity(activity.id, result: .failure, failure: "stopped", at: bench.time.now())
        #expect(try bench.catalogue.log(of: activity.id).map(\.message) == ["one\n"])
        #expect(try bench.catalogue.activity(activity.id).failure == "stopped")
    }

    @Test func `states only make their legal moves`() throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        #expect(code { try bench.finish(activity.id) } == .conflict)
        _ = try bench.claim(.cron)
        #expect(code { try bench.catalogue.cancelActivity(activity.id, at: bench.time.now()) } == .conflict)
        try bench.finish(activity.id)
        #expect(code { try bench.finish(activity.id) } == .conflict)
        let other = try bench.queue(.cron, on: bench.main)
        try bench.catalogue.cancelActivity(other.id, at: bench.time.now())
        #expect(try bench.claim(.cron) == nil)
        #expect(try bench.catalogue.activity(other.id).state == .cancelled)
    }

    @Test func `progress never goes back and reaches 100 only at the end`() throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        _ = try bench.claim(.cron)
        bench.catalogue.setProgress(activity.id, percent: 70, at: bench.time.now())
        bench.catalogue.setProgress(activity.id, percent: 30, at: bench.time.now())
        #expect(try bench.catalogue.activity(activity.id).completionPercent == 70)
        bench.catalogue.setProgress(activity.id, percent: 100, at: bench.time.now())
        #expect(try bench.catalogue.activity(activity.id).completionPercent == 99)
        try bench.finish(activity.id)
        #expect(try bench.catalogue.activity(activity.id).completionPercent == 100)
    }

    @Test func `log lines are numbered from 1 and read from any of them on`() throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        for index in 1...5 { bench.catalogue.appendLog(activity.id, "line \(index)\n", at: bench.time.now()) }
        #expect(try bench.catalogue.log(of: activity.id, after: 3).map(\.sequence) == [4, 5])
        #expect(try bench.catalogue.log(of: activity.id, limit: 2).map(\.message) == ["line 1\n", "line 2\n"])
        bench.catalogue.appendLog(activity.id, String(repeating: "x", count: 100_000), at: bench.time.now())
        let last = try #require(try bench.catalogue.log(of: activity.id, after: 5).first)
        #expect(last.message.utf8.count < 17_000)
        #expect(last.message.hasSuffix("…\n"))
    }

    @Test func `activities are listed newest first and filtered by everything that clients send`() throws {
        let bench = try Bench()
        let other = try bench.addEnvironment("a")
        let one = try bench.queue(.backup, on: bench.main)
        let two = try bench.queue(.cron, on: bench.main)
        let three = try bench.queue(.push, on: other)
        func ids(_ change: (inout ActivityFilter) -> Void) throws -> [ActivityID] {
            var filter = ActivityFilter(limit: 10)
            change(&filter)
            return try bench.catalogue.activities(in: bench.project.id, filter).map(\.activity.id)
        }
        #expect(try ids { _ in } == [three.id, two.id, one.id])
        #expect(try ids { $0.types = ["environment.cron", "environment.backup"] } == [two.id, one.id])
        #expect(try ids { $0.environment = other.id } == [three.id])
        #expect(try ids { $0.startsAt = two.createdAt } == [two.id, one.id])
        #expect(try ids { $0.limit = 1 } == [three.id])
        #expect(try ids { $0.states = ["complete"] } == [])
        #expect(try ids { $0.types = ["x' OR 1=1 --"] } == [])
    }

    @Test func `activities of a deleted environment keep its name, and its backups stay`() throws {
        let bench = try Bench()
        let gone = try bench.addEnvironment("gone")
        let activity = try bench.queue(.delete, on: gone)
        let backup = bench.backup(of: gone)
        try bench.catalogue.insertBackup(backup)
        _ = try bench.claim(.default)
        try bench.catalogue.removeEnvironment(gone.id)
        try bench.finish(activity.id)
        let details = try bench.catalogue.activityDetails(activity.id, in: bench.project.id)
        #expect(details.environmentName == "gone")
        #expect(try bench.catalogue.backups(in: bench.project.id).map(\.id) == [backup.id])
    }

    @Test func `watchers are woken by lines and by the end, and let go`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        var changes = bench.catalogue.feed.changes(of: activity.id).makeAsyncIterator()
        bench.catalogue.appendLog(activity.id, "one\n", at: bench.time.now())
        #expect(await changes.next() != nil)
        _ = try bench.claim(.cron)
        try bench.finish(activity.id)
        #expect(await changes.next() != nil)
        #expect(bench.catalogue.feed.watcherCount == 1)
        bench.catalogue.feed.close()
        #expect(await changes.next() == nil)
        #expect(bench.catalogue.feed.watcherCount == 0)
    }
}

private final class Claims: @unchecked Sendable {
    private let lock = NSLock()
    private var ids: [ActivityID] = []

    var all: [ActivityID] { lock.withLock { ids } }
    func add(_ id: ActivityID) { lock.withLock { ids.append(id) } }
}
