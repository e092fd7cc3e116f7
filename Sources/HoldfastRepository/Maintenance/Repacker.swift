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
        let packs = PackWriter(store: store, key: key, gate: WorkGate(), builderLimit: 1)
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
    /// Blobs that are so close together in a pack are read with one call, what lies between them included.
    private static let largestGap = 256 << 10
    /// The longest such range, unless one blob is longer.
    private static let longestRange = 1 << 20

    /// Reads what is selected of a pack, and hands over the sealed bytes of each blob when it is verified.
    ///
    /// - Throws: `damaged` if a blob is damaged in every copy that the store has.
    func copyBlobs(of selection: PackSelection, _ body: (PackEntry, UnsafeRawBufferPointer) throws -> Void) throws {
        let name = BlobName(kind: .data, name: selection.pack.description)
        let entries = selection.entries.sorted { $0.offset < $1.offset }
        var next = entries.startIndex
        while next < entries.endIndex {
            let group = Self.neighbours(from: next, in: entries)
            next = group.entries.endIndex
            let bytes = try part(group.range, of: name)
            for entry in group.entries {
                let range = BlobLocation(entry, pack: 0).range
                let isCopied = try bytes.withUnsafeBytes { bytes -> Bool in
                    let start = range.lowerBound - group.range.lowerBound
                    guard let sealed = bytes.part(start..<start + range.count), try isIntact(sealed, entry) else {
                        return false
                    }
                    try body(entry, sealed)
                    return true
                }
                if isCopied { continue }
                // Another site may have it intact.
                guard let sealed = try intactCopy(of: entry, in: selection.pack) else {
                    throw HoldfastError(
                        .damaged, "\(entry.type.name) blob \(entry.id) in \(name) is damaged",
                        hint: "Repair the repository")
                }
                try sealed.withUnsafeBytes { try body(entry, $0) }
            }
        }
    }

    /// Blobs that are read together, and where they lie.
    private static func neighbours(
        from first: Int, in entries: [PackEntry]
    ) -> (entries: ArraySlice<PackEntry>, range: Range<Int>) {
        var range = BlobLocation(entries[first], pack: 0).range
        var end = first + 1
        while end < entries.endIndex {
            let next = BlobLocation(entries[end], pack: 0).range
            guard next.lowerBound <= range.upperBound + largestGap,
                next.upperBound - range.lowerBound <= longestRange || next.upperBound <= range.upperBound
            else { break }
            range = range.lowerBound..<max(range.upperBound, next.upperBound)
            end += 1
        }
        return (entries[first..<end], range)
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

    /// Bytes of a pack, whatever they are worth; none if they cannot be read.
    private func part(_ range: Range<Int>, of name: BlobName) throws -> [UInt8] {
        do { return try store.get(name, range: range) } catch let error as HoldfastError where error.code == .damaged {
            return []
        }
    }
}
