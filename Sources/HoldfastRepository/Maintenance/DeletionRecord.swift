import HoldfastBlobStore
import HoldfastModel

/// What was removed on purpose. It is stored before anything is removed, and stays until every site has removed it: a
/// site that was away then deletes what it still holds, instead of giving it back to the others.
///
/// The text is sealed and named as all others, so that nobody without the repository's key can condemn anything:
///
/// ```json
/// {"version":1,"time":"…","snapshots":["…"],"indexes":["…"],"packs":["…"],"keys":["…"],"known":["…"],"standing":["…"],
/// "seen":["…"]}
/// ```
///
/// A name condemned once is condemned for ever: names are hashes of sealed bytes with a random nonce, and never recur.
struct DeletionRecord: Sendable, Hashable {
    private static let kinds: [(kind: BlobKind, key: StaticString)] = [
        (.snapshot, "snapshots"), (.index, "indexes"), (.data, "packs"), (.key, "keys"),
    ]

    var time: Timestamp
    /// Of the kinds snapshot, index, data and key.
    var names: Set<BlobName>
    /// The snapshots of which whoever removed packs or index files made sure that they have all they need elsewhere;
    /// empty for other removals.
    var known: Set<ObjectID> = []
    /// The index files that name what these snapshots need.
    var standing: Set<ObjectID> = []
    /// The records before it whose packs and index files were taken for gone in doing so.
    var seen: Set<ObjectID> = []

    /// Whether packs or index files are named, of which a snapshot that nobody knew might need something.
    var removesContents: Bool { names.contains(where: \.isContent) }

    init(time: Timestamp, names: Set<BlobName>) {
        self.time = time
        self.names = names
    }

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"version\":1,\"time\":")
        writer.time(time)
        for (kind, key) in Self.kinds {
            writer.literal(",\"")
            writer.literal(key)
            writer.literal("\":")
            Self.write(names.filter { $0.kind == kind }.map(\.name).sorted(), &writer)
        }
        writer.literal(",\"known\":")
        Self.write(known.map(\.description).sorted(), &writer)
        writer.literal(",\"standing\":")
        Self.write(standing.map(\.description).sorted(), &writer)
        writer.literal(",\"seen\":")
        Self.write(seen.map(\.description).sorted(), &writer)
        writer.literal("}")
        return writer.bytes
    }

    private static func write(_ names: [String], _ writer: inout JSONWriter) {
        writer.literal("[")
        for (number, name) in names.enumerated() {
            if number > 0 { writer.literal(",") }
            writer.string(name)
        }
        writer.literal("]")
    }

    /// - Throws: `damaged`; `unsupported` if a newer version wrote it.
    init(decoding bytes: [UInt8], id: ObjectID) throws {
        var record = DeletionRecord(time: .zero, names: [])
        var version = 0
        try JSONReader.read(bytes, what: "deletion record \(id)") { reader in
            try reader.object { key, reader in
                if key == "version" {
                    version = try reader.integer()
                } else if key == "time" {
                    record.time = try reader.time()
                } else if key == "known" {
                    try reader.array { reader in record.known.insert(try reader.objectID()) }
                } else if key == "standing" {
                    try reader.array { reader in record.standing.insert(try reader.objectID()) }
                } else if key == "seen" {
                    try reader.array { reader in record.seen.insert(try reader.objectID()) }
                } else if let kind = Self.kinds.first(where: { key == $0.key })?.kind {
                    try reader.array { reader in
                        record.names.insert(BlobName(kind: kind, name: try reader.objectID().description))
                    }
                } else {
                    try reader.skipValue()
                }
            }
        }
        guard version == 1 else {
            throw HoldfastError(
                .unsupported, "deletion record \(id) has version \(version), known is 1", hint: "Use a newer holdfast")
        }
        self = record
    }
}

/// All deletion records that could be read.
struct DeletionRecords: Sendable {
    var records: [ObjectID: DeletionRecord] = [:]

    var names: Set<BlobName> { records.values.reduce(into: []) { $0.formUnion($1.names) } }

