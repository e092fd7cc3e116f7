import COpenSSL
import Foundation
import HoldfastModel

/// What shows a receiver that a notice is ours, and not an old one sent again.
///
/// `v1=` and the HMAC-SHA256, in hexadecimal digits, of the time stamp's digits, a full stop, and the body as it is.
/// Source: RFC 2104; the form is that of common webhooks.
package enum WebhookSignature {
    /// - Parameter timestamp: as the header has it, in seconds since 1970.
    package static func text(of body: Data, timestamp: String, secret: Secret) -> String {
        "v1=" + code(Array("\(timestamp).".utf8) + body, key: Array(secret.reveal().utf8))
    }

    private static func code(_ message: [UInt8], key: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 32
        HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &digest, &length)
        return digest.map { String(format: "%02x", $0) }.joined()
    }
}
