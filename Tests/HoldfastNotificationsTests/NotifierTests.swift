import Foundation
import HoldfastModel
import HoldfastNotifications
import HoldfastTestSupport
import Testing

/// What is told, and how often.
@Suite struct NotifierTests {
    private static let a = NotificationChannel(name: "a", command: .init(path: "/bin/true"))
    private static let b = NotificationChannel(name: "b", command: .init(path: "/bin/true"))

    @Test func `a failure is told once, however often one looks, starts anew, or it fails again; then the recovery`()
        throws
    {
        let bench = try Bench([Self.a])
        try bench.backUp()
        try bench.notifier.look()
        #expect(try bench.take() == [])
        try bench.end(.backup, "the disk 'x' is full")
        try bench.notifier.look()
        let waiting = try #require(try bench.catalogue.nextNotices().first)
        #expect(waiting.notice.text.contains("the disk 'x' is full"))
        #expect(waiting.notice.environmentName == "main")
        #expect(waiting.notice.projectTitle == "Ledger")
        #expect(waiting.notice.activity != nil)
        #expect(try bench.take() == ["backup.failed raised"])
        for round in 0..<6 {
            bench.time.advance(60)
            if round % 2 == 0 { try bench.end(.backup, "again") }
            if round % 3 == 0 { try bench.restart([Self.a]) }
            try bench.notifier.look()
        }
        #expect(try bench.take() == [])
        try bench.end(.backup, nil)
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.failed recovered"])
        try bench.restart([Self.a])
        bench.time.advance(60)
        try bench.notifier.look()
        #expect(try bench.take() == [])
        // And a new failure is news again.
        try bench.end(.backup, "another")
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.failed raised"])
    }

    @Test func `a backup that does not happen is told after its patience, once, and the next one is the recovery`()
        throws
    {
        let bench = try Bench([Self.a])
        try bench.backUp()
        var told: [(hours: Double, what: [String])] = []
        for step in 1...(4 * 44) {
            bench.time.advance(900)
            try bench.notifier.look()
            let news = try bench.take()
            if !news.isEmpty { told.append((Double(step) / 4, news)) }
        }
        // Due at 04:00 of the next day at the earliest, which is 16 hours ahead, and half an hour later at the latest.
        #expect(told.count == 1, "\(told)")
        #expect(told.first?.what == ["backup.overdue raised"])
        #expect((16.25...17).contains(told.first?.hours ?? 0), "\(told)")
        try bench.backUp()
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.overdue recovered"])
    }

    @Test func `with a clock that is wrong nothing is called late or in time, and the clock is what is told`() throws {
        let bench = try Bench([Self.a])
        try bench.backUp()
        bench.clockError.withLock { $0 = 315_360_000 }
        bench.time.advance(315_360_000)
        try bench.notifier.look()
        #expect(try bench.take() == ["clock.jumped raised"])
        bench.time.advance(60)
        try bench.notifier.look()
        #expect(try bench.take() == [])
        bench.clockError.withLock { $0 = nil }
        bench.time.advance(60)
        try bench.notifier.look()
        #expect(try Set(bench.take()) == ["clock.jumped recovered", "backup.overdue raised"])
    }

    @Test func `of an environment that is paused nothing recovers, it ends`() throws {
        let bench = try Bench([Self.a])
        try bench.backUp()
        try bench.end(.backup, "x")
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.failed raised"])
        var paused = bench.main
        paused.status = .paused
        try bench.catalogue.update(paused)
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.failed ended"])
    }

    @Test func `policies, prunes, drills and sites that miss something are told as well`() throws {
        let bench = try Bench([Self.a])
        for (type, kind) in [
            (ActivityType.retention, "policy.failed"), (.prune, "prune.failed"), (.drill, "drill.failed"),
        ] {
            try bench.end(type, "it is broken")
            try bench.notifier.look()
            #expect(try bench.take() == ["\(kind) raised"])
            try bench.end(type, nil)
            try bench.notifier.look()
            #expect(try bench.take() == ["\(kind) recovered"])
        }
        try bench.backUp(complete: false)
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.degraded raised"])
        try bench.backUp()
        try bench.notifier.look()
        #expect(try bench.take() == ["backup.degraded recovered"])
    }

