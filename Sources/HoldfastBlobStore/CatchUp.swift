import HoldfastModel

/// What a site lacked, and what it was given.
public struct SiteCatchUp: Sendable, Hashable {
    public let site: String
    /// Objects that were copied to it, or replaced on it, and their bytes.
    public internal(set) var copied = 0
    public internal(set) var bytes: Int64 = 0
    /// Objects that were removed on it because they were deleted while it was away.
    public internal(set) var removed = 0
    /// Objects that it still lacks.
    public internal(set) var missing = 0
    /// Why it lacks them, cannot be looked at, or is left alone because it holds another repository; nil if all is
    /// well, or if only the limit was reached.
    public internal(set) var problem: String?
    /// The names of the snapshots that it holds now; empty if it cannot be looked at.
    public internal(set) var snapshots: Set<String> = []
    public internal(set) var isReachable = true

    /// Whether it holds everything that it should.
    public var isWhole: Bool { isReachable && missing == 0 && problem == nil }
}

/// What a catch-up copies, and between whom.
package struct CatchUpScope {
    /// How many bytes to copy at most; one object may go beyond it.
    package var limit: Int64
    /// Compare the packs too if keys, index files and snapshots are the same everywhere.
    package var comparesPacks: Bool
    /// What deletion records name: it is not copied, and snapshots and keys are removed where they still are.
    package var deleted: Set<BlobName>
    /// Whether the bytes of a config are this repository's: other sites are neither read nor changed.
    package var isOurs: ([UInt8]) -> Bool
    /// Whether the bytes are those that the name, a hash, stands for; never asked for a config.
    package var isGood: (BlobName, [UInt8]) -> Bool
    /// False for what somebody has decided to delete, so that a site that did not hear of it does not bring it back.
    /// Asked for each object that would be copied.
    package var isWanted: (BlobName) -> Bool

    package init(
        limit: Int64, comparesPacks: Bool, deleted: Set<BlobName> = [], isOurs: @escaping ([UInt8]) -> Bool,
        isGood: @escaping (BlobName, [UInt8]) -> Bool, isWanted: @escaping (BlobName) -> Bool = { _ in true }
    ) {
        self.limit = limit
        self.comparesPacks = comparesPacks
        self.deleted = deleted
        self.isOurs = isOurs
        self.isGood = isGood
        self.isWanted = isWanted
    }
}

extension ReplicatedBlobStore {
    /// Gives sites that were away what the others have, up to a limit; called again, it goes on.
    ///
    /// Unlike `heal` it may run beside backups, also of this store; not beside a prune. The configs are looked at
    /// first: a site with another repository, a damaged config or one that cannot be read is left alone and named.
    /// Everything is listed before anything is copied, snapshots first and packs last, and copied the other way round,
    /// and a site that misses one object gets no more: so no site lists a snapshot, or an index file, whose packs it
    /// has not. Deleted keys go when all keys are there, deleted snapshots when the site got everything; old index
    /// files and packs stay until `heal`.
    ///
    /// - Parameter copied: called after each object, with what its site has got so far.
    /// - Returns: one for each site, in the order of `sites`.
    package func catchUp(_ scope: CatchUpScope, copied: (SiteCatchUp) -> Void = { _ in }) -> [SiteCatchUp] {
        guard sites.count > 1 else { return [] }
        var run = CatchingUp(store: self, scope: scope)
        for kind in [BlobKind.snapshot, .index, .deletion, .key, .config] { run.list(kind) }
        if scope.comparesPacks || run.differs {
            run.list(.data)
            for kind in [BlobKind.config, .key] { run.copy(kind, copied) }
            run.remove(.key)
            // Who has a record of what was removed has what replaces it as well.
            for kind in [BlobKind.data, .index, .snapshot, .deletion] { run.copy(kind, copied) }
            // A site keeps the backups that it had until it has those that it should have.
            run.remove(.snapshot)
        }
        forgive(run.reports.indices.filter { run.reports[$0].isWhole })
        return run.reports
    }
}

/// One catch-up in progress.
private struct CatchingUp {
    private let store: ReplicatedBlobStore
    private let scope: CatchUpScope
    private var left: Int64
    private(set) var reports: [SiteCatchUp]
    /// Sites that are read and written.
    private let members: Set<Int>
    /// Size of each object on each site, by its number.
    private var listings: [BlobKind: [BlobName: [Int: Int]]] = [:]
    /// What was deleted, and is still on a site.
    private var leftovers: [(name: BlobName, site: Int)] = []

