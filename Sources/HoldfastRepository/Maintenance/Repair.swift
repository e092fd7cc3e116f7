import HoldfastBlobStore
import HoldfastModel

/// What a repair would do: to be shown first, and executed then.
///
/// As a `PrunePlan`, it holds for the repository as it was; executing it is refused after any change.
public struct RepairPlan: Sendable {
    /// Packs that are whole, and will be in the new index.
    public let packsWhole: Int
    /// Of these, packs that no readable index file names now.
    public let packsToIndex: Int
    /// Damaged packs, of which the blobs that verify are copied into new packs.
    public let packsToSalvage: Int
    /// Damaged packs of which nothing is known, not even what is in them; they stay, and are not in the index.
    public let packsUnknown: Int
    /// Packs that the index names and that are not there; the new index does not name them.
    public let packsMissing: Int
    /// Index files that cannot be read.
    public let indexFilesDamaged: Int
    /// Blobs in damaged packs that verify.
    public let blobsToSalvage: Int
    /// Blobs of damaged and missing packs that no pack has intact: what needs them cannot be restored.
    public let blobsLost: Int

    let repository: Repository
    let listing: RepositoryListing
    let whole: [FinishedPack]
    let salvage: [PackSelection]
    let obsoletePacks: [ObjectID]
    let changesIndex: Bool

    /// Whether there is nothing to repair.
    public var isEmpty: Bool { obsoletePacks.isEmpty && !changesIndex }
}

/// What a repair did.
public struct RepairReport: Sendable, Hashable {
    /// Nil if the repository lies on one site only.
    public internal(set) var healing: HealReport?
    public internal(set) var packsIndexed = 0
    public internal(set) var packsSalvaged = 0
    public internal(set) var blobsSalvaged = 0
    public internal(set) var blobsLost = 0
}

extension Repository {
    /// Heals the sites, if there are several, and repairs what no site has intact.
    public func repair(readData: Bool = true) throws -> RepairReport {
        let healing = try healSites(readData: readData)
        var report = try planRepair(readData: readData).execute()
        report.healing = healing
        return report
    }

    /// Works out what is damaged, and what of it can be saved. Changes nothing, and takes no lock.
    ///
    /// - Parameter readData: verify every pack; without, only those of which the index says nothing or another length.
    public func planRepair(readData: Bool = true) throws -> RepairPlan {
        let inventory = try Inventory(self) { id, error in
            guard let known = error as? HoldfastError, [.damaged, .notFound, .unsupported].contains(known.code) else {
                throw error
            }
        }
        let findings = RepairFindings()
        try forEachInParallel(Array(inventory.listing.packs.keys), "holdfast-examine") { [self] in
            let reader = try reader(BlobIndex())
            return { pack in
                let isTrusted = !readData && inventory.hasExpectedSize(pack)
                let known = inventory.described[pack]
                findings.add(
                    pack, isTrusted ? .whole(known ?? []) : try reader.examine(pack, known: known))
            }
        }
        return findings.plan(for: self, inventory)
    }
}

extension RepairPlan {
    /// Carries the plan out, with the repository locked for everybody else: salvage, new index, then the old index
    /// files go, then the damaged packs.
    ///
    /// - Throws: `locked`; `conflict` if the repository changed since; `unavailable` if a site is not complete.
    @discardableResult
    public func execute() throws -> RepairReport {
        let lock = try repository.lockExclusively()
        defer { lock.release() }
        let maintenance = Maintenance(repository: repository, lock: lock)
        try maintenance.requireUnchanged(since: listing)
        var report = RepairReport()
        report.blobsLost = blobsLost
        if isEmpty { return report }
        let written = try repository.repack(salvage.filter { !$0.entries.isEmpty })
        try maintenance.replace(
            indexFiles: changesIndex ? listing.indexFiles : nil, with: whole + written, removing: obsoletePacks,
            known: nil)
        report.packsIndexed = packsToIndex
        report.packsSalvaged = packsToSalvage
        report.blobsSalvaged = written.reduce(0) { $0 + $1.entries.count }
        return report
    }
}

/// What became known of one pack.
enum PackFinding: Sendable {
    case whole([PackEntry])
    case damaged(intact: [PackEntry], lost: [PackEntry])
    /// Neither its header nor an index file says what is in it.
    case unknown
}

