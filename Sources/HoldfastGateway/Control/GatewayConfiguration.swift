import HoldfastModel

/// What the gateway serves. The control plane sends it as a whole; the last one is kept in `gateway/routes.json`.
///
/// Holds are never part of it: a gateway that starts is open.
package struct GatewayConfiguration: Codable, Sendable, Hashable {
    package var routes: [GatewayRoute]
    package var limits: GatewayLimits
    /// Addresses of proxies in front of this one whose `X-Forwarded-*` fields are believed.
    package var trustedProxies: Set<String>

    package init(
        routes: [GatewayRoute] = [], limits: GatewayLimits = GatewayLimits(), trustedProxies: Set<String> = []
    ) {
        self.routes = routes
        self.limits = limits
        self.trustedProxies = trustedProxies
    }
}

/// One way in: requests for a host below a path belong to an environment.
package struct GatewayRoute: Codable, Sendable, Hashable {
    /// A host name for every port (`app.example.com`), for one port (`app.example.com:8080`), or for every name
    /// below another (`*.example.com`); `*` alone takes every host that no other route names.
    package var host: String
    /// Begins with `/`; the longest one that matches whole path segments wins.
    package var pathPrefix: String
    package var environment: EnvironmentID
    package var kind: GatewayRouteKind
    /// What a hold does with WebSockets and event streams of this route.
    package var streams: StreamPolicy

    package init(
        host: String, pathPrefix: String = "/", environment: EnvironmentID, kind: GatewayRouteKind,
        streams: StreamPolicy = .freeze
    ) {
        self.host = host
        self.pathPrefix = pathPrefix
        self.environment = environment
        self.kind = kind
        self.streams = streams
    }
}

package enum GatewayRouteKind: Codable, Sendable, Hashable {
    case upstream(GatewayUpstream)
    /// An absolute `http` or `https` URL; the request's path and query are appended to it. Never touches the app.
    case redirect(to: String)
}

/// Where an app listens.
package enum GatewayUpstream: Codable, Sendable, Hashable {
    case tcp(host: String, port: Int)
    /// Path of a Unix stream socket.
    case unix(path: String)
}

package enum StreamPolicy: String, Codable, Sendable, CaseIterable {
    /// Bytes stand still in both directions while the gate is closed; nothing is cut.
    case freeze
    /// Closed when the gate closes, so that the client connects again after it.
    case close
    /// Goes on during a hold; counted in the evidence, because the app may write.
    case ignore
}

/// The bounds that keep a hold, a slow client or a broken app from taking the gateway down.
package struct GatewayLimits: Codable, Sendable, Hashable {
    /// Requests parked per environment; one more is refused with 503 and never reaches the app.
    package var parkedRequests: Int
    /// Bytes read from clients of parked requests per environment; beyond it requests are refused with 503.
    package var parkedBytes: Int
    /// A request parked for longer is refused with 503.
    package var parkedMilliseconds: Int
    /// Client connections in all.
    package var connections: Int
    /// Request line and header fields together.
    package var headBytes: Int
    /// The request line's target.
    package var targetBytes: Int
    package var headerFields: Int
    /// From the first byte of a request's head to its last.
    package var headMilliseconds: Int
    /// Between two requests of a connection.
    package var idleMilliseconds: Int
    /// Without progress: a body that does not come, a response that is not taken.
    package var stallMilliseconds: Int
    /// From the request's last byte to the response's first, and between two parts of a response.
    package var responseMilliseconds: Int
    /// How long a connection to an app is tried again while nothing was sent.
    package var connectMilliseconds: Int
    /// How long an unused connection to an app is kept. App servers close theirs after two to five seconds.
    package var upstreamIdleMilliseconds: Int
    /// Unused connections kept for each app.
    package var upstreamIdleConnections: Int
    /// Requests per environment that nobody waits for any more and that their app has not ended; of more than that the
    /// oldest are cut. Nil, as in configurations from before it, for 1024.
    package var givenUpRequests: Int?

    package init() {
        parkedRequests = 4096
        parkedBytes = 64 << 20
        parkedMilliseconds = 25_000
        connections = 16_384
        headBytes = 32 << 10
        targetBytes = 8 << 10
        headerFields = 128
        headMilliseconds = 15_000
        idleMilliseconds = 75_000
        stallMilliseconds = 60_000
        responseMilliseconds = 300_000
        connectMilliseconds = 5_000
        upstreamIdleMilliseconds = 1_000
        upstreamIdleConnections = 64
    }
}

extension GatewayConfiguration {
    /// Refuses what could not be served, or would let bytes of a configuration become bytes of a response's head.
    ///
    /// - Throws: `invalidInput` naming the route.
    func validate() throws {
        var seen: Set<String> = []
        for route in routes {
            guard HostName(pattern: route.host) != nil else {
                throw HoldfastError(
                    .invalidInput, "'\(route.host)' is not a host to route",
                    hint: "Use a name, NAME:PORT, *.NAME or * in lower case")
            }
            guard route.pathPrefix.hasPrefix("/"), route.pathPrefix.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw HoldfastError(
                    .invalidInput, "path '\(route.pathPrefix)' of route '\(route.host)' is not one",
                    hint: "Begin it with / and percent-encode what is not ASCII")
            }
            guard seen.insert(route.host + route.pathPrefix).inserted else {
                throw HoldfastError(.invalidInput, "route '\(route.host)\(route.pathPrefix)' is given twice")
            }
            try route.validateKind()
        }
        try limits.validate()
    }
}

extension GatewayRoute {
    fileprivate func validateKind() throws {
        switch kind {
        case .upstream(.tcp(let host, let port)):
            guard (1...65535).contains(port), !host.isEmpty else {
                throw HoldfastError(.invalidInput, "'\(host):\(port)' is not an address of an app of '\(self.host)'")
            }
        case .upstream(.unix(let path)):
            guard path.hasPrefix("/"), path.utf8.count <= 107 else {
                throw HoldfastError(
                    .invalidInput, "'\(path)' is not a socket path of an app of '\(host)'",
                    hint: "Use an absolute path of at most 107 bytes")
            }
        case .redirect(let target):
            guard target.hasPrefix("http://") || target.hasPrefix("https://"),
                target.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw HoldfastError(
                    .invalidInput, "'\(target)' is not a URL to redirect '\(host)' to",
                    hint: "Use an absolute http or https URL")
            }
        }
    }
}

extension GatewayLimits {
    fileprivate func validate() throws {
        let positive: [(String, Int)] = [
            ("parkedMilliseconds", parkedMilliseconds), ("connections", connections), ("headBytes", headBytes),
            ("targetBytes", targetBytes), ("headerFields", headerFields), ("headMilliseconds", headMilliseconds),
            ("idleMilliseconds", idleMilliseconds), ("stallMilliseconds", stallMilliseconds),
            ("responseMilliseconds", responseMilliseconds), ("connectMilliseconds", connectMilliseconds),
        ]
        for (name, value) in positive where value <= 0 || value > 1 << 31 {
            throw HoldfastError(.invalidInput, "limit \(name) is \(value)", hint: "Use a number from 1 to 2^31")
        }
        let natural: [(String, Int)] = [
            ("parkedRequests", parkedRequests), ("parkedBytes", parkedBytes),
            ("upstreamIdleMilliseconds", upstreamIdleMilliseconds),
            ("upstreamIdleConnections", upstreamIdleConnections),
        ]
        for (name, value) in natural where value < 0 {
            throw HoldfastError(.invalidInput, "limit \(name) is \(value)", hint: "Use zero or more")
        }
    }
}