    /// The snapshots that have all they need if everything which the records name is gone: what the last removal looked
    /// at, if it knew of all others. Two that did not know of each other may each have left what the other one took.
    ///
    /// - Parameter indexFiles: those at hand. A site may have a record, and be without what replaces the rest.
    func satisfied(with indexFiles: Set<BlobName>) -> Set<ObjectID> {
        let removals = records.filter { $0.value.removesContents }
        let last = removals.first { id, record in removals.keys.allSatisfy { $0 == id || record.seen.contains($0) } }?
            .value
        guard let last, !last.standing.isEmpty,
            last.standing.allSatisfy({ indexFiles.contains(BlobName(kind: .index, name: $0.description)) })
        else { return [] }
        return last.known
    }
}

extension Repository {
    /// Removes objects so that they stay removed: recorded first on every site that can be reached, then deleted.
    ///
    /// Snapshots go wherever they can be reached; index files, packs and keys only on sites that hold everything which
    /// replaces them. The record goes when all sites are done, else with the next `healSites`.
    ///
    /// - Parameters:
    ///   - names: of the kinds snapshot, index, data and key.
    ///   - known: the snapshots that were looked at when it was decided, if all of them have what they need elsewhere;
    ///     nil if not, or if no packs and no index files go.
    ///   - mayGoOn: called before each deletion; if it throws, nothing more is deleted.
    /// - Throws: `unavailable`; then nothing, or some of it, is deleted, and the record finishes it later.
    func remove(_ names: [BlobName], known: Set<ObjectID>? = nil, mayGoOn: () throws -> Void = {}) throws {
        if names.isEmpty { return }
        let sites = store as? ReplicatedBlobStore
        guard try (sites?.sites.count ?? 0) > 1 || isOneOfSeveralSites() else {
            for name in names {
                try mayGoOn()
                try store.delete(name)
            }
            return
        }
        try mayGoOn()
        var record = DeletionRecord(time: Timestamp(time.now()), names: Set(names))
        if let known {
            record.known = known
            record.standing = Set(
                try store.list(.index).filter { !record.names.contains($0.name) }.compactMap {
                    ObjectID(hex: $0.name.name)
                })
            record.seen = honoured.withLock { $0 }
        }
        let id = try files.save(record.encoded(), as: .deletion)
        for name in names {
            try mayGoOn()
            if let sites, name.kind != .snapshot {
                try sites.deleteOnWholeSites(name)
            } else {
                try store.delete(name)
            }
        }
        guard let sites else { return }
        sites.condemn(also: names)
        _ = honoured.withLock { $0.insert(id) }
        if sites.report().allSatisfy(\.isComplete) { try store.delete(BlobName(kind: .deletion, name: id.description)) }
    }

    /// Whether this store is only one site of a repository that has several: then the others must learn of a deletion.
    private func isOneOfSeveralSites() throws -> Bool {
        try !store.list(.record).isEmpty || !store.list(.deletion).isEmpty
    }

