/// What a blob is to its readers; part of its identity, as the same bytes may be both.
enum BlobType: UInt8, Sendable, Hashable {
    case data = 0
    case tree = 1

    var name: StaticString {
        switch self {
        case .data: "data"
        case .tree: "tree"
        }
    }
}

/// Where one blob lies in its pack.
struct PackEntry: Sendable, Hashable {
    var id: ObjectID
    var type: BlobType
    var offset: UInt32
    /// Of the sealed bytes.
    var length: UInt32
    /// Of the plain text if it is compressed; nil if it is stored as it is.
    var uncompressedLength: UInt32?

    /// Bytes of its entry in the header.
    var headerSize: Int { uncompressedLength == nil ? 37 : 41 }
}

/// The header at the end of a pack: one entry per blob, in the order of the blobs.
///
/// Source: restic's design document, "Pack Format".
enum PackHeader {
    static func encode(_ entries: [PackEntry]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * 41)
        for entry in entries {
            bytes.append(entry.type.rawValue | (entry.uncompressedLength == nil ? 0 : 2))
            append(entry.length, to: &bytes)
            if let length = entry.uncompressedLength { append(length, to: &bytes) }
            withUnsafeBytes(of: entry.id) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Bytes of a header, its seal and its length at the end of a pack.
    static func sealedSize(_ entries: some Sequence<PackEntry>) -> Int {
        entries.reduce(SealingContext.overhead + 4) { $0 + $1.headerSize }
    }

    /// Reads a plain header; nil if it is none.
    static func decode(_ bytes: [UInt8]) -> [PackEntry]? {
        var entries: [PackEntry] = []
        var index = 0
        var offset: UInt64 = 0
        while index < bytes.count {
            let kind = bytes[index]
            let isCompressed = kind & 2 != 0
            let size = isCompressed ? 41 : 37
            guard kind < 4, index + size <= bytes.count, let type = BlobType(rawValue: kind & 1),
                let start = UInt32(exactly: offset)
            else { return nil }
            let length = number(bytes, at: index + 1)
            let id = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { ObjectID($0 + index + size - 32) }
            }
            guard let id else { return nil }
            entries.append(
                PackEntry(
                    id: id, type: type, offset: start, length: length,
                    uncompressedLength: isCompressed ? number(bytes, at: index + 5) : nil))
            offset += UInt64(length)
            index += size
        }
        return entries
    }

    static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    static func number(_ bytes: [UInt8], at index: Int) -> UInt32 {
        UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
            | UInt32(bytes[index + 3]) << 24
    }
}
