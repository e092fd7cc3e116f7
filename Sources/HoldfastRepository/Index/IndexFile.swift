import HoldfastModel

/// The JSON of index files.
///
/// Source: restic's design document, "Indexing".
enum IndexFile {
    /// Index files are cut after so many blobs; restic wants them below 8 MiB.
    static let blobLimit = 40_000

    static func encode(_ packs: some Sequence<FinishedPack>) -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"packs\":[")
        var isFirst = true
        for pack in packs {
            writer.literal(isFirst ? "{\"id\":" : ",{\"id\":")
            isFirst = false
            writer.objectID(pack.id)
            writer.literal(",\"blobs\":[")
            for (index, entry) in pack.entries.enumerated() {
                writer.literal(index == 0 ? "{\"id\":" : ",{\"id\":")
                writer.objectID(entry.id)
                writer.literal(",\"type\":\"")
                writer.literal(entry.type.name)
                writer.literal("\",\"offset\":")
                writer.number(entry.offset)
                writer.literal(",\"length\":")
                writer.number(entry.length)
                if let length = entry.uncompressedLength {
                    writer.literal(",\"uncompressed_length\":")
                    writer.number(length)
                }
                writer.literal("}")
            }
            writer.literal("]}")
        }
        writer.literal("]}")
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8], name: ObjectID) throws -> [(id: ObjectID, entries: [PackEntry])] {
        var packs: [(id: ObjectID, entries: [PackEntry])] = []
        try JSONReader.read(bytes, what: "index \(name)") { reader in
            try reader.object { key, reader in
                guard key == "packs" else { return try reader.skipValue() }
                try reader.array { reader in packs.append(try pack(&reader)) }
            }
        }
        return packs
    }

    private static func pack(_ reader: inout JSONReader) throws -> (id: ObjectID, entries: [PackEntry]) {
        var id: ObjectID?
        var entries: [PackEntry] = []
        try reader.object { key, reader in
            if key == "id" {
                id = try reader.objectID()
            } else if key == "blobs" {
                try reader.array { reader in entries.append(try entry(&reader)) }
            } else {
                try reader.skipValue()
            }
        }
        guard let id else { throw reader.fault("pack without id") }
        return (id, entries)
    }

    private static func entry(_ reader: inout JSONReader) throws -> PackEntry {
        var id: ObjectID?
        var type: BlobType?
        var offset: UInt32?
        var length: UInt32?
        var uncompressedLength: UInt32?
        try reader.object { key, reader in
            if key == "id" {
                id = try reader.objectID()
            } else if key == "type" {
                switch try reader.text() {
                case "data": type = .data
                case "tree": type = .tree
                default: throw reader.fault("unknown type of blob")
                }
            } else if key == "offset" {
                offset = try reader.unsigned32()
            } else if key == "length" {
                length = try reader.unsigned32()
            } else if key == "uncompressed_length" {
                uncompressedLength = try reader.unsigned32()
            } else {
                try reader.skipValue()
            }
        }
        guard let id, let type, let offset, let length, length >= SealingContext.overhead,
            (uncompressedLength ?? 0) < 1 << 31
        else { throw reader.fault("incomplete blob") }
        return PackEntry(
            id: id, type: type, offset: offset, length: length,
            uncompressedLength: uncompressedLength == 0 ? nil : uncompressedLength)
    }
}
