import HoldfastBlobStore
import HoldfastModel

/// Some blobs of one pack.
struct PackSelection: Sendable {
    let pack: ObjectID
    let entries: [PackEntry]
}

extension Repository {
    /// Copies blobs into new packs, after verifying each of them; nothing is indexed or removed.
    ///
    /// - Returns: the new packs, which are durable.
    /// - Throws: `damaged` naming a blob of which no intact copy can be read.
    func repack(_ selections: [PackSelection]) throws -> [FinishedPack] {
        if selections.isEmpty { return [] }
        let packs = PackWriter(store: store, key: key, gate: WorkGate())
        packs.start()
        defer { packs.close() }
        try forEachInParallel(selections, "holdfast-repack") { [self] in
            let reader = try reader(BlobIndex())
            let sealing = try SealingContext(key)
            return { selection in
                try reader.copyBlobs(of: selection) { entry, sealed in
                    let pack = try packs.take(entry.type, mayWait: true)
                    try pack.append(entry, sealed: sealed)
                    try packs.give(pack, sealing: sealing)
                }
            }
        }
        return try packs.flush(sealing: SealingContext(key))
    }
}

extension BlobReader {
    /// Reads a pack once, and hands over the sealed bytes of each selected blob when it is verified.
    ///
    /// - Throws: `damaged` if a blob is damaged in every copy that the store has.
    func copyBlobs(of selection: PackSelection, _ body: (PackEntry, UnsafeRawBufferPointer) throws -> Void) throws {
        let name = BlobName(kind: .data, name: selection.pack.description)
        let bytes = try wholePack(name)
        for entry in selection.entries {
            let range = BlobLocation(entry, pack: 0).range
            let isCopied = try bytes.withUnsafeBytes { bytes -> Bool in
                guard let sealed = bytes.part(range), try isIntact(sealed, entry) else { return false }
                try body(entry, sealed)
                return true
            }
            if isCopied { continue }
            // Another site may have it intact.
            guard let sealed = try intactCopy(of: entry, in: selection.pack) else {
                throw HoldfastError(
                    .damaged, "\(entry.type.name) blob \(entry.id) in \(name) is damaged", hint: "Repair the repository"
                )
            }
            try sealed.withUnsafeBytes { try body(entry, $0) }
        }
    }

    /// The sealed bytes of a blob from whichever site has them intact; nil if none has.
    func intactCopy(of entry: PackEntry, in pack: ObjectID) throws -> [UInt8]? {
        let name = BlobName(kind: .data, name: pack.description)
        do {
            return try store.get(name, range: BlobLocation(entry, pack: 0).range) { bytes in
                bytes.withUnsafeBytes { (try? self.isIntact($0, entry)) ?? false }
            }
        } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
            return nil
        }
    }

    private func isIntact(_ sealed: UnsafeRawBufferPointer, _ entry: PackEntry) throws -> Bool {
        try unseal(sealed, BlobLocation(entry, pack: 0)) != nil
    }

    /// All bytes of a pack, whatever they are worth; none if it cannot be read as a whole.
    private func wholePack(_ name: BlobName) throws -> [UInt8] {
        do { return try store.get(name) } catch let error as HoldfastError where error.code == .damaged { return [] }
    }
}
