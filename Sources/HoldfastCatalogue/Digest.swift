import COpenSSL
import Foundation

/// SHA-256 of tokens: they are random and of 256 bits, so no key stretching is needed.
package enum Digest {
    /// 32 bytes.
    package static func sha256(_ message: some Collection<UInt8>) -> [UInt8] {
        let bytes = Array(message)
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(bytes, bytes.count, &digest)
        return digest
    }

    /// Whether two digests are equal, in a time that does not depend on where they differ.
    package static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
    }
}
