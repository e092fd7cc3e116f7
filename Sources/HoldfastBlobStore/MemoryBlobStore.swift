import HoldfastModel
import Synchronization

/// A store in memory: for tests and for trying things out. It keeps the whole contract except outliving the process.
public final class MemoryBlobStore: BlobStore {
    private let blobs = Mutex<[BlobName: [UInt8]]>([:])

    public init() {}

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        try name.validate()
        let copy = Array(bytes)
        try blobs.withLock { blobs in
            if name.kind == .config, let stored = blobs[name], stored != copy { throw name.differentConfig }
            blobs[name] = copy
        }
    }

    public func get(_ name: BlobName) throws -> [UInt8] {
        try name.validate()
        guard let bytes = blobs.withLock({ $0[name] }) else { throw name.notFound }
        return bytes
    }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        let bytes = try get(name)
        guard range.lowerBound >= 0, range.upperBound <= bytes.count else {
            throw name.tooShort(for: range, size: bytes.count)
        }
        return Array(bytes[range])
    }

    public func size(_ name: BlobName) throws -> Int { try get(name).count }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] {
        blobs.withLock { blobs in
            blobs.compactMap { $0.key.kind == kind ? BlobEntry(name: $0.key, size: $0.value.count) : nil }
        }
    }

    public func delete(_ name: BlobName) throws {
        try name.validate()
        blobs.withLock { $0[name] = nil }
    }
}
