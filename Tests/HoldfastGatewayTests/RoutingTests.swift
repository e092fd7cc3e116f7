import Foundation
import HoldfastGateway
import HoldfastModel
import NIOCore
import Testing

private func request(_ text: String) throws -> ForwardedRequest {
    var parser = HTTPHeadParser(limits: .init(headBytes: 8192, targetBytes: 2048, fields: 64))
    var buffer = ByteBuffer(string: text)
    return try ForwardedRequest(try #require(try parser.request(from: &buffer)))
}

@Suite struct RoutingTests {
    private func table(_ hosts: [(String, String)]) throws -> RouteTable {
        RouteTable(
            try hosts.enumerated().map { index, host in
                GatewayRoute(
                    host: host.0, pathPrefix: host.1, environment: try #require(EnvironmentID("e\(index)")),
                    kind: .redirect(to: "http://x"))
            })
    }

    @Test func `the most specific host wins, then the longest path`() throws {
        let table = try table([
            ("a.test", "/"), ("a.test:81", "/"), ("*.a.test", "/"), ("*.test", "/"), ("*", "/"), ("a.test", "/api"),
            ("a.test", "/api/v2/"),
        ])
        let cases = [
            ("a.test", "/", "e0"), ("A.Test.", "/x", "e0"), ("a.test:80", "/", "e0"), ("a.test:81", "/api", "e1"),
            ("b.a.test", "/", "e2"), ("c.b.a.test:9", "/", "e2"), ("z.test", "/", "e3"), ("other", "/", "e4"),
            ("a.test", "/api", "e5"), ("a.test", "/apix", "e0"), ("a.test", "/api/v2", "e6"),
            ("a.test", "/api/v2/x", "e6"), ("a.test", "/api/v20", "e5"), ("[::1]:80", "/", "e4"),
        ]
        for (host, path, expected) in cases {
            let route = table.route(host: try #require(HostName(host)), path: path)
            #expect(route?.environment.rawValue == expected, "\(host)\(path)")
        }
        let small = try self.table([("a.test", "/api")])
        #expect(small.route(host: try #require(HostName("a.test")), path: "/") == nil)
        #expect(small.route(host: try #require(HostName("b.test")), path: "/api") == nil)
    }

    @Test(arguments: ["", ":80", "a b", "a.test:", "a:0", "a:65536", "a:8x", "a/b", "a@b", "[::1", "ä.test", "a,b"])
    func `what is not a host is refused`(host: String) {
        // A colon without a port is allowed by RFC 3986, 3.2.3.
        #expect((HostName(host) == nil) == (host != "a.test:"))
    }

    @Test func `the host of an absolute address wins over the host field`() throws {
        let absolute = try request("GET http://b.test:8080?q=1 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        #expect(absolute.host == HostName("b.test:8080"))
        #expect(absolute.head.target == "/?q=1")
        let origin = ForwardedRequest.Origin(address: "10.0.0.1", port: 80, isTrusted: false)
        #expect(absolute.upstreamHead(from: origin).head.fields["host"] == ["b.test:8080"])
    }

    @Test func `a client cannot have framing or host removed by naming them in connection`() throws {
        let text =
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n"
            + "Connection: close, content-length, host, x-forwarded-for\r\n\r\nabc"
        let origin = ForwardedRequest.Origin(address: "10.0.0.1", port: 80, isTrusted: false)
        let fields = try request(text).upstreamHead(from: origin).head.fields
        #expect(fields["content-length"] == ["3"])
        #expect(fields["host"] == ["a.test"])
        #expect(fields["x-forwarded-for"] == ["10.0.0.1"])
        #expect(fields["connection"].isEmpty)
    }

    @Test func `a trusted proxy is believed, but not its underscores`() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
            + "X_Forwarded_For: 6.6.6.6\r\nContent_Length: 3\r\n\r\n"
        let trusted = ForwardedRequest.Origin(address: "10.0.0.1", port: 80, isTrusted: true)
        let fields = try request(text).upstreamHead(from: trusted).head.fields
        #expect(fields["x-forwarded-for"] == ["1.2.3.4, 10.0.0.1"])
        #expect(fields["x-forwarded-proto"] == ["https"])
        #expect(fields["x_forwarded_for"].isEmpty)
        #expect(fields["content_length"].isEmpty)
    }

    @Test func `a body for an HTTP 1.0 client that has no length ends with the connection`() {
        let head = HTTPResponseHead(status: 200, reason: "OK", minorVersion: 1, fields: HTTPFields())
        let context = ForwardedResponse.Context(method: "GET", clientMinorVersion: 0, keepsAlive: true, waited: nil)
        let result = ForwardedResponse.head(of: head, framing: .chunked, context)
        #expect(result.body == .plain)
        #expect(!result.keepsAlive)
        #expect(result.head.fields["connection"] == ["close"])
    }

    @Test func `numbers of holds grow whatever happens to counter and clock`() throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let store = GatewayStore(path: directory + "/gateway/routes.json")
        let first = try store.start(at: Date(timeIntervalSince1970: 2_000_000_000)).generation
        let second = try store.start(at: Date(timeIntervalSince1970: 1_000_000_000)).generation
        #expect(first == 2_000_000_000)
        #expect(second == first + 1)
        try FileManager.default.removeItem(atPath: directory + "/gateway/generation")
        #expect(try store.start(at: Date(timeIntervalSince1970: 2_000_000_100)).generation > second)
    }

    @Test func `a configuration comes back as it was stored`() throws {
        let directory = GatewayHarness.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let store = GatewayStore(path: directory + "/gateway/routes.json")
        _ = try store.start(at: Date(timeIntervalSince1970: 0))
        let environment = try #require(EnvironmentID("e"))
        let configuration = GatewayConfiguration(
            routes: [
                GatewayRoute(host: "*", environment: environment, kind: .upstream(.unix(path: "/run/a.sock"))),
                GatewayRoute(
                    host: "b:1", pathPrefix: "/p", environment: environment, kind: .redirect(to: "https://c"),
                    streams: .close),
            ], trustedProxies: ["10.0.0.1"])
        try store.save(configuration)
        #expect(try store.start(at: Date(timeIntervalSince1970: 0)).configuration == configuration)
    }
}
