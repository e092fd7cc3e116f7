import COpenSSL
import HoldfastModel

/// SHA-256 with a context that is reused; one thread at a time.
final class DigestContext {
    private let context: OpaquePointer
    private let algorithm: OpaquePointer

    init() throws {
        algorithm = try Algorithms.shared().digest
        guard let context = EVP_MD_CTX_new() else { throw libraryFault("EVP_MD_CTX_new") }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    func digest(_ bytes: UnsafeRawBufferPointer) throws -> ObjectID {
        try begin()
        try update(bytes)
        return try finish()
    }

    func begin() throws {
        guard EVP_DigestInit_ex2(context, algorithm, nil) == 1 else { throw libraryFault("EVP_DigestInit") }
    }

    func update(_ bytes: UnsafeRawBufferPointer) throws {
        guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
            throw libraryFault("EVP_DigestUpdate")
        }
    }

    func finish() throws -> ObjectID {
        try withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            guard let base = buffer.baseAddress,
                EVP_DigestFinal_ex(context, base.assumingMemoryBound(to: UInt8.self), nil) == 1
            else { throw libraryFault("EVP_DigestFinal") }
            return ObjectID(base)
        }
    }

    /// The digest of some bytes, with a context of its own: for single calls.
    static func once(_ bytes: [UInt8]) throws -> ObjectID {
        try bytes.withUnsafeBytes { try DigestContext().digest($0) }
    }
}
