import COpenSSL
import HoldfastModel

/// Hashes of secrets, for servers that keep passwords or check signatures in such a form.
package enum SecretDigest {
    /// SHA-256; 32 bytes.
    package static func sha256(_ message: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(message, message.count, &digest)
        return digest
    }

    /// SHA-256 as 64 lower-case hexadecimal digits.
    package static func hexadecimal(of secret: Secret) -> String {
        let digits = Array("0123456789abcdef")
        return String(sha256(Array(secret.reveal().utf8)).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// HMAC-SHA-256 (RFC 2104); 32 bytes.
    package static func signature(of message: [UInt8], key: Secret) -> [UInt8] {
        let key = Array(key.reveal().utf8)
        var code = [UInt8](repeating: 0, count: 32)
        HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &code, nil)
        return code
    }
}