    @Test func `a channel that is added hears what is wrong, and one that is removed is forgotten`() throws {
        let bench = try Bench([Self.a])
        try bench.backUp()
        try bench.end(.backup, "x")
        try bench.notifier.look()
        #expect(try bench.take("a") == ["backup.failed raised"])
        try bench.restart([Self.a, Self.b])
        try bench.notifier.look()
        #expect(try bench.take("a") == [])
        #expect(try bench.catalogue.nextNotices().map(\.channel) == ["b"])
        try bench.restart([Self.a])
        #expect(try bench.catalogue.nextNotices().isEmpty)
        #expect(try bench.catalogue.toldAlarms().map(\.channel) == ["a"])
    }

    @Test func `a webhook that is down gets everything later, in order, once, also after a restart`() async throws {
        let server = try StubServer { _ in StubServer.Reply(503) }
        let channel = NotificationChannel(name: "a", webhook: .init(url: server.url + "/hook"))
        let bench = try Bench([channel])
        try bench.backUp()
        try bench.end(.backup, "x")
        try bench.notifier.look()
        var tries: [Double] = []
        for second in 0..<400 {
            let before = server.requests.count
            try await bench.notifier.deliver(to: channel)
            if server.requests.count > before { tries.append(Double(second)) }
            if second == 100 { try bench.restart([channel]) }
            bench.time.advance(1)
        }
        #expect(tries == [0, 15, 45, 105, 225], "\(tries)")
        server.stop()
        try bench.end(.backup, nil)
        try bench.notifier.look()
        #expect(try bench.catalogue.waitingNotices() == ["a": 2])
        try await bench.notifier.deliver(to: channel)
        let stuck = try #require(try bench.catalogue.nextNotices().first)
        #expect(stuck.problem?.isEmpty == false)
        // Another server at last: both arrive, the failure first.
        let second = try StubServer { _ in StubServer.Reply(204) }
        defer { second.stop() }
        let moved = NotificationChannel(name: "a", webhook: .init(url: second.url + "/hook"))
        try bench.restart([moved])
        bench.time.advance(3600)
        for _ in 0..<3 { try await bench.notifier.deliver(to: moved) }
        let changes = try second.requests.map { request in
            let json = try JSONSerialization.jsonObject(with: Data(request.body.utf8)) as? [String: Any]
            return "\(json?["kind"] ?? "") \(json?["change"] ?? "")"
        }
        #expect(changes == ["backup.failed raised", "backup.failed recovered"])
        let ids = Set(second.requests.compactMap { $0.headers["holdfast-notice"] })
        #expect(ids.count == 2)
        #expect(Set(server.requests.compactMap { $0.headers["holdfast-notice"] }).isSubset(of: ids))
        #expect(try bench.catalogue.waitingNotices().isEmpty)
    }

    @Test func `what cannot be delivered for a week is given up, and what comes after it goes on`() async throws {
        let channel = NotificationChannel(name: "a", command: .init(path: "/bin/false"))
        let bench = try Bench([channel])
        try bench.backUp()
        try bench.end(.backup, "x")
        try bench.notifier.look()
        try await bench.notifier.deliver(to: channel)
        #expect(try bench.catalogue.nextNotices().first?.attempts == 1)
        bench.time.advance(6 * 86_400)
        try await bench.notifier.deliver(to: channel)
        #expect(try bench.catalogue.waitingNotices() == ["a": 1])
        bench.time.advance(2 * 86_400)
        try await bench.notifier.deliver(to: channel)
        #expect(try bench.catalogue.waitingNotices().isEmpty)
    }

    @Test func `a channel that hangs keeps no other waiting`() async throws {
        let slow = try StubServer { _ in StubServer.Reply(204).after(seconds: 15) }
        let quick = try StubServer { _ in StubServer.Reply(204) }
        defer {
            slow.stop()
            quick.stop()
        }
        let channels = [("slow", slow), ("quick", quick)].map {
            NotificationChannel(name: $0, webhook: .init(url: $1.url))
        }
        let bench = try Bench(channels)
        try bench.backUp()
        try bench.end(.backup, "x")
        let notifier = try bench.notifier
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await notifier.run(every: .milliseconds(20)) }
            for _ in 0..<1000 where quick.requests.isEmpty { try? await Task.sleep(for: .milliseconds(10)) }
            group.cancelAll()
        }
        #expect(quick.requests.count == 1)
        #expect(try bench.catalogue.nextNotices().map(\.channel) == ["slow"])
    }
}