    /// The deletion records of all sites that can be reached. One that cannot be read counts as if it were not there:
    /// then something comes back that was deleted, which is better than the opposite.
    func deletionRecords() throws -> DeletionRecords {
        var found = DeletionRecords()
        for entry in try store.list(.deletion) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            do {
                found.records[id] = try DeletionRecord(decoding: files.load(.deletion, id), id: id)
            } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                continue
            }
        }
        return found
    }

    /// Leaves out of listings what was deleted while a site was away that now shows it again.
    func honourDeletions() throws {
        guard let sites = store as? ReplicatedBlobStore else { return }
        _ = try namesToDelete(deletionRecords(), sites)
    }

    /// Makes all sites of the repository alike, and carries out on each what was deleted while it was away.
    ///
    /// - Parameter readData: verify every copy of every object, not only of those that differ in size.
    /// - Returns: nil if the repository lies on one site only.
    /// - Throws: `locked`, `unavailable`.
    public func healSites(readData: Bool = true) throws -> HealReport? {
        try healSites(readData ? .all : .none)
    }

    /// As above, with a part of the packs verified: a scrub that goes through everything over several nights.
    ///
    /// - Parameter data: whose copies are read and compared with their names; what differs in size always is. All that
    ///   is not a pack is read unless it is `.none`.
    public func healSites(_ data: ReadData) throws -> HealReport? {
        if let fault = data.fault {
            throw HoldfastError(.invalidInput, fault, hint: "Give a percentage up to 100, or a part such as 1 of 7")
        }
        guard let sites = store as? ReplicatedBlobStore else { return nil }
        let lock = try lockExclusively()
        defer { lock.release() }
        let sealing = try SealingContext(key)
        let configs = try sites.healConfig { RepositoryConfig.opened($0, sealing) != nil }
        for name in configs.foreign {
            throw HoldfastError(
                .conflict, "site '\(name)' holds another repository", hint: "Take the site out of the project")
        }
        let found = try deletionRecords()
        let deleted = try namesToDelete(found, sites)
        let digest = try DigestContext()
        let scope = HealScope(deleted: deleted, leftOut: configs.unreachable) { name in data.includes(name) }
        let report = try sites.heal(scope) { name, bytes in
            bytes.withUnsafeBytes { (try? digest.digest($0).description) == name.name }
        }
        if report.isWhole {
            for id in found.records.keys { try store.delete(BlobName(kind: .deletion, name: id.description)) }
        }
        return report
    }

    /// What of the records is to be carried out now. Listings leave out just this from then on, so that nothing new
    /// comes to depend on what is going to be removed, and everything that a snapshot needs can be read.
    ///
    /// - Returns: all of it; without packs and index files if one of them is needed, and without keys if no other one
    ///   would be left.
    func namesToDelete(_ found: DeletionRecords, _ sites: ReplicatedBlobStore) throws -> Set<BlobName> {
        var deleted = found.names
        if deleted.contains(where: { $0.kind == .key }), try deleted.isSuperset(of: sites.namesAnywhere(.key)) {
            deleted = deleted.filter { $0.kind != .key }
        }
        var carriedOut = Set(found.records.keys)
        if try isNeeded(found, sites) {
            deleted = deleted.filter { !$0.isContent }
            carriedOut = carriedOut.filter { found.records[$0]?.removesContents != true }
        }
        honoured.withLock { $0 = carriedOut }
        sites.condemn(deleted)
        return deleted
    }

    /// Whether a snapshot needs something of what was removed, and a site still has it.
    ///
    /// That happens if a backup ran on one site while a prune ran on the other, if each site was pruned while the other
    /// was away, if one site was repaired by itself, or if only a site is here that has heard of a removal and has not
    /// got what replaces the rest. Then no pack and no index file is removed or left out, what was
    /// removed on a site is copied back, and the next prune decides anew.
    private func isNeeded(_ found: DeletionRecords, _ sites: ReplicatedBlobStore) throws -> Bool {
        let contents = found.names.filter(\.isContent)
        if contents.isEmpty { return false }
        let snapshots = try sites.namesAnywhere(.snapshot).subtracting(found.names)
        let indexFiles = try sites.namesAnywhere(.index)
        let unsure = Set(snapshots.compactMap { ObjectID(hex: $0.name) })
            .subtracting(found.satisfied(with: indexFiles))
        if unsure.isEmpty { return false }
        let packs = try sites.namesAnywhere(.data)
        if contents.isDisjoint(with: indexFiles) && contents.isDisjoint(with: packs) { return false }
        do {
            let whole = BlobIndex()
            let left = BlobIndex()
            for name in indexFiles {
                guard let id = ObjectID(hex: name.name) else { continue }
                for pack in try indexFile(id) {
                    let packName = BlobName(kind: .data, name: pack.id.description)
                    guard packs.contains(packName) else { continue }
                    whole.add([pack])
                    if contents.isDisjoint(with: [name, packName]) { left.add([pack]) }
                }
            }
            return try usedBlobs(of: unsure, whole).contains {
                !left.contains($0.id, $0.type) && whole.contains($0.id, $0.type)
            }
        } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
            return true
        }
    }
}

extension BlobName {
    fileprivate var isContent: Bool { kind == .index || kind == .data }
}

extension ReadData {
    /// Whether the copies of an object are read; a percentage is chosen anew for each.
    fileprivate func includes(_ name: BlobName) -> Bool {
        guard name.kind == .data, let id = ObjectID(hex: name.name) else { return self != .none }
        switch self {
        case .none: return false
        case .all: return true
        case .percent(let percent): return Double.random(in: 0..<100) < percent
        case .part(let number, let parts): return id.prefix % UInt64(parts) == UInt64(number - 1)
        }
    }
}
