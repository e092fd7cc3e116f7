import HoldfastBlobStore
import HoldfastModel

/// How a prune is done.
public struct PruneOptions: Sendable, Hashable {
    /// How much of the repository may be unused afterwards, 0 to 100: less means more copying.
    public var maxUnusedPercent: Double
    /// So much may be unused, whatever share that is; nil if the percentage counts.
    package var maxUnusedBytes: Int64?
    /// Packs of at most so many bytes in all are rewritten; nil for no limit.
    package var maxRepackBytes: Int?
    /// Rewrite only packs of trees, which are small and which readers need first.
    package var repacksTreesOnly = false
    /// Rewrite packs that are much smaller than they should be into fewer large ones.
    package var repacksSmall = false

    public init(maxUnusedPercent: Double = 5) { self.maxUnusedPercent = maxUnusedPercent }
}

/// What a prune would do: to be shown first, and executed then.
///
/// A plan holds for the repository as it was when it was made. If anything was written or removed since, executing it
/// is refused, and nothing is touched.
public struct PrunePlan: Sendable {
    /// Packs that stay as they are.
    public let packsKept: Int
    /// Packs of which the needed part is copied into new ones.
    public let packsRepacked: Int
    /// Packs in which nothing is needed.
    public let packsRemoved: Int
    /// Packs that no index file names: left by backups that did not end.
    public let packsUnreferenced: Int
    /// Packs that are missing or have another length than the index says, and of which nothing is needed.
    public let packsDamaged: Int
    /// Copies of blobs that are there more than once.
    public let duplicateBlobs: Int
    /// Blobs that the snapshots need.
    public let usedBlobs: Int
    /// Bytes of all packs now.
    public let bytesBefore: Int
    /// Bytes that have to be copied.
    public let bytesToCopy: Int
    /// Bytes of packs that the prune gives back, headers of new packs neglected.
    public let bytesFreed: Int
    /// Bytes that stay although nobody needs them.
    public let bytesUnused: Int

    let repository: Repository
    let listing: RepositoryListing
    let kept: [FinishedPack]
    let repacked: [PackSelection]
    let obsoletePacks: [ObjectID]
    /// Whether the index files name anything that goes.
    let changesIndex: Bool

    /// Whether executing it would change nothing.
    public var isEmpty: Bool { obsoletePacks.isEmpty && !changesIndex }
}

/// What a prune did.
public struct PruneReport: Sendable, Hashable {
    public internal(set) var packsRemoved = 0
    public internal(set) var packsWritten = 0
    /// Bytes of packs now less than before.
    public internal(set) var bytesFreed = 0
}

extension Repository {
    /// Works out what can be removed or rewritten. Changes nothing, and takes no lock.
    ///
    /// - Throws: `damaged` if a snapshot, an index file, a tree or a pack that is needed is not whole: then nobody
    ///   knows what may go. `invalidInput` for a percentage outside of 0 to 100.
    public func planPrune(_ options: PruneOptions = PruneOptions()) throws -> PrunePlan {
        try planPrune(options, without: [])
    }

    /// As `planPrune`, for the repository as it will be.
    ///
    /// - Parameter forgotten: snapshots that are still there and are to be taken for forgotten. While one of them is
    ///   there, executing the plan is refused with `conflict`.
    package func planPrune(
        _ options: PruneOptions, without forgotten: Set<SnapshotID>
    ) throws -> PrunePlan {
        guard (0...100).contains(options.maxUnusedPercent) else {
            throw HoldfastError(
                .invalidInput, "\(options.maxUnusedPercent) is not a percentage", hint: "Give 0 to 100")
        }
        let inventory = try Inventory(self)
        let index = inventory.usableIndex()
        let listing = inventory.listing.without(Set(forgotten.map(\.object)))
        let used = try usedBlobs(of: listing.snapshots, index)
        for blob in used where !index.contains(blob.id, blob.type) {
            throw HoldfastError(
                .damaged, "\(blob.type.name) blob \(blob.id) is needed, and no whole pack has it",
                hint: "Repair the repository before pruning it")
        }
        let whole = inventory.described.keys.filter { inventory.hasExpectedSize($0) }
        let damaged = inventory.described.keys.filter { !inventory.hasExpectedSize($0) }
        let decision = PruneDecision(
            packs: whole.map { id in
                PruneDecision.Pack(
                    id: id, size: inventory.listing.packs[id] ?? 0, entries: inventory.described[id] ?? [])
            }, used: used, options: options)
        let goingSize = (decision.removed.map(\.id) + inventory.unreferenced + damaged).reduce(0) {
            $0 + (inventory.listing.packs[$1] ?? 0)
        }
        let leaving = decision.removed.map(\.id) + decision.repacked.map(\.pack) + damaged
        return PrunePlan(
            packsKept: decision.kept.count, packsRepacked: decision.repacked.count,
            packsRemoved: decision.removed.count, packsUnreferenced: inventory.unreferenced.count,
            packsDamaged: damaged.count, duplicateBlobs: decision.duplicates, usedBlobs: used.count,
            bytesBefore: inventory.listing.packs.values.reduce(0, +), bytesToCopy: decision.movedSize,
            bytesFreed: goingSize + decision.repackedSize - decision.movedSize, bytesUnused: decision.unusedSize,
            repository: self, listing: listing,
            kept: decision.kept.map { FinishedPack(id: $0.id, entries: $0.entries, size: $0.size) },
            repacked: decision.repacked,
            obsoletePacks: (leaving + inventory.unreferenced).filter { inventory.listing.packs[$0] != nil },
            changesIndex: !leaving.isEmpty)
    }
}

