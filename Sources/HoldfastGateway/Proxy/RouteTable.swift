import HoldfastModel

/// Finds the route of a request: the most specific host first, then the longest path prefix.
package struct RouteTable: Sendable {
    /// By host pattern; the longest prefix first.
    private var routes: [String: [GatewayRoute]] = [:]
    package private(set) var count = 0

    package init(_ list: [GatewayRoute] = []) {
        routes = Dictionary(grouping: list, by: \.host).mapValues { group in
            group.sorted { $0.pathPrefix.utf8.count > $1.pathPrefix.utf8.count }
        }
        count = list.count
    }

    /// - Parameters:
    ///   - host: as `HostName` made it.
    ///   - path: of the request, without the query.
    package func route(host: HostName, path: String) -> GatewayRoute? {
        for pattern in host.patterns {
            if let match = routes[pattern]?.first(where: { Self.path(path, isBelow: $0.pathPrefix) }) { return match }
        }
        return nil
    }

    /// Whether a path lies below a prefix, in whole segments: `/api` takes `/api` and `/api/x`, but not `/apix`.
    package static func path(_ path: String, isBelow prefix: String) -> Bool {
        guard prefix != "/" else { return true }
        let stem = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
        guard path.utf8.starts(with: stem.utf8) else { return false }
        let rest = path.utf8.dropFirst(stem.utf8.count)
        return rest.isEmpty || rest.first == UInt8(ascii: "/")
    }
}

/// A host and maybe a port, in the one spelling that routes are looked up by.
package struct HostName: Sendable, Equatable {
    package let name: String
    package let port: Int?

    /// Reads the `Host` field or the authority of a request's target; nil for anything that is not a host.
    package init?(_ field: String) {
        let bytes = Array(field.utf8)
        var nameEnd = bytes.count
        if bytes.first == UInt8(ascii: "[") {
            guard let bracket = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            nameEnd = bracket + 1
        } else if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
            nameEnd = colon
        }
        var name = String(decoding: bytes[..<nameEnd], as: UTF8.self).lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        guard !name.isEmpty, name.utf8.count <= 255, name.utf8.allSatisfy(Self.isAllowed) else { return nil }
        guard let port = Self.port(bytes[nameEnd...]) else { return nil }
        self.name = name
        self.port = port.value
    }

    /// Reads the host of a route, which may begin with `*.` or be `*`.
    package init?(pattern: String) {
        let bare = pattern == "*" ? "x" : pattern.hasPrefix("*.") ? String(pattern.dropFirst(2)) : pattern
        guard let host = Self(bare), host.description == bare else { return nil }
        self = host
    }

    package var description: String { port.map { "\(name):\($0)" } ?? name }

    /// The routes' hosts that fit, the most specific first.
    package var patterns: [String] {
        var names = [name]
        var rest = name[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            names.append("*.\(rest)")
        }
        names.append("*")
        guard let port else { return names }
        return names.flatMap { ["\($0):\(port)", $0] }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
        case UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ":"): true
        default: false
        }
    }

    /// An empty text is no port; nil in the outer optional is a text that is not one.
    private static func port(_ text: ArraySlice<UInt8>) -> (value: Int?, Void)? {
        guard let colon = text.first else { return (nil, ()) }
        let digits = text.dropFirst()
        guard colon == UInt8(ascii: ":"), digits.count <= 5 else { return nil }
        if digits.isEmpty { return (nil, ()) }
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let value = Int(String(decoding: digits, as: UTF8.self)), (1...65535).contains(value)
        else { return nil }
        return (value, ())
    }
}
