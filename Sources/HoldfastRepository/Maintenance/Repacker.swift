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
    /// - Parameter mayGoOn: called before each pack, by several threads; if it throws, no more are copied.
    /// - Returns: the new packs, which are durable.
    /// - Throws: `damaged` naming a blob of which no intact copy can be read; what `mayGoOn` throws.
    func repack(
        _ selections: [PackSelection], mayGoOn: @escaping @Sendable () throws -> Void = {}
    ) throws -> [FinishedPack] {
        if selections.isEmpty { return [] }
        let packs = PackWriter(store: store, key: key, gate: WorkGate(), builderLimit: 1)
        packs.start()
        defer { packs.close() }
        try forEachInParallel(selections, "holdfast-repack") { [self] in
            let reader = try reader(BlobIndex())
            let sealing = try SealingContext(key)
            return { selection in
                try mayGoOn()
                try reader.copyBlobs(of: selection) { entry, sealed, _ in
                    try packs.fill(entry.type, mayWait: true, sealing: sealing) { try $0.append(entry, sealed: sealed) }
                }
            }
        }
        return try packs.flush(sealing: SealingContext(key))
    }
}

extension BlobReader {
    /// The longest range that is read with one call, unless one blob is longer.
    private static let longestRange = 1 << 20

    /// Reads what is selected of a pack, and hands over the sealed and the plain bytes of each blob, verified.
    ///
    /// - Parameter body: the plain bytes are there until the reader opens another blob.
    /// - Throws: `damaged` if a blob is damaged in every copy that the store has.
    func copyBlobs(
        of selection: PackSelection,
        _ body: (PackEntry, _ sealed: UnsafeRawBufferPointer, _ plain: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let name = BlobName(kind: .data, name: selection.pack.description)
        let entries = selection.entries.sorted { $0.offset < $1.offset }
        var next = entries.startIndex
        while next < entries.endIndex {
            let start = next
            guard
                let group = Neighbours.group(
                    start..<entries.endIndex, longest: Self.longestRange, { BlobLocation(entries[$0], pack: 0).range })
            else { return }
            next = group.end
            let bytes = try part(group.range, of: name)
            for entry in entries[start..<next] {
                let range = BlobLocation(entry, pack: 0).range
                let isCopied = try bytes.withUnsafeBytes { bytes -> Bool in
                    let start = range.lowerBound - group.range.lowerBound
                    guard let sealed = bytes.part(start..<start + range.count) else { return false }
                    return try hand(entry, sealed, to: body)
                }
                if isCopied { continue }
                // Another site may have it intact.
                let copy = try intactCopy(of: entry, in: selection.pack) ?? []
                guard try copy.withUnsafeBytes({ try hand(entry, $0, to: body) }) else {
                    throw HoldfastError(
                        .damaged, "\(entry.type.name) blob \(entry.id) in \(name) is damaged",
                        hint: "Repair the repository")
                }
            }
        }
    }

    /// Verifies a blob, and hands it over if it is whole.
    private func hand(
        _ entry: PackEntry, _ sealed: UnsafeRawBufferPointer,
        to body: (PackEntry, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        guard let plain = try unseal(sealed, BlobLocation(entry, pack: 0)) else { return false }
        try body(entry, sealed, plain)
        return true
    }

    /// The sealed bytes of a blob from whichever site has them intact; nil if none has.
    func intactCopy(of entry: PackEntry, in pack: ObjectID) throws -> [UInt8]? {
        let name = BlobName(kind: .data, name: pack.description)
        do {
            return try store.get(name, range: BlobLocation(entry, pack: 0).range) { bytes in
                bytes.withUnsafeBytes { ((try? self.unseal($0, BlobLocation(entry, pack: 0))) ?? nil) != nil }
            }
        } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
            return nil
        }
    }

    /// Bytes of a pack, whatever they are worth; none if they cannot be read.
    private func part(_ range: Range<Int>, of name: BlobName) throws -> [UInt8] {
        do { return try store.get(name, range: range) } catch let error as HoldfastError where error.code == .damaged {
            return []
        }
    }
}
