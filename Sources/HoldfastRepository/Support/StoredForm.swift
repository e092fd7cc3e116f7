import HoldfastBlobStore
import HoldfastModel

/// The forms of stored bytes that are parsed, each with its parser: what hostile or damaged bytes can reach.
///
/// For tests and the fuzzer; the engine calls the parsers themselves.
package enum StoredForm: String, CaseIterable, Sendable {
    case config, key, lock, snapshot, index, packHeader, tree
    /// The inner text of a key file.
    case masterKey
    /// A sealed and compressed object, before anything of it is parsed.
    case compressed

    /// Parses bytes as this form, and drops the result.
    ///
    /// - Throws: `HoldfastError` with `damaged` or `unsupported` for bytes that are not of this form.
    package func parse(_ bytes: [UInt8]) throws {
        let id = try DigestContext.once([])
        switch self {
        case .config: _ = try RepositoryConfig(decoding: bytes)
        case .key: try KeyFile(decoding: bytes, name: "of a test").cost.validate()
        case .lock: _ = try LockFile(decoding: bytes, id: id).isStale(now: .zero)
        case .snapshot: _ = try Snapshot(decoding: bytes, id: id).encoded()
        case .index: BlobIndex().add(file: id, try IndexFile.decode(bytes, name: id))
        case .packHeader:
            guard let entries = PackHeader.decode(bytes) else { throw HoldfastError(.damaged, "it is no pack header") }
            guard PackHeader.encode(entries) == bytes else {
                throw HoldfastError(.internalFault, "the pack header is not what it was read from")
            }
            BlobIndex().add([(id, entries)])
        case .tree:
            let nodes = try bytes.withUnsafeBytes { try TreeCodec.decode($0, name: id) }
            var writer = JSONWriter()
            for node in nodes {
                TreeCodec.append(node, to: &writer)
                _ = isPlainName(node.name)
            }
        case .masterKey: _ = try KeyFile.masterKey(decoding: bytes)
        case .compressed:
            guard try Decompressor().decompressed(bytes[...], limit: 1 << 24) != nil else {
                throw HoldfastError(.damaged, "it cannot be decompressed")
            }
        }
    }

    /// The bytes of all objects of this form in a repository, as the parser gets them.
    package func samples(in repository: Repository) throws -> [[UInt8]] {
        func texts(_ kind: BlobKind) throws -> [[UInt8]] {
            try repository.store.list(kind).compactMap { ObjectID(hex: $0.name.name) }.map {
                try repository.files.load(kind, $0)
            }
        }
        let index = try repository.currentIndex()
        let reader = try repository.reader(index)
        switch self {
        case .config: return [try repository.files.loadConfig() ?? []]
        case .key: return try repository.store.list(.key).map { try repository.store.get($0.name) }
        case .lock: return try texts(.lock)
        case .snapshot: return try texts(.snapshot)
        case .index: return try texts(.index)
        case .packHeader:
            return try index.packs.map { pack in
                let bytes = try repository.store.get(BlobName(kind: .data, name: pack.description))
                return PackHeader.encode(try reader.header(of: bytes) ?? [])
            }
        case .tree:
            var trees: [[UInt8]] = []
            try index.forEach { blob in
                if blob.type == .tree { trees.append([UInt8](try reader.read(blob.id, .tree))) }
            }
            return trees
        case .masterKey: return [KeyFile.text(of: repository.key)]
        case .compressed: return try texts(.index).map { try Compressor().compressed($0) }
        }
    }

    /// Stores hostile bytes as a whole, well sealed object of a repository: what a stolen key can do.
    ///
    /// - Throws: `invalidInput` for forms that are no sealed objects.
    package func store(_ bytes: [UInt8], in repository: Repository) throws -> BlobName {
        let kinds: [StoredForm: BlobKind] = [.index: .index, .snapshot: .snapshot, .lock: .lock]
        guard let kind = kinds[self] else { throw HoldfastError(.invalidInput, "\(self) is no sealed object") }
        return BlobName(kind: kind, name: try repository.files.save(bytes, as: kind).description)
    }
}
