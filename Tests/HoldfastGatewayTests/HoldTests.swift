import Foundation
import HoldfastControl
import HoldfastGateway
import HoldfastModel
import Synchronization
import Testing

/// Holds of a running gateway, seen by clients, the app and the control plane.
@Suite struct HoldTests {
    @Test func `a held request waits, is carried out once, and says how long it waited`() async throws {
        try await GatewayHarness.with { harness, app in
            let hold = try harness.hold()
            #expect(try hold.drain(timeout: .seconds(1)).drained)
            let socket = try harness.connect()
            try socket.send("GET /one HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try harness.waitUntil("parked") { $0.parked == 1 }
            #expect(!socket.hasInput(within: 100))
            #expect(app.executed.isEmpty)
            let evidence = try hold.release()
            let response = try socket.readResponse()
            #expect(response.status == 200)
            #expect(response.fields["server-timing"]?.hasPrefix("hold;dur=") == true)
            #expect(app.executed == ["/one"])
            #expect(evidence.epoch == hold.epoch)
            #expect(evidence.requestsHeld == 1)
            #expect(evidence.longestRequestMilliseconds >= 100)
            #expect(evidence.heldForMilliseconds >= evidence.longestRequestMilliseconds)
            #expect(evidence.unbroken)
            #expect(try socket.get("/two").fields["server-timing"] == nil)
        }
    }

    @Test func `every request under load is carried out exactly once through several holds`() async throws {
        try await GatewayHarness.with { harness, app in
            let stop = Mutex(false)
            let clients = (0..<24).map { number in
                Background<[String]> {
                    let socket = try harness.connect()
                    var sent: [String] = []
                    while !stop.withLock({ $0 }) {
                        let path = "/c\(number)/\(sent.count)"
                        let body = "b\(sent.count)"
                        let fields = "Host: app.test\r\nContent-Length: \(body.utf8.count)"
                        try socket.send("POST \(path) HTTP/1.1\r\n\(fields)\r\n\r\n\(body)")
                        sent.append(path)
                        let response = try socket.readResponse()
                        guard response.status == 200, response.body == "POST \(path) \(body)" else {
                            throw SocketFailure("\(path) got \(response)")
                        }
                    }
                    return sent
                }
            }
            var held = 0
            for _ in 0..<4 {
                usleep(100_000)
                let hold = try harness.hold()
                #expect(try hold.drain(timeout: .seconds(5)).drained)
                let before = app.executed.count
                usleep(80_000)
                #expect(app.running == 0)
                #expect(app.executed.count == before, "the app was reached through a closed gate")
                let evidence = try hold.release()
                #expect(evidence.unbroken)
                #expect(evidence.requestsHeld == 24)
                held += evidence.requestsHeld
            }
            usleep(50_000)
            stop.withLock { $0 = true }
            let sent = try clients.map { try $0.value() }
            let executed = app.executed
            #expect(executed.count == sent.joined().count)
            #expect(Set(executed).count == executed.count, "carried out twice")
            for (number, paths) in sent.enumerated() {
                #expect(executed.filter { $0.hasPrefix("/c\(number)/") } == paths, "order of a connection")
            }
            let status = try harness.gate()
            #expect(status.counters.refused == 0)
            #expect(status.counters.badGateway == 0)
            // Those that line up behind a release still under way have waited too.
            #expect(status.counters.held >= held)
        }
    }

    @Test func `parked requests of many connections reach the app in order of arrival`() async throws {
        try await GatewayHarness.with { harness, app in
            let hold = try harness.hold()
            let sockets = try (0..<60).map { number in
                let socket = try harness.connect()
                try socket.send("GET /n/\(number) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                try harness.waitUntil("parked") { $0.parked == number + 1 }
                return socket
            }
            #expect(try hold.release().requestsHeld == 60)
            for (number, socket) in sockets.enumerated() {
                #expect(try socket.readResponse().body == "GET /n/\(number) ")
            }
            // The app has a thread for each connection, so neighbours may swap there; batches do not.
            let order = app.executed.compactMap { Int($0.dropFirst(3)) }
            #expect(order.sorted() == Array(0..<60))
            let first: Int = order.prefix(16).reduce(0, +)
            let last: Int = order.suffix(16).reduce(0, +)
            #expect(2 * first < last)
        }
    }

    @Test func `the gate opens at once when the control connection ends`() async throws {
        try await GatewayHarness.with { harness, app in
            let hold = try harness.hold(lease: .seconds(10), cap: .seconds(15))
            let socket = try harness.connect()
            try socket.send("GET /one HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try harness.waitUntil("parked") { $0.parked == 1 }
            hold.abandon()
            #expect(try socket.readResponse().status == 200)
            let last = try #require(try harness.gate().lastHold)
            #expect(last.ending == .connectionLost)
            #expect(!last.unbroken)
            #expect(throws: HoldfastError.self) { try hold.release() }
        }
    }

    @Test func `the gate opens at the end of the lease when its holder hangs`() async throws {
        try await GatewayHarness.with { harness, _ in
            let hold = try harness.hold(lease: .milliseconds(300))
            let socket = try harness.connect()
            try socket.send("GET /one HTTP/1.1\r\nHost: app.test\r\n\r\n")
            #expect(try socket.readResponse().status == 200)
            #expect(throws: HoldfastError.self) { try hold.renew() }
            let evidence = try hold.release()
            #expect(!evidence.unbroken)
            #expect(evidence.ending == .leaseExpired)
            #expect(evidence.requestsHeld == 1)
        }
    }

    @Test func `renewals keep a gate closed beyond its lease, and the cap ends it`() async throws {
        try await GatewayHarness.with { harness, _ in
            let hold = try harness.hold(lease: .milliseconds(400), cap: .milliseconds(1_200))
            for _ in 0..<7 {
                usleep(100_000)
                try hold.renew()
            }
            #expect(try harness.gate().phase == .holding)
            try harness.waitUntil("cap") { status in
                if status.phase != .open { try? hold.renew() }
                return status.phase == .open
            }
            #expect(try hold.release().ending == .capReached)
        }
    }

    @Test func `a renewing thread that is late after the release reports no failure`() async throws {
        try await GatewayHarness.with { harness, _ in
            let hold = try harness.hold()
            #expect(try hold.release().unbroken)
            try hold.renew()
            hold.abandon()
            #expect(throws: HoldfastError.self) { try hold.release() }
        }
    }

    @Test func `requests over the bound are answered 503 and never carried out`() async throws {
        var limits = GatewayLimits()
        limits.parkedRequests = 3
        try await GatewayHarness.with(limits: limits) { harness, app in
            let hold = try harness.hold()
            let parked = try (0..<3).map { number in
                let socket = try harness.connect()
                try socket.send("GET /in/\(number) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                return socket
            }
            try harness.waitUntil("parked") { $0.parked == 3 }
            let over = try harness.connect()
            let refused = try over.get("/over")
            #expect(refused.status == 503)
            #expect(refused.fields["retry-after"] == "2")
            try over.send("POST /over HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\npart")
            #expect(try over.readResponse().status == 503)
            #expect(try over.readToEnd().isEmpty)
            let evidence = try hold.release()
            for socket in parked { #expect(try socket.readResponse().status == 200) }
            #expect(evidence.requestsRefused == 2)
            #expect(app.executed.sorted() == ["/in/0", "/in/1", "/in/2"])
        }
    }

    @Test func `a request parked longer than the bound is answered 503 and never carried out`() async throws {
        var limits = GatewayLimits()
        limits.parkedMilliseconds = 200
        try await GatewayHarness.with(limits: limits) { harness, app in
            let hold = try harness.hold()
            let socket = try harness.connect()
            #expect(try socket.get("/old").status == 503)
            #expect(try hold.release().requestsRefused == 1)
            #expect(try socket.get("/new").status == 200)
            #expect(app.executed == ["/new"])
        }
    }

    @Test func `a client that goes away while it waits is forgotten`() async throws {
        try await GatewayHarness.with { harness, app in
            let hold = try harness.hold()
            // A request of which a part is missing will never be one.
            for (leave, length) in [(TestSocket.reset, 0), (TestSocket.endOutput, 3), (TestSocket.close, 3)] {
                let socket = try harness.connect()
                try socket.send("POST /gone HTTP/1.1\r\nHost: app.test\r\nContent-Length: \(length)\r\n\r\n")
                try harness.waitUntil("parked") { $0.parked == 1 }
                leave(socket)()
                try harness.waitUntil("left") { $0.parked == 0 }
            }
            let evidence = try hold.release()
            #expect(evidence.requestsHeld == 3)
            #expect(evidence.requestsLeft == 3)
            #expect(app.executed.isEmpty)
        }
    }

    @Test func `a client that only stops sending while it waits gets its answer, or a 503`() async throws {
        var limits = GatewayLimits()
        limits.parkedBytes = 10_000
        try await GatewayHarness.with(limits: limits) { harness, app in
            let hold = try harness.hold(lease: .seconds(15))
            let request = "POST /whole HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\n"
            let small = try harness.connect()
            try small.send(request)
            try harness.waitUntil("parked") { $0.parked == 1 }
            try small.send("abc")
            small.endOutput()
            let reset = try harness.connect()
            try reset.send(request + "abc")
            reset.endOutput()
            try harness.waitUntil("parked") { $0.parked == 2 }
            // Gone after all.
            reset.reset()
            try harness.waitUntil("left") { $0.parked == 1 }
            let large = try harness.connect()
            try large.send("POST /large HTTP/1.1\r\nHost: app.test\r\nContent-Length: 20000\r\n\r\n")
            try harness.waitUntil("parked") { $0.parked == 2 }
            try large.send(String(repeating: "x", count: 20_000))
            large.endOutput()
            let refused = try large.readResponse()
            #expect(refused.status == 503)
            #expect(refused.fields["retry-after"] == "2")
            let evidence = try hold.release()
            #expect(try small.readResponse().body == "POST /whole abc")
            #expect(try small.readToEnd().isEmpty)
            #expect(evidence.requestsLeft == 1)
            #expect(evidence.requestsRefused == 1)
            #expect(app.executed == ["/whole"])
        }
    }

    @Test func `a drain waits for a slow request`() async throws {
        try await GatewayHarness.with { harness, _ in
            let slow = Background { try harness.connect().get("/slow?ms=500").status }
            try harness.waitUntil("running") { $0.running == 1 }
            let hold = try harness.hold()
            let result = try hold.drain(timeout: .seconds(5))
            #expect(result.drained)
            #expect(result.drainedAtMilliseconds ?? 0 > 100)
            #expect(try slow.value() == 200)
            #expect(try hold.release().unbroken)
        }
    }

    @Test func `a drain names what blocks it when the time is over, and renewals go on meanwhile`() async throws {
        try await GatewayHarness.with { harness, _ in
            let slow = Background { try harness.connect().get("/slow?ms=1500").status }
            try harness.waitUntil("running") { $0.running == 1 }
            let hold = try harness.hold(lease: .milliseconds(400))
            let drain = Background { try hold.drain(timeout: .milliseconds(900)) }
            while !drain.isDone {
                try hold.renew()
                usleep(50_000)
            }
            let result = try drain.value()
            #expect(!result.drained)
            #expect(result.blockers.map(\.method) == ["GET"])
            #expect(result.blockers.map(\.path) == ["/slow"])
            #expect(result.blockers.first?.milliseconds ?? 0 >= 850)
            #expect(try hold.release().unbroken)
            #expect(try slow.value() == 200)
        }
    }

    @Test func `an upload in flight blocks the drain and is not cut`() async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            try socket.send("PUT /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 8\r\n\r\nabcd")
            try harness.waitUntil("running") { $0.running == 1 }
            let hold = try harness.hold()
            #expect(try hold.drain(timeout: .milliseconds(200)).blockers.map(\.path) == ["/up"])
            try socket.send("efgh")
            #expect(try socket.readResponse().body == "PUT /up abcdefgh")
            #expect(try hold.drain(timeout: .seconds(2)).drained)
            #expect(try hold.release().unbroken)
            #expect(app.executed == ["/up"])
        }
    }

    @Test func `what runs can be looked at before the gate is closed, and says whether its client is done`()
        async throws
    {
        try await GatewayHarness.with { harness, _ in
            #expect(try harness.client.running(harness.environment).isEmpty)
            let upload = try harness.connect()
            try upload.send("PUT /up?key=secret HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n12345")
            try harness.waitUntil("running") { $0.running == 1 }
            usleep(300_000)
            let running = try harness.client.running(harness.environment)
            #expect(running.map(\.path) == ["/up"])
            #expect(running.map(\.isReceived) == [false])
            #expect(running.allSatisfy { $0.silentMilliseconds >= 200 && $0.milliseconds >= $0.silentMilliseconds })
            #expect(try harness.gate().phase == .open)
            try upload.send("67890")
            #expect(try upload.readResponse().status == 200)
            let slow = try harness.connect()
            try slow.send("GET /slow?ms=700 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try harness.waitUntil("running") { $0.running == 1 }
            // It is running from the moment that it may be sent.
            usleep(200_000)
            #expect(try harness.client.running(harness.environment).map(\.isReceived) == [true])
            #expect(try slow.readResponse().status == 200)
            #expect(try harness.client.running(harness.environment).isEmpty)
        }
    }

    @Test func `a request whose client left still counts as running until the app is done`() async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            try socket.send("GET /slow?ms=600 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try harness.waitUntil("running") { $0.running == 1 }
            socket.reset()
            let hold = try harness.hold()
            #expect(try hold.drain(timeout: .milliseconds(100)).blockers.map(\.path) == ["/slow"])
            #expect(try hold.drain(timeout: .seconds(5)).drained)
            // Its thread has to get from the last byte to its book.
            usleep(100_000)
            #expect(app.running == 0)
            #expect(try hold.release().unbroken)
        }
    }

    /// An app that works on every request until it is told to answer.
    private static func busyApp(_ goOn: DispatchSemaphore, first: String = "") throws -> TestApp {
        try TestApp { _, socket in
            if !first.isEmpty { try socket.send(first) }
            _ = goOn.wait(timeout: .now() + 60)
            if first.isEmpty { try TestApp.reply("late", socket) }
            return false
        }
    }

    @Test func `a request answered 504 counts as running until the app is done`() async throws {
        let goOn = DispatchSemaphore(value: 0)
        var limits = GatewayLimits()
        limits.responseMilliseconds = 200
        try await GatewayHarness.with(app: Self.busyApp(goOn), limits: limits) { harness, _ in
            let socket = try harness.connect()
            #expect(try socket.get("/report?key=secret").status == 504)
            let hold = try harness.hold(lease: .seconds(15))
            let blockers = try hold.drain(timeout: .milliseconds(600)).blockers
            #expect(blockers.map(\.path) == ["/report"])
            #expect(blockers.map(\.isGivenUp) == [true])
            goOn.signal()
            #expect(try hold.drain(timeout: .seconds(5)).drained)
            #expect(try hold.release().unbroken)
            #expect(try harness.gate().counters.timedOut == 1)
        }
    }

    @Test func `a request whose client left in the middle of the answer counts until the app is done`() async throws {
        let goOn = DispatchSemaphore(value: 0)
        let app = try Self.busyApp(goOn, first: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        try await GatewayHarness.with(app: app) { harness, _ in
            let socket = try harness.connect()
            try socket.send("GET /export HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try socket.readExactly(3)
            socket.reset()
            try harness.waitUntil("left") { $0.counters.clientsLeft == 1 }
            // The gateway gives up awaiting the rest after five seconds; that is no end.
            var looks = 0
            while looks < 1_000, try harness.client.running(harness.environment).first?.isGivenUp != true {
                looks += 1
                usleep(10_000)
            }
            usleep(500_000)
            #expect(try harness.client.running(harness.environment).map(\.isGivenUp) == [true])
            goOn.signal()
            try harness.waitUntil("ended") { $0.running == 0 }
        }
    }

    @Test func `an app that hangs keeps no more connections than the bound`() async throws {
        let goOn = DispatchSemaphore(value: 0)
        var limits = GatewayLimits()
        limits.responseMilliseconds = 200
        limits.givenUpRequests = 2
        try await GatewayHarness.with(app: Self.busyApp(goOn), limits: limits) { harness, _ in
            for number in 0..<4 { #expect(try harness.connect().get("/n/\(number)").status == 504) }
            usleep(3_000_000)
            try harness.waitUntil("cut") { $0.running == 2 }
            #expect(try harness.client.running(harness.environment).map(\.path) == ["/n/2", "/n/3"])
            for _ in 0..<4 { goOn.signal() }
            try harness.waitUntil("ended") { $0.running == 0 }
        }
    }

    @Test func `the app gets new connections after a hold`() async throws {
        let connections = Mutex<[Int]>([])
        let app = try TestApp { request, socket in
            connections.withLock { $0.append(request.connection) }
            return try TestApp.standard(request, socket)
        }
        try await GatewayHarness.with(app: app) { harness, _ in
            let socket = try harness.connect()
            for _ in 0..<3 { #expect(try socket.get("/before").status == 200) }
            try harness.hold().abandon()
            try harness.waitUntil("open") { $0.phase == .open }
            #expect(try socket.get("/after").status == 200)
            #expect(connections.withLock { $0 } == [1, 1, 1, 2])
        }
    }

    @Test func `a held environment does not hold another one`() async throws {
        try await GatewayHarness.with { harness, app in
            let other = try #require(EnvironmentID("other"))
            let routes = [("app.test", harness.environment), ("other.test", other)].map { host, environment in
                GatewayRoute(
                    host: host, environment: environment, kind: .upstream(.tcp(host: "127.0.0.1", port: app.port)))
            }
            try harness.client.configure(GatewayConfiguration(routes: routes))
            let hold = try harness.hold()
            #expect(try harness.connect().get("/", host: "other.test").status == 200)
            let second = try harness.client.hold(other, lease: .seconds(5), cap: .seconds(5))
            #expect(second.epoch != hold.epoch)
            #expect(try second.release().unbroken)
            #expect(throws: HoldfastError.self) { try harness.hold() }
            #expect(try hold.release().unbroken)
        }
    }

    @Test func `after a restart routes come back, holds do not, and their numbers go on`() async throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let app = try TestApp()
        defer { app.stop() }
        let epochs = Mutex<[UInt64]>([])
        try await GatewayHarness.serving(in: directory) { harness in
            try harness.route(to: app.port)
            let hold = try harness.hold()
            epochs.withLock { $0.append(hold.epoch) }
            harness.gateway.stop()
            #expect(throws: HoldfastError.self) {
                while true {
                    try hold.renew()
                    usleep(5_000)
                }
            }
        }
        try await GatewayHarness.serving(in: directory) { harness in
            #expect(try harness.connect().get("/again").status == 200)
            #expect(try harness.gate().phase == .open)
            let hold = try harness.hold()
            epochs.withLock { $0.append(hold.epoch) }
            #expect(try hold.release().unbroken)
        }
        let used = epochs.withLock { $0 }
        #expect(used.count == 2 && used[0] < used[1])
    }

    @Test func `a gateway says which messages it knows, and one from before that is still understood`() async throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await GatewayHarness.serving(in: directory) { harness in
            let status = try harness.client.status()
            #expect(status.version == Control.version)
            #expect(status.pid == getpid())
            var object = try #require(
                try JSONSerialization.jsonObject(with: JSONEncoder().encode(status)) as? [String: Any])
            object["version"] = nil
            object["pid"] = nil
            let old = try JSONDecoder().decode(
                GatewayStatus.self, from: JSONSerialization.data(withJSONObject: object))
            #expect(old.version == nil)
            #expect(old.port == status.port)
        }
    }

    @Test func `a stored configuration that is damaged does not keep the gateway from starting`() async throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory + "/gateway", withIntermediateDirectories: true)
        try Data("{\"routes\": [".utf8).write(to: URL(fileURLWithPath: directory + "/gateway/routes.json"))
        try await GatewayHarness.serving(in: directory) { harness in
            let status = try harness.client.status()
            #expect(status.problem?.contains("routes.json") == true)
            #expect(status.routes == 0)
        }
    }
}