/// Collects findings from several threads.
private final class RepairFindings: @unchecked Sendable {
    private let condition = Condition()
    private var findings: [ObjectID: PackFinding] = [:]

    func add(_ pack: ObjectID, _ finding: PackFinding) { condition.locked { findings[pack] = finding } }

    func plan(for repository: Repository, _ inventory: Inventory) -> RepairPlan {
        var whole: [FinishedPack] = []
        var salvage: [PackSelection] = []
        var unknown = 0
        var lost: Set<BlobKey> = []
        var present: Set<BlobKey> = []
        var obsolete: [ObjectID] = []
        for (pack, finding) in condition.locked({ findings }) {
            switch finding {
            case .whole(let entries):
                whole.append(FinishedPack(id: pack, entries: entries, size: inventory.listing.packs[pack] ?? 0))
                present.formUnion(entries.map { BlobKey($0) })
            case .damaged(let intact, let broken):
                salvage.append(PackSelection(pack: pack, entries: intact))
                lost.formUnion(broken.map { BlobKey($0) })
                obsolete.append(pack)
            case .unknown: unknown += 1
            }
        }
        salvage = salvage.map { selection in
            // Once is enough, and not at all if a whole pack has it.
            let needed = selection.entries.filter { present.insert(BlobKey($0)).inserted }
            return PackSelection(pack: selection.pack, entries: needed)
        }
        let missing = inventory.described.keys.filter { inventory.listing.packs[$0] == nil }
        for pack in missing { lost.formUnion((inventory.described[pack] ?? []).map { BlobKey($0) }) }
        let indexed = whole.count { Set(inventory.described[$0.id] ?? []) == Set($0.entries) }
        let described = inventory.described.count
        return RepairPlan(
            packsWhole: whole.count, packsToIndex: whole.count - indexed, packsToSalvage: salvage.count,
            packsUnknown: unknown, packsMissing: missing.count,
            indexFilesDamaged: inventory.unreadableIndexFiles.count,
            blobsToSalvage: salvage.reduce(0) { $0 + $1.entries.count },
            blobsLost: lost.subtracting(present).count, repository: repository, listing: inventory.listing,
            whole: whole, salvage: salvage, obsoletePacks: obsolete,
            changesIndex: indexed != whole.count || described != whole.count
                || !inventory.unreadableIndexFiles.isEmpty)
    }
}

extension BlobReader {
    /// Reads a pack, verifies it, and finds out what is in it.
    ///
    /// - Parameter known: what the index says; nil if it says nothing.
    func examine(_ pack: ObjectID, known: [PackEntry]?) throws -> PackFinding {
        let name = BlobName(kind: .data, name: pack.description)
        do {
            let bytes = try store.get(name, range: nil) { bytes in
                bytes.withUnsafeBytes { (try? self.digest($0)) == pack }
            }
            if let entries = try header(of: bytes), try areIntact(entries, in: bytes) { return .whole(entries) }
        } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {}
        guard let entries = try known ?? damagedHeader(name) else { return .unknown }
        var intact: [PackEntry] = []
        var lost: [PackEntry] = []
        for entry in entries {
            if try intactCopy(of: entry, in: pack) != nil { intact.append(entry) } else { lost.append(entry) }
        }
        return .damaged(intact: intact, lost: lost)
    }

    private func areIntact(_ entries: [PackEntry], in bytes: [UInt8]) throws -> Bool {
        try bytes.withUnsafeBytes { bytes in
            try entries.allSatisfy { entry in
                let location = BlobLocation(entry, pack: 0)
                guard let sealed = bytes.part(location.range) else { return false }
                return try unseal(sealed, location) != nil
            }
        }
    }

    /// The entries of a pack whose other bytes may be damaged; nil if the header is, too.
    private func damagedHeader(_ name: BlobName) throws -> [PackEntry]? {
        do { return try header(of: store.get(name)) } catch let error as HoldfastError where error.code == .damaged {
            return nil
        }
    }

    /// The entries that the header at the end of a pack names; nil if it is damaged.
    func header(of bytes: [UInt8]) throws -> [PackEntry]? {
        guard bytes.count >= 4 else { return nil }
        let length = Int(PackHeader.number(bytes, at: bytes.count - 4))
        guard length <= bytes.count - 4,
            let text = try open(Array(bytes[(bytes.count - 4 - length)..<bytes.count - 4]))
        else { return nil }
        return PackHeader.decode(text)
    }
}
