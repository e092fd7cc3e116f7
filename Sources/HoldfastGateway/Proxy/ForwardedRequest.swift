import HoldfastModel

/// Makes the head that the app gets out of the one that came, and the one that the client gets out of the app's.
///
/// Hop-by-hop fields (RFC 9110, 7.6.1) end here. Framing is written anew from what was understood, never passed on.
/// What the outside says about itself in `X-Forwarded-*` is dropped unless it comes from a proxy that is trusted,
/// also when it is spelt with underscores, which CGI and WSGI cannot tell from hyphens.
package struct ForwardedRequest {
    package var head: HTTPRequestHead
    package var framing: HTTPFraming
    package var host: HostName

    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "http2-settings", "content-length", "host", "expect",
    ]
    private static let identity: Set<String> = [
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "forwarded", "x-client-ip",
        "x-real-ip",
    ]

    /// Who sent it, and where it came in.
    package struct Origin {
        package var address: String
        package var port: Int
        package var isTrusted: Bool

        package init(address: String, port: Int, isTrusted: Bool) {
            self.address = address
            self.port = port
            self.isTrusted = isTrusted
        }
    }

    /// Checks a request and finds out where it wants to go; `head` is still as it came.
    ///
    /// - Throws: `HTTPProblem` with the status to answer.
    package init(_ head: HTTPRequestHead) throws {
        framing = try HTTPFraming.of(head)
        self.head = head
        let hosts = head.fields["host"]
        guard hosts.count <= 1 else { throw HTTPProblem(400, "there is more than one host") }
        var authority = hosts.first
        if let (absolute, target) = Self.absolute(head.target) {
            authority = absolute
            self.head.target = target
        }
        guard let authority else { throw HTTPProblem(400, "the request names no host") }
        guard let host = HostName(authority) else { throw HTTPProblem(400, "the host is not a name") }
        self.host = host
        guard head.method != "CONNECT" else { throw HTTPProblem(501, "this is not a forward proxy") }
        guard self.head.target.hasPrefix("/") || (self.head.target == "*" && head.method == "OPTIONS") else {
            throw HTTPProblem(400, "the address is not a path")
        }
        if let expectation = head.fields.first("expect"), head.minorVersion >= 1 {
            guard HTTPText.equal(expectation, "100-continue") else {
                throw HTTPProblem(417, "no expectation but 100-continue is understood")
            }
        }
        self.head.fields.replace("Host", authority)
    }

    /// The head for the app.
    package func upstreamHead(from origin: Origin) -> (head: HTTPRequestHead, isUpgrade: Bool) {
        let nominated = Set(head.fields.tokens("connection"))
        var fields = HTTPFields()
        fields.add("Host", head.fields.first("host") ?? host.description)
        for field in head.fields.list {
            let name = field.name.lowercased()
            let hyphenated = name.replacing("_", with: "-")
            if Self.hopByHop.contains(hyphenated) || nominated.contains(name) { continue }
            if Self.identity.contains(hyphenated), !origin.isTrusted || name != hyphenated { continue }
            fields.list.append(field)
        }
        addIdentity(to: &fields, origin)
        switch framing {
        case .length(let length): fields.add("Content-Length", String(length))
        case .chunked: fields.add("Transfer-Encoding", "chunked")
        case .none: if head.fields.first("content-length") != nil { fields.add("Content-Length", "0") }
        case .untilClose: ()
        }
        if head.fields.first("expect") != nil, framing != .none, head.minorVersion >= 1 {
            fields.add("Expect", "100-continue")
        }
        let isUpgrade = addUpgrade(to: &fields, nominated)
        var result = head
        result.fields = fields
        return (result, isUpgrade)
    }

    private func addIdentity(to fields: inout HTTPFields, _ origin: Origin) {
        let chain = fields["x-forwarded-for"] + [origin.address]
        fields.replace("X-Forwarded-For", chain.joined(separator: ", "))
        let defaults = [
            ("X-Forwarded-Host", head.fields.first("host") ?? host.description), ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Port", String(host.port ?? origin.port)), ("X-Client-IP", origin.address),
        ]
        for (name, value) in defaults where fields.first(name) == nil { fields.add(name, value) }
    }

    /// HTTP/2 is not switched to: its requests would pass the gate unseen.
    private func addUpgrade(to fields: inout HTTPFields, _ nominated: Set<String>) -> Bool {
        let protocols = head.fields.tokens("upgrade")
        guard nominated.contains("upgrade"), head.minorVersion >= 1, framing == .none, !protocols.isEmpty,
            !protocols.contains(where: { $0.hasPrefix("h2") }), let value = head.fields.first("upgrade")
        else { return false }
        fields.add("Connection", "Upgrade")
        fields.add("Upgrade", value)
        return true
    }

    /// Takes `http://host/path` apart.
    private static func absolute(_ target: String) -> (authority: String, target: String)? {
        let lower = target.lowercased()
        let scheme = ["http://", "https://"].first { lower.hasPrefix($0) }
        guard let scheme else { return nil }
        let rest = target.dropFirst(scheme.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let path = String(rest[end...])
        return (String(rest[..<end]), path.hasPrefix("/") ? path : "/" + path)
    }
}

