import HoldfastModel

/// What an index file says, in the form of the local cache: fixed-size fields, little-endian, no JSON.
///
/// `packs`, then for each its id (32 bytes) and the number of its blobs, then for each of these its id, and five
/// numbers: type, offset, length, whether it is compressed, plain length. Counts and numbers have 32 bits.
enum CachedIndex {
    private static let entrySize = 32 + 5 * 4

    static func encode(_ packs: [(id: ObjectID, entries: [PackEntry])]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 + packs.reduce(0) { $0 + 36 + $1.entries.count * entrySize })
        PackHeader.append(UInt32(packs.count), to: &bytes)
        for pack in packs {
            append(pack.id, to: &bytes)
            PackHeader.append(UInt32(pack.entries.count), to: &bytes)
            for entry in pack.entries {
                append(entry.id, to: &bytes)
                PackHeader.append(UInt32(entry.type.rawValue), to: &bytes)
                PackHeader.append(entry.offset, to: &bytes)
                PackHeader.append(entry.length, to: &bytes)
                PackHeader.append(entry.uncompressedLength == nil ? 0 : 1, to: &bytes)
                PackHeader.append(entry.uncompressedLength ?? 0, to: &bytes)
            }
        }
        return bytes
    }

    /// - Returns: nil if it is not such a text.
    static func decode(_ bytes: [UInt8]) -> [(id: ObjectID, entries: [PackEntry])]? {
        bytes.withUnsafeBytes { decode($0) }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) -> [(id: ObjectID, entries: [PackEntry])]? {
        guard let base = bytes.baseAddress, bytes.count >= 4 else { return nil }
        func number(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        var packs: [(id: ObjectID, entries: [PackEntry])] = []
        var offset = 4
        for _ in 0..<number(0) {
            guard offset + 36 <= bytes.count else { return nil }
            let id = ObjectID(base + offset)
            let count = Int(number(offset + 32))
            offset += 36
            guard count <= (bytes.count - offset) / entrySize else { return nil }
            var entries: [PackEntry] = []
            entries.reserveCapacity(count)
            for _ in 0..<count {
                let fields = offset + 32
                guard let type = BlobType(rawValue: UInt8(truncatingIfNeeded: number(fields))) else { return nil }
                entries.append(
                    PackEntry(
                        id: ObjectID(base + offset), type: type, offset: number(fields + 4), length: number(fields + 8),
                        uncompressedLength: number(fields + 12) == 0 ? nil : number(fields + 16)))
                offset += entrySize
            }
            packs.append((id, entries))
        }
        return offset == bytes.count ? packs : nil
    }

    private static func append(_ id: ObjectID, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: id) { bytes.append(contentsOf: $0) }
    }
}

extension Repository {
    /// What an index file says: from the local cache if it is there, else from the store, and kept then.
    func indexFile(_ id: ObjectID) throws -> [(id: ObjectID, entries: [PackEntry])] {
        let cache = localCache
        if let packs = cache?.load(.index, id).flatMap({ CachedIndex.decode($0) }) { return packs }
        let packs = try IndexFile.decode(files.load(.index, id), name: id)
        cache?.keep(.index, id, CachedIndex.encode(packs))
        return packs
    }

    /// A reader that takes trees from the local cache if it keeps them. Not for a check, which asks the store.
    func cachedReader(_ index: BlobIndex) throws -> BlobReader {
        try BlobReader(store: store, key: key, index: index, cache: localCache)
    }
}
