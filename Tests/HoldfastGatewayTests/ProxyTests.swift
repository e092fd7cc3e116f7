import Foundation
import HoldfastGateway
import HoldfastModel
import Synchronization
import Testing

/// The proxy as clients and apps see it, without a hold.
@Suite struct ProxyTests {
    @Test func `pipelined requests are answered in order`() async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            let all = (0..<50).map { "GET /p/\($0) HTTP/1.1\r\nHost: app.test\r\n\r\n" }.joined()
            try socket.send(all)
            for number in 0..<50 { #expect(try socket.readResponse().body == "GET /p/\(number) ") }
            #expect(app.executed == (0..<50).map { "/p/\($0)" })
        }
    }

    @Test func `bodies pass in both directions, with a length and in chunks`() async throws {
        try await GatewayHarness.with { harness, _ in
            let socket = try harness.connect()
            let text = String(repeating: "0123456789", count: 100_000)
            try socket.send("POST /len HTTP/1.1\r\nHost: app.test\r\nContent-Length: \(text.utf8.count)\r\n\r\n")
            try socket.send(text)
            #expect(try socket.readResponse().body == "POST /len " + text)
            try socket.send("POST /chunks HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in ["ab", "cde", "f"] { try socket.send("\(part.utf8.count)\r\n\(part)\r\n") }
            try socket.send("0\r\nX-Trailer: t\r\n\r\n")
            #expect(try socket.readResponse().body == "POST /chunks abcdef")
        }
    }

    @Test func `answers without a body and answers in chunks keep the connection`() async throws {
        let app = try TestApp { request, socket in
            switch request.path {
            case "/204": try socket.send("HTTP/1.1 204 No Content\r\n\r\n")
            case "/304": try socket.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")
            case "/early":
                try socket.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                try TestApp.reply("late", socket)
            case "/chunked":
                try socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            case "/close":
                try socket.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
                return false
            default: return try TestApp.standard(request, socket)
            }
            return true
        }
        try await GatewayHarness.with(app: app) { harness, _ in
            let socket = try harness.connect()
            #expect(try socket.get("/204").status == 204)
            #expect(try socket.get("/304").fields["etag"] == "\"x\"")
            try socket.send("HEAD /head HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try socket.readResponse(toHead: true)
            #expect(head.fields["content-length"] == "11")
            #expect(try socket.get("/early").status == 103)
            #expect(try socket.readResponse().body == "late")
            #expect(try socket.get("/chunked").body == "abcde")
            let close = try socket.get("/close")
            #expect(close.body == "until the end")
            #expect(close.fields["transfer-encoding"] == "chunked")
            #expect(try socket.get("/still").status == 200)
        }
    }

    @Test func `a client that expects 100-continue gets it from the app`() async throws {
        try await GatewayHarness.with { harness, _ in
            let socket = try harness.connect()
            try socket.send(
                "POST /e HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            #expect(try socket.readResponse().status == 100)
            try socket.send("abc")
            #expect(try socket.readResponse().body == "POST /e abc")
        }
    }

    @Test func `an app may listen on a Unix socket, and its connections are used again`() async throws {
        try await GatewayHarness.with { harness, _ in
            let path = harness.directory + "/app.sock"
            let app = try TestApp(unix: path)
            defer { app.stop() }
            try harness.client.configure(
                GatewayConfiguration(routes: [
                    GatewayRoute(
                        host: "app.test", environment: harness.environment,
                        kind: .upstream(.unix(path: path)))
                ]))
            let socket = try harness.connect()
            for number in 0..<5 { #expect(try socket.get("/u\(number)").body == "GET /u\(number) ") }
            #expect(app.connections == 1)
        }
    }

    @Test func `a request that comes together with the end of its connection is answered`() async throws {
        try await GatewayHarness.with { harness, app in
            for number in 0..<30 {
                let socket = try harness.connect()
                try socket.send("GET /\(number) HTTP/1.1\r\nHost: app.test\r\n\r\n")
                socket.endOutput()
                #expect(try socket.readResponse().body == "GET /\(number) ")
                #expect(try socket.readToEnd().isEmpty)
            }
            #expect(app.executed.count == 30)
        }
    }

    @Test func `a client that only stops sending still gets its answers`() async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            try socket.send("GET /slow?ms=200 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try socket.send("GET /second HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try harness.waitUntil("running") { $0.running == 1 }
            socket.endOutput()
            #expect(try socket.readResponse().body == "slow")
            #expect(try socket.readResponse().body == "GET /second ")
            #expect(try socket.readToEnd().isEmpty)
            #expect(app.executed.count == 2)
        }
    }

    @Test func `the app sees who asked, and not what the client says about itself`() async throws {
        try await GatewayHarness.with { harness, _ in
            let socket = try harness.connect()
            try socket.send(
                """
                GET /fields HTTP/1.1\r
                Host: app.test:8080\r
                X-Forwarded-For: 1.2.3.4\r
                X_Forwarded_Host: evil\r
                Connection: keep-alive, X-Secret\r
                X-Secret: hop\r
                Keep-Alive: timeout=5\r
                TE: trailers\r
                Accept: text/plain\r
                \r

                """)
            let body = try socket.readResponse().body
            let lines = Set(body.split(separator: "\n").map(String.init))
            #expect(
                lines == [
                    "host: app.test:8080", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: app.test:8080",
                    "x-forwarded-proto: http", "x-forwarded-port: 8080", "x-client-ip: 127.0.0.1",
                    "accept: text/plain",
                ])
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: app.test\r\n folded: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : app.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: app.test\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: app.test\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: app.test\r\n\r\n", 505),
        ("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n", 501),
        ("GET relative HTTP/1.1\r\nHost: app.test\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\n", 417),
        ("GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n", 404),
        ("GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: app.test\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: app.test\r\nX: \(String(repeating: "a", count: 40000))\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: app.test\r\n\(String(repeating: "A: b\r\n", count: 200))\r\n", 431),
    ])
    func `what is not clear is refused and does not reach the app`(request: String, status: Int) async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            try socket.send(request)
            let response = try socket.readResponse()
            #expect(response.status == status)
            #expect(status == 404 || response.fields["connection"] == "close")
            #expect(app.executed.isEmpty)
        }
    }

    @Test func `a chunk that lies about its length ends the exchange`() async throws {
        try await GatewayHarness.with { harness, app in
            let socket = try harness.connect()
            try socket.send("POST /x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            try socket.send("3\r\nabcdef\r\n0\r\n\r\n")
            #expect(try socket.readResponse().status == 400)
            #expect(app.executed.isEmpty)
        }
    }

    @Test func `without an app the answer is 502 after trying, and the request was not carried out`() async throws {
        var limits = GatewayLimits()
        limits.connectMilliseconds = 300
        try await GatewayHarness.with(limits: limits) { harness, app in
            app.stop()
            let response = try harness.connect().get("/")
            #expect(response.status == 502)
            #expect(response.body.contains("not carried out"))
            let counters = try harness.gate().counters
            #expect(counters.badGateway == 1)
            #expect(counters.retried >= 3)
        }
    }

    @Test func `an app that comes up within the time is waited for`() async throws {
        let placeholder = try TestApp()
        let port = placeholder.port
        placeholder.stop()
        try await GatewayHarness.with { harness, _ in
            try harness.route(to: port)
            let asked = Background { try harness.connect().get("/late").status }
            try harness.waitUntil("retried") { $0.counters.retried >= 2 }
            let late = try TestApp(port: port)
            defer { late.stop() }
            #expect(try asked.value() == 200)
            #expect(late.executed == ["/late"])
        }
    }

    @Test func `a connection that ends without an answer is 502, and the request is not sent again`() async throws {
        let app = try TestApp { request, socket in
            if request.path == "/half" { try socket.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") }
            return false
        }
        try await GatewayHarness.with(app: app) { harness, app in
            let socket = try harness.connect()
            #expect(try socket.get("/dies").status == 502)
            // Half an answer is not made to look like a whole one.
            #expect(throws: (any Error).self) { try socket.get("/half") }
            #expect(app.executed == ["/dies", "/half"])
        }
    }

    /// As in life: apps close after two to five seconds, the gateway uses nothing older than one.
    @Test func `an app that closes idle connections loses no request`() async throws {
        var limits = GatewayLimits()
        limits.upstreamIdleMilliseconds = 100
        let app = try TestApp(idleMilliseconds: 250)
        try await GatewayHarness.with(app: app, limits: limits) { harness, app in
            let good = try Self.askWithPauses(harness, clients: 6, requests: 12) { 60_000 + $0 % 12 * 20_000 }
            #expect(good == 72)
            #expect(Set(app.executed).count == 72)
            #expect(app.executed.count == 72)
        }
    }

    /// Here nothing is old enough to be left alone: the app closes in the instant in which requests are on their way.
    @Test func `a request lost to a closing connection is answered 502 and not sent again`() async throws {
        let app = try TestApp(idleMilliseconds: 20)
        try await GatewayHarness.with(app: app) { harness, app in
            let good = try Self.askWithPauses(harness, clients: 6, requests: 60) { 15_000 + $0 % 11 * 1000 }
            #expect(Set(app.executed).count == app.executed.count, "carried out twice")
            #expect(app.executed.count >= good)
            #expect(try harness.gate().counters.badGateway == 360 - good)
            #expect(good > 250)
        }
    }

    /// Asks with pauses in microseconds and counts the answers that are 200.
    private static func askWithPauses(
        _ harness: GatewayHarness, clients: Int, requests: Int, pause: @escaping @Sendable (Int) -> Int
    ) throws -> Int {
        let clients = (0..<clients).map { number in
            Background<Int> {
                let socket = try harness.connect()
                var good = 0
                for index in 0..<requests {
                    usleep(UInt32(pause(index * 7 + number * 3)))
                    if try socket.get("/k\(number)/\(index)").status == 200 { good += 1 }
                }
                return good
            }
        }
        return try clients.map { try $0.value() }.reduce(0, +)
    }

    @Test func `a slow reader slows the app and fills no memory`() async throws {
        let written = Mutex(0)
        let app = try TestApp { _, socket in
            let part = [UInt8](repeating: 65, count: 1 << 20)
            try socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(64 << 20)\r\n\r\n")
            for _ in 0..<64 {
                try socket.send(part)
                written.withLock { $0 += part.count }
            }
            return true
        }
        try await GatewayHarness.with(app: app) { harness, _ in
            let socket = try harness.connect()
            try socket.send("GET /big HTTP/1.1\r\nHost: app.test\r\n\r\n")
            let head = try #require(try socket.readHead())
            usleep(700_000)
            // What the kernel's buffers take may be gone; the rest must wait.
            #expect(written.withLock { $0 } < 40 << 20)
            #expect(head.fields["content-length"] == String(64 << 20))
            var count = 0
            while count < 64 << 20, let bytes = try socket.readSome() { count += bytes.count }
            #expect(count == 64 << 20)
        }
    }

    @Test func `redirects and path prefixes are followed, and old connections see new routes`() async throws {
        try await GatewayHarness.with { harness, app in
            let second = try TestApp { request, socket in
                try TestApp.reply("second \(request.target)", socket)
                return true
            }
            defer { second.stop() }
            let socket = try harness.connect()
            #expect(try socket.get("/api/x").body == "GET /api/x ")
            let upstream = { (port: Int) in GatewayRouteKind.upstream(.tcp(host: "127.0.0.1", port: port)) }
            let environment = harness.environment
            try harness.client.configure(
                GatewayConfiguration(routes: [
                    GatewayRoute(host: "app.test", environment: environment, kind: upstream(app.port)),
                    GatewayRoute(
                        host: "app.test", pathPrefix: "/api", environment: environment, kind: upstream(second.port)),
                    GatewayRoute(
                        host: "*.old.test", environment: environment, kind: .redirect(to: "https://app.test/")),
                ]))
            #expect(try socket.get("/api/x").body == "second /api/x")
            #expect(try socket.get("/apix").body == "GET /apix ")
            let moved = try socket.get("/a?b=c", host: "www.old.test:81")
            #expect(moved.status == 301)
            #expect(moved.fields["location"] == "https://app.test/a?b=c")
            #expect(throws: HoldfastError.self) {
                try harness.client.configure(
                    GatewayConfiguration(routes: [
                        GatewayRoute(host: "UPPER", environment: environment, kind: .redirect(to: "https://x"))
                    ]))
            }
            #expect(try socket.get("/still").status == 200)
        }
    }

    @Test func `a client that does not finish its head is sent away`() async throws {
        var limits = GatewayLimits()
        limits.headMilliseconds = 300
        try await GatewayHarness.with(limits: limits) { harness, _ in
            let socket = try harness.connect()
            try socket.send("GET / HTTP/1.1\r\nHost:")
            #expect(try socket.readResponse().status == 408)
            let silent = try harness.connect()
            #expect(try silent.readToEnd().isEmpty)
        }
    }

    @Test func `a client that stops in its body is sent away, and the app gets no whole request`() async throws {
        var limits = GatewayLimits()
        limits.stallMilliseconds = 300
        try await GatewayHarness.with(limits: limits) { harness, app in
            let socket = try harness.connect()
            try socket.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nabc")
            #expect(try socket.readResponse().status == 408)
            try harness.waitUntil("ended") { $0.running == 0 }
            #expect(app.executed.isEmpty)
        }
    }

    @Test func `an app that does not answer in time is 504`() async throws {
        var limits = GatewayLimits()
        limits.responseMilliseconds = 300
        try await GatewayHarness.with(limits: limits) { harness, app in
            let response = try harness.connect().get("/slow?ms=1500")
            #expect(response.status == 504)
            #expect(app.executed.count == 1)
        }
    }

    @Test func `a stop lets a running request end`() async throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let app = try TestApp()
        defer { app.stop() }
        let status = Mutex(0)
        try await GatewayHarness.serving(in: directory) { harness in
            try harness.route(to: app.port)
            let slow = Background { try harness.connect().get("/slow?ms=3000") }
            try harness.waitUntil("running") { $0.running == 1 }
            harness.gateway.stop()
            let response = try slow.value()
            status.withLock { $0 = response.status }
            #expect(response.fields["connection"] == "close")
        }
        #expect(status.withLock { $0 } == 200)
    }
}
