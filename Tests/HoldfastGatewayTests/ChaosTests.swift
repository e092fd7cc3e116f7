import Foundation
import HoldfastGateway
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

/// Clients that behave badly while holds come and go in every way. What must be true afterwards is the same as always.
@Suite struct ChaosTests {
    @Test(arguments: UInt64(1)...3)
    func `nothing is carried out twice, nothing is left behind, and every 200 was carried out`(seed: UInt64)
        async throws
    {
        var limits = GatewayLimits()
        limits.parkedRequests = 10
        try await GatewayHarness.with(limits: limits) { harness, app in
            let stop = Mutex(false)
            let clients = (UInt64(0)..<16).map { number in
                Background<Outcome> {
                    var client = Client(harness: harness, number: number, seed: seed &* 1000 &+ number)
                    while !stop.withLock({ $0 }) { client.step() }
                    return client.outcome
                }
            }
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<6 {
                usleep(60_000)
                try Self.holdSomehow(harness, app, &generator)
            }
            stop.withLock { $0 = true }
            let outcomes = try clients.map { try $0.value() }
            try harness.waitUntil("all quiet") { $0.running == 0 && $0.parked == 0 && $0.phase == .open }
            let executed = Set(app.executed)
            #expect(executed.count == app.executed.count, "carried out twice")
            let good = outcomes.flatMap(\.good)
            #expect(!good.isEmpty)
            #expect(executed.isSuperset(of: good), "a 200 for what was never carried out")
            #expect(executed.isDisjoint(with: outcomes.flatMap(\.refused)), "503, and carried out all the same")
            #expect(try harness.connect().get("/end").status == 200)
        }
    }

    private static func holdSomehow(
        _ harness: GatewayHarness, _ app: TestApp, _ generator: inout SeededGenerator
    ) throws {
        let choice = Int.random(in: 0..<4, using: &generator)
        let hold = try harness.hold(lease: .milliseconds(choice == 1 ? 200 : 5_000))
        switch choice {
        case 0: hold.abandon()
        case 1: try harness.waitUntil("lease") { $0.epoch != hold.epoch }
        default:
            if try hold.drain(timeout: .milliseconds(200)).drained {
                usleep(100_000)
                #expect(app.running == 0)
            }
            _ = try hold.release()
        }
        try harness.waitUntil("open") { $0.phase == .open }
    }

    private struct Outcome: Sendable {
        var good: [String] = []
        var refused: [String] = []
    }

    private struct Client {
        let harness: GatewayHarness
        let number: UInt64
        var generator: SeededGenerator
        var outcome = Outcome()
        private var count = 0
        private var socket: TestSocket?

        init(harness: GatewayHarness, number: UInt64, seed: UInt64) {
            self.harness = harness
            self.number = number
            generator = SeededGenerator(seed: seed)
        }

        mutating func step() {
            count += 1
            let path = "/q\(number)/\(count)"
            do {
                let socket = try socket ?? harness.connect()
                self.socket = socket
                switch Int.random(in: 0..<12, using: &generator) {
                case 0: try leave(socket, after: "GET \(path) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                case 1:
                    try leave(socket, after: "POST \(path) HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nab")
                case 2: try leave(socket, after: "GET \(path) HT")
                case 3:
                    try socket.send("POST \(path) HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nab")
                    usleep(2_000)
                    try socket.send("cd")
                    try note(path, socket.readResponse())
                default: try note(path, socket.get(path))
                }
            } catch {
                socket = nil
            }
        }

        private mutating func leave(_ socket: TestSocket, after text: String) throws {
            try socket.send(text)
            usleep(UInt32.random(in: 0...3_000, using: &generator))
            if Bool.random(using: &generator) { socket.reset() } else { socket.close() }
            self.socket = nil
        }

        private mutating func note(_ path: String, _ response: TestSocket.Response) {
            if response.status == 200 { outcome.good.append(path) }
            if response.status == 503 { outcome.refused.append(path) }
            if response.fields["connection"] == "close" { socket = nil }
        }
    }
}
