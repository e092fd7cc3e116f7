import HoldfastBlobStore
import HoldfastModel

/// Reads blobs out of packs, and verifies every byte; one thread at a time.
final class BlobReader {
    let store: any BlobStore
    private let index: BlobIndex
    private let sealing: SealingContext
    private let decompressor: Decompressor
    private let digest: DigestContext
    private let opened: RawBuffer
    private let plain: RawBuffer
    private let cache: RepositoryCache?

    /// - Parameter cache: of trees; nil to ask the store each time.
    init(store: any BlobStore, key: MasterKey, index: BlobIndex, cache: RepositoryCache? = nil) throws {
        self.store = store
        self.index = index
        self.cache = cache?.keepsTrees == true ? cache : nil
        sealing = try SealingContext(key)
        decompressor = try Decompressor()
        digest = try DigestContext()
        opened = try RawBuffer(capacity: 1 << 20)
        plain = try RawBuffer(capacity: 1 << 20)
    }

    /// The plain text of a blob; the memory is valid until the next call.
    ///
    /// - Throws: `damaged` if it is not in the index, or if no copy of it is intact.
    func read(_ id: ObjectID, _ type: BlobType) throws -> UnsafeRawBufferPointer {
        guard let (location, pack) = index.locate(id, type) else {
            throw HoldfastError(.damaged, "\(type.name) blob \(id) is not in the repository")
        }
        let name = BlobName(kind: .data, name: pack.description)
        var result: UnsafeRawBufferPointer?
        _ = try store.get(name, range: location.range) { bytes in
            bytes.withUnsafeBytes { bytes in
                result = (try? self.unseal(bytes, location)) ?? nil
                return result != nil
            }
        }
        guard let result else { throw HoldfastError(.damaged, "\(type.name) blob \(id) in \(name) is damaged") }
        return result
    }

    /// Opens, decompresses and verifies a blob; nil if it is damaged. The memory is valid until the next call.
    func unseal(_ sealed: UnsafeRawBufferPointer, _ location: BlobLocation) throws -> UnsafeRawBufferPointer? {
        guard sealed.count >= SealingContext.overhead else { return nil }
        try opened.reserve(sealed.count)
        guard let count = try sealing.open(sealed, into: opened.mutableBytes(0..<opened.capacity)) else { return nil }
        var text = opened.bytes(0..<count)
        if location.isCompressed {
            guard let larger = try decompressor.decompress(text, size: location.plainLength, into: plain) else {
                return nil
            }
            text = larger
        }
        return try digest.digest(text) == location.id ? text : nil
    }

    /// Opens something that is no blob, such as a pack's header; nil if it is damaged.
    func open(_ sealed: [UInt8]) throws -> [UInt8]? { try sealing.opened(sealed) }

    func digest(_ bytes: UnsafeRawBufferPointer) throws -> ObjectID { try digest.digest(bytes) }

    /// The nodes of a tree.
    func tree(_ id: ObjectID) throws -> [Node] {
        guard let cache else { return try TreeCodec.decode(read(id, .tree), name: id) }
        if let kept = cache.load(.tree, id), try kept.withUnsafeBytes({ try digest($0) }) == id {
            return try kept.withUnsafeBytes { try TreeCodec.decode($0, name: id) }
        }
        let bytes = Array(try read(id, .tree))
        cache.keep(.tree, id, bytes)
        return try bytes.withUnsafeBytes { try TreeCodec.decode($0, name: id) }
    }
}
