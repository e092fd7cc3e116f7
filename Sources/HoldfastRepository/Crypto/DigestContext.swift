import CHoldfastHash
import COpenSSL
import HoldfastModel

/// SHA-256 with a context that is reused; one thread at a time.
///
/// Where the processor has SHA instructions two contexts can advance side by side, at little more than the cost of
/// one; elsewhere OpenSSL does the work.
final class DigestContext {
    private enum Engine {
        case processor(UnsafeMutablePointer<holdfast_sha256>)
        case library(OpaquePointer, algorithm: OpaquePointer)
    }

    private static let hasInstructions = holdfast_sha256_is_available() == 1

    private let engine: Engine

    convenience init() throws { try self.init(usingInstructions: Self.hasInstructions) }

    /// - Parameter usingInstructions: only true where the processor has them.
    init(usingInstructions: Bool) throws {
        if usingInstructions && Self.hasInstructions {
            let context = UnsafeMutablePointer<holdfast_sha256>.allocate(capacity: 1)
            context.initialize(to: holdfast_sha256())
            holdfast_sha256_begin(context)
            engine = .processor(context)
        } else {
            guard let context = EVP_MD_CTX_new() else { throw libraryFault("EVP_MD_CTX_new") }
            engine = .library(context, algorithm: try Algorithms.shared().digest)
        }
    }

    deinit {
        switch engine {
        case .processor(let context): context.deallocate()
        case .library(let context, _): EVP_MD_CTX_free(context)
        }
    }

    func digest(_ bytes: UnsafeRawBufferPointer) throws -> ObjectID {
        try begin()
        try update(bytes)
        return try finish()
    }

    func begin() throws {
        switch engine {
        case .processor(let context): holdfast_sha256_begin(context)
        case .library(let context, let algorithm):
            guard EVP_DigestInit_ex2(context, algorithm, nil) == 1 else { throw libraryFault("EVP_DigestInit") }
        }
    }

    func update(_ bytes: UnsafeRawBufferPointer) throws {
        switch engine {
        case .processor(let context): holdfast_sha256_update(context, bytes.baseAddress, bytes.count)
        case .library(let context, _):
            guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
                throw libraryFault("EVP_DigestUpdate")
            }
        }
    }

    /// As `update` on this context and on another one.
    func update(_ bytes: UnsafeRawBufferPointer, and other: DigestContext, _ others: UnsafeRawBufferPointer) throws {
        if case .processor(let one) = engine, case .processor(let two) = other.engine {
            holdfast_sha256_update_pair(
                one, bytes.baseAddress, bytes.count, two, others.baseAddress, others.count)
        } else {
            try update(bytes)
            try other.update(others)
        }
    }

    func finish() throws -> ObjectID {
        try withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { throw libraryFault("SHA-256") }
            switch engine {
            case .processor(let context): holdfast_sha256_finish(context, base)
            case .library(let context, _):
                guard EVP_DigestFinal_ex(context, base.assumingMemoryBound(to: UInt8.self), nil) == 1 else {
                    throw libraryFault("EVP_DigestFinal")
                }
            }
            return ObjectID(base)
        }
    }

    /// The digest of some bytes, with a context of its own: for single calls.
    static func once(_ bytes: [UInt8]) throws -> ObjectID {
        try bytes.withUnsafeBytes { try DigestContext().digest($0) }
    }
}
