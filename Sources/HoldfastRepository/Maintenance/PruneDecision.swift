import HoldfastModel

/// Which packs stay, which are rewritten and which go: decided from what is in them and what is used.
struct PruneDecision: Sendable {
    /// One pack that is there and whole.
    struct Pack: Sendable {
        let id: ObjectID
        let size: Int
        let entries: [PackEntry]
    }

    private(set) var kept: [Pack] = []
    private(set) var repacked: [PackSelection] = []
    private(set) var removed: [Pack] = []
    /// Of the packs to be repacked, as they are now.
    private(set) var repackedSize = 0
    /// What is needed of them, with its part of the headers.
    private(set) var movedSize = 0
    /// In the packs that stay.
    private(set) var unusedSize = 0
    /// Copies of blobs that are used from another pack.
    private(set) var duplicates = 0

    /// - Parameters:
    ///   - packs: in any order.
    ///   - used: what the snapshots need.
    ///   - options: how much may be unused afterwards, and which packs may be rewritten for that.
    init(packs: [Pack], used: Set<BlobKey>, options: PruneOptions) {
        let multiple = Self.multipleBlobs(packs, used)
        // Who has most that only he has keeps the copies, so that others can go as a whole.
        let ordered = packs.map { pack in
            let own = pack.entries.lazy.map { entry -> Int in
                let key = BlobKey(entry)
                return used.contains(key) && !multiple.contains(key) ? Self.bytes(of: entry) : 0
            }
            return (pack: pack, own: own.reduce(0, +))
        }.sorted { ($0.own, $0.pack.id.description) > ($1.own, $1.pack.id.description) }
        var unclaimed = multiple
        var candidates: [(pack: Pack, needed: [PackEntry], unused: Int)] = []
        var needed = 0
        for (pack, _) in ordered {
            let entries = pack.entries.filter { entry in
                let key = BlobKey(entry)
                guard used.contains(key) else { return false }
                if !multiple.contains(key) || unclaimed.remove(key) != nil { return true }
                duplicates += 1
                return false
            }
            let size = entries.reduce(0) { $0 + Self.bytes(of: $1) }
            needed += size
            if entries.isEmpty {
                removed.append(pack)
            } else if entries.count == pack.entries.count {
                kept.append(pack)
            } else {
                candidates.append((pack, entries, pack.entries.reduce(-size) { $0 + Self.bytes(of: $1) }))
            }
        }
        choose(candidates, limit: Self.limit(needed: needed, options), options)
        if options.repacksSmall { repackSmall(options) }
    }

    /// Repacks those first that give back most for what is copied, until little enough is unused.
    private mutating func choose(
        _ candidates: [(pack: Pack, needed: [PackEntry], unused: Int)], limit: Double, _ options: PruneOptions
    ) {
        unusedSize = candidates.reduce(0) { $0 + $1.unused }
        let ordered = candidates.sorted { left, right in
            let one = Double(left.unused) / Double(left.pack.size)
            let two = Double(right.unused) / Double(right.pack.size)
            return (one, left.pack.id.description) > (two, right.pack.id.description)
        }
        for (pack, needed, unused) in ordered {
            guard Double(unusedSize) > limit, mayRepack(pack, options) else {
                kept.append(pack)
                continue
            }
            unusedSize -= unused
            repackedSize += pack.size
            movedSize += needed.reduce(0) { $0 + Self.bytes(of: $1) }
            repacked.append(PackSelection(pack: pack.id, entries: needed))
        }
    }

    private func mayRepack(_ pack: Pack, _ options: PruneOptions) -> Bool {
        if options.repacksTreesOnly && pack.entries.contains(where: { $0.type != .tree }) { return false }
        guard let most = options.maxRepackBytes else { return true }
        return repackedSize + pack.size <= most
    }

    /// Adds packs that are far from full, if there are several of a type.
    private mutating func repackSmall(_ options: PruneOptions) {
        for type in [BlobType.tree, .data] {
            let small = kept.filter { $0.size < PackBuilder.targetSize * 4 / 5 && $0.entries.first?.type == type }
            guard small.count > 1 else { continue }
            var leaving: Set<ObjectID> = []
            for pack in small where mayRepack(pack, options) {
                leaving.insert(pack.id)
                repackedSize += pack.size
                movedSize += pack.entries.reduce(0) { $0 + Self.bytes(of: $1) }
                repacked.append(PackSelection(pack: pack.id, entries: pack.entries))
            }
            kept.removeAll { leaving.contains($0.id) }
        }
    }

    /// Used blobs that lie in more than one place.
    private static func multipleBlobs(_ packs: [Pack], _ used: Set<BlobKey>) -> Set<BlobKey> {
        var seen: Set<BlobKey> = []
        seen.reserveCapacity(used.count)
        var multiple: Set<BlobKey> = []
        for pack in packs {
            for entry in pack.entries {
                let key = BlobKey(entry)
                if used.contains(key) && !seen.insert(key).inserted { multiple.insert(key) }
            }
        }
        return multiple
    }

    private static func limit(needed: Int, _ options: PruneOptions) -> Double {
        if let most = options.maxUnusedBytes { return Double(most) }
        let percent = options.maxUnusedPercent
        return percent >= 100 ? .infinity : Double(needed) * max(percent, 0) / (100 - max(percent, 0))
    }

    /// Of a blob with its entry in the header.
    private static func bytes(of entry: PackEntry) -> Int { Int(entry.length) + entry.headerSize }
}
