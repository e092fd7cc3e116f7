import CHoldfastFiles
import HoldfastBlobStore
import HoldfastModel

/// What the store lists at one moment; two that are equal mean that nobody wrote or removed anything in between.
struct RepositoryListing: Sendable, Hashable {
    let snapshots: Set<ObjectID>
    let indexFiles: Set<ObjectID>
    /// Bytes of each pack.
    let packs: [ObjectID: Int]

    init(_ store: any BlobStore) throws {
        func ids(_ kind: BlobKind) throws -> [(ObjectID, Int)] {
            try store.list(kind).compactMap { entry in ObjectID(hex: entry.name.name).map { ($0, entry.size) } }
        }
        snapshots = Set(try ids(.snapshot).map(\.0))
        indexFiles = Set(try ids(.index).map(\.0))
        packs = Dictionary(try ids(.data)) { max($0, $1) }
    }

    private init(snapshots: Set<ObjectID>, indexFiles: Set<ObjectID>, packs: [ObjectID: Int]) {
        self.snapshots = snapshots
        self.indexFiles = indexFiles
        self.packs = packs
    }

    /// What will be listed once these snapshots are forgotten.
    func without(_ forgotten: Set<ObjectID>) -> RepositoryListing {
        RepositoryListing(snapshots: snapshots.subtracting(forgotten), indexFiles: indexFiles, packs: packs)
    }
}

/// One blob, wherever it lies.
struct BlobKey: Hashable, Sendable {
    let id: ObjectID
    let type: BlobType

    init(_ id: ObjectID, _ type: BlobType) {
        self.id = id
        self.type = type
    }

    init(_ entry: PackEntry) { self.init(entry.id, entry.type) }
}

/// The listings, and what the index files say of each pack: what maintenance decides on.
struct Inventory: Sendable {
    let listing: RepositoryListing
    /// Entries by offset, each once, of every pack that a readable index file names.
    private(set) var described: [ObjectID: [PackEntry]] = [:]
    private(set) var unreadableIndexFiles: Set<ObjectID> = []

    /// - Parameter unreadable: called for each index file that cannot be read; if it throws, so does this.
    init(_ repository: Repository, unreadable: (ObjectID, any Error) throws -> Void = { throw $1 }) throws {
        listing = try RepositoryListing(repository.store)
        for id in listing.indexFiles {
            do {
                for pack in try IndexFile.decode(repository.files.load(.index, id), name: id) {
                    let known = described[pack.id] ?? []
                    let all = known.isEmpty ? pack.entries : Array(Set(known).union(pack.entries))
                    described[pack.id] = all.sorted { ($0.offset, $0.id.prefix) < ($1.offset, $1.id.prefix) }
                }
            } catch {
                try unreadable(id, error)
                unreadableIndexFiles.insert(id)
            }
        }
        holdfast_trim_memory()
    }

    /// Whether a pack is there with the length that its index entries ask for.
    func hasExpectedSize(_ pack: ObjectID) -> Bool {
        guard let entries = described[pack], let size = listing.packs[pack] else { return false }
        return size == entries.reduce(PackHeader.sealedSize(entries)) { $0 + Int($1.length) }
    }

    /// Packs that are listed, and that no index file names.
    var unreferenced: [ObjectID] { listing.packs.keys.filter { described[$0] == nil } }

    /// An index of the packs that are there with their whole length.
    func usableIndex() -> BlobIndex {
        let index = BlobIndex()
        index.add(described.filter { hasExpectedSize($0.key) }.map { (id: $0.key, entries: $0.value) })
        return index
    }
}

extension Repository {
    /// All blobs that the snapshots need.
    ///
    /// - Throws: `damaged` if a snapshot or a tree cannot be read: nobody knows then what is needed.
    func usedBlobs(of snapshots: some Sequence<ObjectID>, _ index: BlobIndex) throws -> Set<BlobKey> {
        let reader = try reader(index)
        var used: Set<BlobKey> = []
        for id in snapshots {
            var open = [try snapshot(SnapshotID(id)).treeID]
            while let tree = open.popLast() {
                guard used.insert(BlobKey(tree, .tree)).inserted else { continue }
                for node in try reader.tree(tree) {
                    if let subtree = node.subtree { open.append(subtree) }
                    for blob in node.content.ids { used.insert(BlobKey(blob, .data)) }
                }
            }
        }
        return used
    }

    /// Stores index files for packs that are durable.
    ///
    /// - Returns: their names.
    @discardableResult
    func saveIndex(_ packs: some Sequence<FinishedPack>) throws -> [ObjectID] {
        var names: [ObjectID] = []
        var group: [FinishedPack] = []
        var blobs = 0
        for pack in packs {
            group.append(pack)
            blobs += pack.entries.count
            if blobs >= IndexFile.blobLimit {
                names.append(try files.save(IndexFile.encode(group), as: .index))
                group = []
                blobs = 0
            }
        }
        if !group.isEmpty { names.append(try files.save(IndexFile.encode(group), as: .index)) }
        return names
    }

    /// Refuses to go on while no site is complete: nothing would be left that is known to hold everything.
    func requireOneWholeSite() throws {
        guard let sites = store as? ReplicatedBlobStore else { return }
        let report = sites.report()
        guard !report.contains(where: \.isComplete), let site = report.first else { return }
        throw HoldfastError(
            .unavailable, "no site is complete; site '\(site.name)': \(site.problem ?? "it did not answer")",
            hint: "Heal the sites first")
    }
}
