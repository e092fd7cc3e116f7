import HoldfastBlobStore
import HoldfastModel

/// Reads and writes the sealed objects that are no packs: config, index files, snapshots, locks.
struct ObjectFiles: Sendable {
    let store: any BlobStore
    let key: MasterKey

    /// Seals, compresses (except the config) and stores a JSON text.
    ///
    /// - Returns: its name; meaningless for the config.
    @discardableResult
    func save(_ text: [UInt8], as kind: BlobKind) throws -> ObjectID {
        var plain = text
        if kind != .config { plain = [2] + (try Compressor().compressed(text)) }
        let sealed = try SealingContext(key).sealed(plain)
        let id = try DigestContext.once(sealed)
        try store.put(kind == .config ? .config : BlobName(kind: kind, name: id.description), sealed)
        return id
    }

    /// The JSON text of an object whose name is its hash.
    ///
    /// - Throws: `damaged` if no store has a copy that is what its name says.
    func load(_ kind: BlobKind, _ id: ObjectID) throws -> [UInt8] {
        let name = BlobName(kind: kind, name: id.description)
        let digest = try DigestContext()
        let sealed = try store.get(name, range: nil) { bytes in
            bytes.withUnsafeBytes { (try? digest.digest($0)) == id }
        }
        guard let plain = try SealingContext(key).opened(sealed) else {
            throw HoldfastError(.damaged, "\(name) is not sealed with this repository's key")
        }
        return try unwrapped(plain, name: name)
    }

    /// The JSON text of the config; nil if no store has one that is sealed with this key.
    func loadConfig() throws -> [UInt8]? {
        let sealing = try SealingContext(key)
        var text: [UInt8]?
        do {
            // Called for the copy of each site.
            _ = try store.get(.config, range: nil) { bytes in
                guard let opened = RepositoryConfig.opened(bytes, sealing) else { return false }
                text = opened
                return true
            }
        } catch let error as HoldfastError where error.code == .damaged {
            return nil
        }
        return text
    }

    private func unwrapped(_ plain: [UInt8], name: BlobName) throws -> [UInt8] {
        switch plain.first {
        case UInt8(ascii: "{"), UInt8(ascii: "["): return plain
        case 2:
            guard let text = try Decompressor().decompressed(plain[1...]) else {
                throw HoldfastError(.damaged, "\(name) cannot be decompressed")
            }
            return text
        default: throw HoldfastError(.unsupported, "\(name) has an encoding that this version does not know")
        }
    }
}