extension PrunePlan {
    /// Carries the plan out, with the repository locked for everybody else.
    ///
    /// Wherever it is interrupted, all snapshots stay restorable, and the next prune removes what is left over.
    ///
    /// - Parameter mayGoOn: called before each pack that is copied, by several threads, and before anything goes; what
    ///   it throws ends the prune there, and is thrown.
    /// - Throws: `locked`; `conflict` if the repository changed since the plan was made; `damaged` if something that is
    ///   to be copied is; `unavailable` if no site is complete. One that is not is given what it missed, and told what
    ///   went, by `healSites`.
    @discardableResult
    public func execute(mayGoOn: @escaping @Sendable () throws -> Void = {}) throws -> PruneReport {
        let lock = try repository.lockExclusively()
        defer { lock.release() }
        try Maintenance(repository: repository, lock: lock).requireUnchanged(since: listing)
        if isEmpty { return PruneReport() }
        let written = try repository.repack(repacked, mayGoOn: mayGoOn)
        try mayGoOn()
        try Maintenance(repository: repository, lock: lock).replace(
            indexFiles: changesIndex ? listing.indexFiles : nil, with: kept + written, removing: obsoletePacks,
            known: listing.snapshots)
        let removedSize = obsoletePacks.reduce(0) { $0 + (listing.packs[$1] ?? 0) }
        return PruneReport(
            packsRemoved: obsoletePacks.count, packsWritten: written.count,
            bytesFreed: written.reduce(removedSize) { $0 - $1.size })
    }
}

/// The steps that prune and repair share, with the exclusive lock held.
struct Maintenance {
    let repository: Repository
    let lock: LockKeeper

    /// - Throws: `conflict` if the store lists other things now; `unavailable` if no site is complete.
    func requireUnchanged(since listing: RepositoryListing) throws {
        guard try RepositoryListing(repository.store) == listing else {
            throw HoldfastError(
                .conflict, "the repository changed since the plan was made", hint: "Make a new plan")
        }
        try repository.requireOneWholeSite()
    }

    /// New index files first, then the old ones go, then packs: every prefix of this is a whole repository.
    ///
    /// - Parameters:
    ///   - indexFiles: the old ones; nil if the index stays as it is.
    ///   - packs: all that the new index names; they are durable.
    ///   - obsolete: packs that the index does not name afterwards.
    ///   - known: the snapshots that were looked at, if the new index names all that they need; else nil.
    func replace(
        indexFiles: Set<ObjectID>?, with packs: [FinishedPack], removing obsolete: [ObjectID],
        known: Set<ObjectID>?
    ) throws {
        func remove(_ objects: some Sequence<ObjectID>, _ kind: BlobKind) throws {
            let names = objects.map { BlobName(kind: kind, name: $0.description) }
            // Looked for each time: this process may have stood still for long, and another one begun to work.
            try repository.remove(names, known: known) { try lock.requireHeld() }
        }
        if let indexFiles {
            try repository.saveIndex(packs)
            try remove(indexFiles, .index)
        }
        try remove(obsolete, .data)
    }
}
