import HoldfastModel

/// A pack that is being filled; owned by one thread at a time.
final class PackBuilder {
    /// A pack is complete when it has so many bytes, as restic's are.
    static let targetSize = 16 << 20

    let type: BlobType
    private(set) var entries: [PackEntry] = []
    private(set) var size = 0
    private let buffer: RawBuffer
    private let digest: DigestContext
    /// So many bytes have gone into the digest; the rest follows beside other digests, or at the end.
    private var digested = 0

    init(type: BlobType) throws {
        self.type = type
        buffer = try RawBuffer(capacity: Self.targetSize + (1 << 20), alignment: RawBuffer.largePage)
        digest = try DigestContext()
        try digest.begin()
    }

    var isFull: Bool { size >= Self.targetSize }
    var hasUndigested: Bool { digested < size }

    /// Adds bytes to another digest and, side by side, at most as many of the pack to its own.
    func digest(beside other: DigestContext, _ bytes: UnsafeRawBufferPointer) throws {
        let end = min(digested + bytes.count, size)
        try other.update(bytes, and: digest, buffer.bytes(digested..<end))
        digested = end
    }

    /// Seals `payload` at the end of the pack.
    ///
    /// - Parameters:
    ///   - payload: the text of the blob, or what it was compressed to.
    ///   - uncompressedLength: nil if the payload is not compressed.
    /// - Returns: how many bytes it takes in the pack.
    func append(
        _ id: ObjectID, payload: UnsafeRawBufferPointer, uncompressedLength: Int?, sealing: SealingContext
    ) throws -> Int {
        let length = payload.count + SealingContext.overhead
        guard let sealedLength = UInt32(exactly: length), let offset = UInt32(exactly: size) else {
            throw HoldfastError(.unsupported, "a blob of \(payload.count) bytes does not fit into a pack")
        }
        try buffer.reserve(size + length)
        try sealing.seal(payload, into: buffer.mutableBytes(size..<size + length))
        entries.append(
            PackEntry(
                id: id, type: type, offset: offset, length: sealedLength,
                uncompressedLength: uncompressedLength.map { UInt32(truncatingIfNeeded: $0) }))
        size += length
        return length
    }

    /// Appends a blob that is sealed already, such as from another pack of the same repository.
    func append(_ entry: PackEntry, sealed: UnsafeRawBufferPointer) throws {
        guard let offset = UInt32(exactly: size), let base = sealed.baseAddress else {
            throw HoldfastError(.unsupported, "a blob of \(sealed.count) bytes does not fit into a pack")
        }
        try buffer.reserve(size + sealed.count)
        buffer.mutableBytes(size..<size + sealed.count).copyMemory(
            from: UnsafeRawBufferPointer(start: base, count: sealed.count))
        var moved = entry
        moved.offset = offset
        entries.append(moved)
        size += sealed.count
    }

    /// Adds the header; nothing can be appended after it.
    ///
    /// - Returns: the pack's name.
    func finish(sealing: SealingContext) throws -> ObjectID {
        let header = PackHeader.encode(entries)
        let length = header.count + SealingContext.overhead
        try buffer.reserve(size + length + 4)
        try header.withUnsafeBytes { header in
            _ = try sealing.seal(header, into: buffer.mutableBytes(size..<size + length))
        }
        buffer.mutableBytes(size + length..<size + length + 4).storeBytes(
            of: UInt32(length).littleEndian, as: UInt32.self)
        size += length + 4
        try digest.update(buffer.bytes(digested..<size))
        return try digest.finish()
    }

    var bytes: UnsafeRawBufferPointer { buffer.bytes(0..<size) }

    /// Makes the builder empty again.
    func reset() throws {
        entries.removeAll(keepingCapacity: true)
        size = 0
        digested = 0
        try digest.begin()
    }
}
