import COpenSSL
import HoldfastModel

/// OpenSSL's algorithms, fetched once for the process: a fetch takes locks and walks providers.
struct Algorithms: @unchecked Sendable {
    let counterMode: OpaquePointer
    let block: OpaquePointer
    let digest: OpaquePointer
    let mac: OpaquePointer

    private static let fetched = Result { try Algorithms() }

    static func shared() throws -> Algorithms { try fetched.get() }

    private init() throws {
        guard let counterMode = EVP_CIPHER_fetch(nil, "AES-256-CTR", nil),
            let block = EVP_CIPHER_fetch(nil, "AES-128-ECB", nil),
            let digest = EVP_MD_fetch(nil, "SHA256", nil),
            let mac = EVP_MAC_fetch(nil, "POLY1305", nil)
        else {
            throw HoldfastError(
                .unsupported, "this OpenSSL offers no AES-256-CTR, SHA-256 or Poly1305",
                hint: "Load OpenSSL's default provider")
        }
        self.counterMode = counterMode
        self.block = block
        self.digest = digest
        self.mac = mac
    }
}

/// The error for a call into a library that has no reason to fail.
func libraryFault(_ call: String) -> HoldfastError {
    HoldfastError(.internalFault, "\(call) failed")
}

/// Fills a buffer with unpredictable bytes.
func fillRandom(_ buffer: UnsafeMutableRawBufferPointer) throws {
    guard RAND_bytes(buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(buffer.count)) == 1 else {
        throw libraryFault("RAND_bytes")
    }
}

func randomBytes(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try fillRandom($0) }
    return bytes
}
