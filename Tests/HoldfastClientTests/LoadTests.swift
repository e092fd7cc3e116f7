import Foundation
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct LoadTests {
    @Test func `every request has an id of its own and an outcome`() async throws {
        let server = try StubServer { request in
            switch request.headers["x-event-id"] {
            case "load-2": .init(503, "", headers: ["Retry-After": "1"])
            case "load-3": .init(201, "", headers: ["Server-Timing": "app;dur=3, hold;dur=187.5"])
            case "load-4": .none
            case "load-5": .init(500)
            default: .init(201)
            }
        }
        defer { server.stop() }
        var plan = LoadPlan(url: server.url + "/events", host: "ledger.localhost")
        plan.count = 20
        plan.connections = 3
        plan.requestsPerSecond = 500
        let summary = try await LoadGenerator(plan, time: SystemTime()).run()
        #expect(Set(summary.outcomes.map(\.id)) == Set((1...20).map { "load-\($0)" }))
        #expect(summary.outcomes.count == 20)
        #expect(summary.refused == ["load-2"])
        #expect(Set(summary.dropped.map(\.id)) == ["load-4", "load-5"])
        #expect(summary.accepted == Set((1...20).map { "load-\($0)" }).subtracting(["load-2", "load-4", "load-5"]))
        #expect(summary.held.map(\.id) == ["load-3"])
        #expect(summary.held.first?.heldMilliseconds == 187.5)
        #expect(server.requests.allSatisfy { $0.method == "POST" && $0.headers["host"] == "ledger.localhost" })
        #expect(server.requests.count == 20, "nothing is sent twice")
        #expect(server.connectionCount <= 4, "connections are kept")
    }

    @Test func `what was accepted before a moment was answered before it`() {
        func outcome(_ id: String, sent: Double, ended: Double, status: Int?) -> LoadOutcome {
            var outcome = LoadOutcome(
                id: id, sentAt: Date(timeIntervalSince1970: sent), endedAt: Date(timeIntervalSince1970: ended),
                latencyMilliseconds: (ended - sent) * 1000)
            outcome.status = status
            return outcome
        }
        let summary = LoadSummary(outcomes: [
            outcome("c", sent: 3, ended: 4, status: 201), outcome("a", sent: 1, ended: 2, status: 201),
            outcome("b", sent: 2, ended: 6, status: 201), outcome("d", sent: 1.5, ended: 1.6, status: nil),
        ])
        #expect(summary.accepted(before: Date(timeIntervalSince1970: 5)) == ["a", "c"])
        #expect(summary.sent(after: Date(timeIntervalSince1970: 1.8)) == ["b", "c"])
        #expect(summary.outcomes.map(\.id) == ["a", "d", "b", "c"])
        #expect(summary.latencyMilliseconds(share: 1) == 4000)
        #expect(summary.latencyMilliseconds(share: 0.5) == 1000)
    }

    @Test func `a load that is stopped sends nothing more and knows what it sent`() async throws {
        let server = try StubServer { _ in .init(201) }
        defer { server.stop() }
        var plan = LoadPlan(url: server.url)
        plan.requestsPerSecond = 200
        let generator = try LoadGenerator(plan, time: SystemTime())
        async let running = generator.run()
        while generator.finishedCount < 5 { try await Task.sleep(for: .milliseconds(5)) }
        generator.stop()
        let summary = try await running
        #expect(summary.outcomes.count == server.requests.count)
        #expect(summary.dropped.isEmpty)
    }

    @Test func `a plan without an end or with no sense is refused`() {
        var plan = LoadPlan(url: "http://127.0.0.1:1")
        plan.connections = 0
        #expect(throws: HoldfastError.self) { try LoadGenerator(plan, time: SystemTime()) }
        plan.connections = 1
        plan.requestsPerSecond = 0
        #expect(throws: HoldfastError.self) { try LoadGenerator(plan, time: SystemTime()) }
        plan.requestsPerSecond = 1
        plan.count = 0
        #expect(throws: HoldfastError.self) { try LoadGenerator(plan, time: SystemTime()) }
    }

    @Test func `the header of the gateway is read with and without a duration`() {
        #expect(ServerTiming.hold(in: "hold;dur=12.25") == 12.25)
        #expect(ServerTiming.hold(in: "db;dur=1, hold ; desc=\"x\"; dur=7") == 7)
        #expect(ServerTiming.hold(in: "hold") == nil)
        #expect(ServerTiming.names("hold").contains("hold"))
        #expect(!ServerTiming.names("household;dur=1").contains("hold"))
    }
}