    init(store: ReplicatedBlobStore, scope: CatchUpScope) {
        self.store = store
        self.scope = scope
        left = scope.limit
        reports = store.sites.map { SiteCatchUp(site: $0.name) }
        let identities = store.identify(scope.isOurs)
        var members: Set<Int> = []
        for (site, identity) in identities.sites.enumerated() {
            if let error = identity.refusal ?? (identities.config == nil ? identities.worst : nil) {
                reports[site].problem = error.description
            } else {
                members.insert(site)
            }
            if case .unreachable = identity { reports[site].isReachable = false }
        }
        self.members = members
    }

    mutating func list(_ kind: BlobKind) {
        var found: [BlobName: [Int: Int]] = [:]
        for (site, answer) in store.askAll({ try $0.list(kind) }) where members.contains(site) {
            switch answer {
            case .success(let entries):
                let kept = entries.filter { !scope.deleted.contains($0.name) }
                for entry in kept { found[entry.name, default: [:]][site] = entry.size }
                for entry in entries where scope.deleted.contains(entry.name) { leftovers.append((entry.name, site)) }
                if kind == .snapshot { reports[site].snapshots = Set(kept.map(\.name.name)) }
            case .failure(let error):
                reports[site].isReachable = false
                reports[site].problem = reports[site].problem ?? error.description
            }
        }
        listings[kind] = found
    }

    /// Whether a site lacks something of what was listed, or holds what was deleted.
    var differs: Bool {
        leftovers.contains { $0.name.kind == .snapshot || $0.name.kind == .key }
            || listings.values.contains { objects in
                objects.contains { name, sizes in !needing(sizes).isEmpty && scope.isWanted(name) }
            }
    }

    /// Sites that lack an object. If its copies differ in length it is all of them: only the bytes tell which is right.
    private func needing(_ sizes: [Int: Int]) -> [Int] {
        let reachable = members.filter { reports[$0].isReachable }
        let isUniform = Set(reachable.compactMap { sizes[$0] }).count < 2
        return reachable.filter { !isUniform || sizes[$0] == nil }.sorted()
    }

    /// Removes deleted objects of a kind where they still are; from a site that got all that was due to it so far.
    mutating func remove(_ kind: BlobKind) {
        for (name, site) in leftovers where name.kind == kind {
            guard reports[site].isReachable, reports[site].missing == 0, reports[site].problem == nil else { continue }
            do {
                try store.ask(only: site) { try $0.delete(name) }
                reports[site].removed += 1
            } catch {
                reports[site].problem = "\(error)"
            }
        }
    }

    mutating func copy(_ kind: BlobKind, _ copied: (SiteCatchUp) -> Void) {
        for (name, sizes) in (listings[kind] ?? [:]).sorted(by: { $0.key.name < $1.key.name }) {
            let needing = needing(sizes)
            guard !needing.isEmpty, scope.isWanted(name) else { continue }
            var good: [UInt8]?
            for site in needing {
                guard left > 0, reports[site].missing == 0, reports[site].problem == nil else {
                    reports[site].missing += 1
                    continue
                }
                do {
                    let bytes = try good ?? read(name, from: sizes)
                    good = bytes
                    if sizes[site] == bytes.count, try store.sites[site].store.get(name) == bytes { continue }
                    try give(name, bytes, to: site, holders: sizes.keys.filter { $0 != site })
                    copied(reports[site])
                } catch {
                    reports[site].missing += 1
                    reports[site].problem = "\(error)"
                }
            }
        }
    }

    private func read(_ name: BlobName, from holders: [Int: Int]) throws -> [UInt8] {
        var failure: any Error = HoldfastError(
            .damaged, "no site has a good copy of \(name)", hint: "Repair the repository")
        for (site, _) in holders.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            do {
                let bytes = try store.sites[site].store.get(name)
                if name.kind == .config ? scope.isOurs(bytes) : scope.isGood(name, bytes) { return bytes }
            } catch { failure = error }
        }
        throw failure
    }

    private mutating func give(_ name: BlobName, _ bytes: [UInt8], to site: Int, holders: [Int]) throws {
        try store.ask(only: site) { try $0.put(name, bytes) }
        if name.kind == .snapshot {
            // Somebody may have deleted it since it was read.
            if !holders.isEmpty, holders.allSatisfy({ store.sites[$0].store.lacks(name) }) {
                return try store.ask(only: site) { try $0.delete(name) }
            }
            reports[site].snapshots.insert(name.name)
        }
        left -= Int64(bytes.count)
        reports[site].copied += 1
        reports[site].bytes += Int64(bytes.count)
    }
}

extension BlobStore {
    /// Whether it says that there is no such object; one that cannot answer does not.
    func lacks(_ name: BlobName) -> Bool {
        do {
            _ = try size(name)
            return false
        } catch { return (error as? HoldfastError)?.code == .notFound }
    }
}
