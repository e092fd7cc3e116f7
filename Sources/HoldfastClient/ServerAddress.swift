import Foundation
import HoldfastModel

/// Where a server is: scheme, host, port and the path in front of its API.
package struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    package let scheme: String
    package let host: String
    package let port: Int
    /// Without a slash at its end; usually empty.
    package let basePath: String

    /// - Throws: `invalidInput` unless the text is an `http` or `https` URL with a host, and without a password.
    package init(_ text: String) throws {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            scheme == "http" || scheme == "https", let host = parts.host, !host.isEmpty
        else {
            throw HoldfastError(
                .invalidInput, "'\(text)' is not the URL of a server", hint: "Use a URL such as http://127.0.0.1:7070")
        }
        guard parts.user == nil, parts.password == nil, parts.query == nil, parts.fragment == nil else {
            throw HoldfastError(
                .invalidInput, "the server's URL has a user, a password, a query or a fragment",
                hint: "Give only scheme, host, port and path; set the token in HOLDFAST_TOKEN")
        }
        self.scheme = scheme
        self.host = host
        port = parts.port ?? (scheme == "https" ? 443 : 80)
        var path = parts.percentEncodedPath
        while path.hasSuffix("/") { path.removeLast() }
        basePath = path
    }

    package var isEncrypted: Bool { scheme == "https" }

    /// Whether it can only be this machine.
    package var isLoopback: Bool {
        let bare = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        return bare == "localhost" || bare == "::1" || Self.isLoopbackV4(bare)
    }

    package var description: String {
        let usual = port == (isEncrypted ? 443 : 80)
        let shown = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        return "\(scheme)://\(shown)\(usual ? "" : ":\(port)")\(basePath)"
    }

    /// The URL of a path or of a link. Of an absolute link only the path counts: a token never goes elsewhere.
    package func url(for target: String) -> String {
        var path = target
        if let authority = target.range(of: "://") {
            path = target[authority.upperBound...].firstIndex(of: "/").map { String(target[$0...]) } ?? "/"
        }
        if !path.hasPrefix("/") { path = "/" + path }
        var origin = description
        if !basePath.isEmpty, path.hasPrefix(basePath + "/") { origin.removeLast(basePath.count) }
        return origin + path
    }

    /// Percent-encodes everything but unreserved characters, so that the text stays one segment or value.
    package static func escape(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }

    private static let unreserved = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    private static func isLoopbackV4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } && parts[0] == "127"
    }
}