/// The head that a client gets.
package enum ForwardedResponse {
    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "transfer-encoding", "upgrade",
        "content-length",
    ]

    /// How the body is written to the client.
    package enum Body: Equatable {
        /// As it comes: it has a length, or it has none and the connection ends after it.
        case plain
        case chunked
    }

    package struct Context {
        package var method: String
        package var clientMinorVersion: Int
        package var keepsAlive: Bool
        /// Nanoseconds at the gate; nil if it did not wait.
        package var waited: UInt64?

        package init(method: String, clientMinorVersion: Int, keepsAlive: Bool, waited: UInt64?) {
            self.method = method
            self.clientMinorVersion = clientMinorVersion
            self.keepsAlive = keepsAlive
            self.waited = waited
        }
    }

    /// - Returns: the head, how the body is written, and whether the connection can go on after it.
    package static func head(
        of head: HTTPResponseHead, framing: HTTPFraming, _ context: Context
    ) -> (head: HTTPResponseHead, body: Body, keepsAlive: Bool) {
        let nominated = Set(head.fields.tokens("connection"))
        var result = head
        result.fields = HTTPFields()
        for field in head.fields.list {
            let name = field.name.lowercased()
            if !hopByHop.contains(name), !nominated.contains(name) { result.fields.list.append(field) }
        }
        var body = Body.plain
        var keepsAlive = context.keepsAlive
        switch framing {
        case .length(let length): result.fields.add("Content-Length", String(length))
        case .chunked, .untilClose:
            if context.clientMinorVersion >= 1 {
                body = .chunked
                result.fields.add("Transfer-Encoding", "chunked")
            } else {
                keepsAlive = false
            }
        case .none:
            if head.status != 204, head.status / 100 != 1, let length = head.fields.first("content-length") {
                result.fields.add("Content-Length", length)
            }
        }
        if let waited = context.waited {
            let milliseconds = (Double(waited) / 100_000).rounded() / 10
            result.fields.add("Server-Timing", "hold;dur=\(milliseconds)")
        }
        if !keepsAlive {
            result.fields.add("Connection", "close")
        } else if context.clientMinorVersion == 0 {
            result.fields.add("Connection", "keep-alive")
        }
        return (result, body, keepsAlive)
    }

    /// A 1xx response, or a 101: without what belongs to the other connection.
    package static func interim(_ head: HTTPResponseHead) -> HTTPResponseHead {
        var result = head
        for name in hopByHop where name != "upgrade" || head.status != 101 { result.fields.remove(name) }
        if head.status == 101 { result.fields.add("Connection", "Upgrade") }
        return result
    }
}
