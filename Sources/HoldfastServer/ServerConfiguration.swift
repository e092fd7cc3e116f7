import Foundation
import HoldfastModel

/// Where the API listens, and how.
package struct ServerConfiguration: Sendable, Hashable {
    package struct TLSFiles: Sendable, Hashable {
        /// Paths of PEM files; the certificate's chain is in its file.
        package var certificate: String
        package var key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    package var host: String
    /// 0: any free one.
    package var port: Int
    package var tls: TLSFiles?
    /// Tokens may travel in clear text over a network.
    package var allowsInsecure: Bool
    /// Absolute path of a file with the bearer token for `/metrics`; nil: there is no such path.
    package var metricsTokenFile: String?
    /// Bytes of a request's body.
    package var bodyLimit = 1 << 20

    package init(host: String = "127.0.0.1", port: Int, tls: TLSFiles? = nil, allowsInsecure: Bool = false) {
        self.host = host
        self.port = port
        self.tls = tls
        self.allowsInsecure = allowsInsecure
    }

    /// - Throws: `invalidInput` if the port is none, or tokens would travel in clear text without consent.
    package func validate() throws {
        guard (0...65_535).contains(port) else {
            throw HoldfastError(.invalidInput, "\(port) is not a port", hint: "Give one from 1 to 65535")
        }
        guard tls != nil || allowsInsecure || Self.isLoopback(host) else {
            throw HoldfastError(
                .invalidInput, "the API would listen on '\(host)' without TLS",
                hint: "Give a certificate and its key, or --insecure if the network between is yours alone")
        }
    }

    /// 127.0.0.0/8, ::1 and localhost; a name that resolves to one of them does not count, because names change.
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "::1" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { part in
                (1...3).contains(part.count) && part.allSatisfy(\.isNumber) && UInt8(part) != nil
            }
    }
}
