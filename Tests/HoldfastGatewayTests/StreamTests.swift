import Foundation
import HoldfastGateway
import Synchronization
import Testing

/// WebSockets and event streams, which have no end that a drain could wait for.
@Suite struct StreamTests {
    /// Agrees to `Upgrade: echo` and sends back what comes; `/events` sends a line every 20 ms.
    private static func makeApp() throws -> TestApp {
        try TestApp { request, socket in
            switch request.path {
            case "/socket":
                guard request.fields["upgrade"] == "echo", request.fields["connection"] == "Upgrade" else {
                    try TestApp.reply("no", socket)
                    return true
                }
                try socket.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                try socket.send("hello\n")
                while let bytes = try socket.readSome() { try socket.send(bytes) }
                return false
            case "/events":
                try socket.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                for number in 0..<500 {
                    try socket.send("data: \(number)\n\n")
                    usleep(20_000)
                }
                return false
            default: return try TestApp.standard(request, socket)
            }
        }
    }

    private static let upgrade =
        "GET /socket HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

    @Test func `a WebSocket stands still during a hold and loses nothing`() async throws {
        try await GatewayHarness.with(app: Self.makeApp()) { harness, _ in
            let socket = try harness.connect()
            // The first bytes of the other protocol come before the app has agreed.
            try socket.send(Self.upgrade + "early\n")
            let head = try #require(try socket.readHead())
            #expect(head.first.contains("101"))
            #expect(head.fields["upgrade"] == "echo")
            #expect(try socket.readLine() == "hello")
            #expect(try socket.readLine() == "early")
            let hold = try harness.hold()
            #expect(try hold.drain(timeout: .seconds(1)).drained)
            try socket.send("held\n")
            #expect(!socket.hasInput(within: 200))
            let evidence = try hold.release()
            #expect(try socket.readLine() == "held")
            #expect(evidence.streamsFrozen == 1)
            #expect(evidence.unbroken)
            try socket.send("after\n")
            #expect(try socket.readLine() == "after")
            socket.endOutput()
            #expect(try socket.readToEnd().isEmpty)
            try harness.waitUntil("ended") { $0.streams == 0 && $0.running == 0 }
        }
    }

    @Test func `an event stream stands still during a hold and does not block the drain`() async throws {
        try await GatewayHarness.with(app: Self.makeApp()) { harness, _ in
            let socket = try harness.connect()
            try socket.send("GET /events HTTP/1.1\r\nHost: app.test\r\n\r\n")
            #expect(try socket.readHead()?.fields["content-type"] == "text/event-stream")
            for _ in 0..<6 { _ = try socket.readLine() }
            let hold = try harness.hold()
            #expect(try hold.drain(timeout: .seconds(1)).drained)
            usleep(50_000)
            while socket.hasInput(within: 0) { _ = try socket.readSome() }
            #expect(!socket.hasInput(within: 200))
            #expect(try hold.release().streamsFrozen == 1)
            #expect(socket.hasInput(within: 2_000))
        }
    }

    @Test func `a route may let its streams be closed or go on`() async throws {
        for policy in [StreamPolicy.close, .ignore] {
            try await GatewayHarness.with(app: Self.makeApp(), streams: policy) { harness, _ in
                let socket = try harness.connect()
                try socket.send(Self.upgrade)
                _ = try socket.readHead()
                #expect(try socket.readLine() == "hello")
                let hold = try harness.hold()
                if policy == .close {
                    #expect(try socket.readToEnd().isEmpty)
                } else {
                    try socket.send("on\n")
                    #expect(try socket.readLine() == "on")
                }
                #expect(try hold.release().streamsIgnored == (policy == .ignore ? 1 : 0))
            }
        }
    }

    @Test func `an app that does not switch answers as usual, and HTTP 2 is never switched to`() async throws {
        try await GatewayHarness.with(app: Self.makeApp()) { harness, _ in
            let socket = try harness.connect()
            try socket.send("GET /socket HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
            #expect(try socket.readResponse().body == "no")
            try socket.send(
                "GET /fields HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                    + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
            let fields = try socket.readResponse().body
            #expect(!fields.contains("upgrade"))
            #expect(!fields.contains("http2"))
        }
    }
}
