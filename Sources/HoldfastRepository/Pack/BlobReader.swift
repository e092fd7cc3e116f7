import HoldfastBlobStore
import HoldfastModel

/// Some bytes that are hashed by the way: each step takes as many of them as of another stream beside it.
struct DigestByTheWay {
    private let digest: DigestContext
    private var rest: UnsafeRawBufferPointer

    /// - Parameters:
    ///   - bytes: valid until `finish`.
    ///   - digest: has begun, and takes them.
    init(_ bytes: UnsafeRawBufferPointer, into digest: DigestContext) {
        self.digest = digest
        rest = bytes
    }

    /// Whether all of them are hashed.
    var isDone: Bool { rest.isEmpty }

    mutating func advance(beside other: DigestContext, _ bytes: UnsafeRawBufferPointer) throws {
        let part = UnsafeRawBufferPointer(rebasing: rest.prefix(bytes.count))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(bytes.count))
        try other.update(bytes, and: digest, part)
    }

    mutating func finish() throws {
        try digest.update(rest)
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(rest.count))
    }
}

/// A blob as it lies in a pack, and what the index says of it.
struct SealedBlob {
    let bytes: UnsafeRawBufferPointer
    let location: BlobLocation
}

/// Reads blobs out of packs, and verifies every byte; one thread at a time.
final class BlobReader {
    let store: any BlobStore
    private let index: BlobIndex
    private let sealing: SealingContext
    private let decompressor: Decompressor
    private let digest: DigestContext
    private let cache: RepositoryCache?
    private let secondDigest: DigestContext
    private let first: Memory
    private let second: Memory

    /// What one blob needs.
    private struct Memory {
        let opened: RawBuffer
        let plain: RawBuffer

        init() throws {
            opened = try RawBuffer(capacity: 64 << 10)
            plain = try RawBuffer(capacity: 64 << 10)
        }
    }

    /// - Parameter cache: of trees; nil to ask the store each time.
    init(store: any BlobStore, key: MasterKey, index: BlobIndex, cache: RepositoryCache? = nil) throws {
        self.store = store
        self.index = index
        self.cache = cache?.keepsTrees == true ? cache : nil
        sealing = try SealingContext(key)
        decompressor = try Decompressor()
        digest = try DigestContext()
        secondDigest = try DigestContext()
        first = try Memory()
        second = try Memory()
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
        guard let text = try text(of: SealedBlob(bytes: sealed, location: location), first) else { return nil }
        return try digest.digest(text) == location.id ? text : nil
    }

    /// As `unseal`, and hashes something else by the way.
    func unseal(_ blob: SealedBlob, beside other: inout DigestByTheWay) throws -> UnsafeRawBufferPointer? {
        guard let text = try text(of: blob, first) else { return nil }
        try digest.begin()
        try other.advance(beside: digest, text)
        return try digest.finish() == blob.location.id ? text : nil
    }

    /// As `unseal` for two blobs, which costs less than one after the other. The memory of both is valid until the
    /// next call; that of the second one also through a call of `read`.
    func unsealPair(
        _ one: SealedBlob, _ two: SealedBlob
    ) throws -> (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) {
        guard let text = try text(of: one, first) else { return (nil, try unsealSecond(two)) }
        guard let other = try self.text(of: two, second) else {
            return (try digest.digest(text) == one.location.id ? text : nil, nil)
        }
        try digest.begin()
        try secondDigest.begin()
        try digest.update(text, and: secondDigest, other)
        return (
            try digest.finish() == one.location.id ? text : nil,
            try secondDigest.finish() == two.location.id ? other : nil
        )
    }

    private func unsealSecond(_ blob: SealedBlob) throws -> UnsafeRawBufferPointer? {
        guard let text = try text(of: blob, second) else { return nil }
        return try secondDigest.digest(text) == blob.location.id ? text : nil
    }

    /// Opens and decompresses a blob, whose digest is not verified yet; nil if it is damaged.
    private func text(of blob: SealedBlob, _ memory: Memory) throws -> UnsafeRawBufferPointer? {
        guard blob.bytes.count >= SealingContext.overhead else { return nil }
        let opened = memory.opened
        try opened.reserve(blob.bytes.count)
        guard let count = try sealing.open(blob.bytes, into: opened.mutableBytes(0..<opened.capacity)) else {
            return nil
        }
        let text = opened.bytes(0..<count)
        guard blob.location.isCompressed else { return text }
        return try decompressor.decompress(text, size: blob.location.plainLength, into: memory.plain)
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
