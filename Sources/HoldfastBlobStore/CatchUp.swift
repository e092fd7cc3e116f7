import HoldfastModel

/// What a site lacked, and what it was given.
public struct SiteCatchUp: Sendable, Hashable {
    public let site: String
    /// Objects that were copied to it, and their bytes.
    public internal(set) var copied = 0
    public internal(set) var bytes: Int64 = 0
    /// Objects that it still lacks.
    public internal(set) var missing = 0
    /// Why it lacks them, or cannot be looked at; nil if all is well, or if only the limit was reached.
    public internal(set) var problem: String?
    /// The names of the snapshots that it holds now; empty if it cannot be looked at.
    public internal(set) var snapshots: Set<String> = []
    public internal(set) var isReachable = true

    /// Whether it holds everything that it should.
    public var isWhole: Bool { isReachable && missing == 0 && problem == nil }
}

extension ReplicatedBlobStore {
    /// Gives sites that were away what the others have, up to a limit; called again, it goes on.
    ///
    /// Unlike `heal` it may run beside backups, also of this store; not beside a prune. Everything is listed before
    /// anything is copied, snapshots first and packs last, and copied the other way round, and a site that misses one
    /// object gets no more: so no site lists a snapshot, or an index file, whose packs it has not.
    ///
    /// - Parameters:
    ///   - limit: how many bytes to copy at most; one object may go beyond it.
    ///   - comparesPacks: compare the packs too if keys, index files and snapshots are the same everywhere.
    ///   - isWanted: false for what somebody has decided to delete, so that a site that did not hear of it does not
    ///     bring it back. Asked for each object that would be copied.
    ///   - isGood: whether the bytes are those that the name, a hash, stands for; never asked for a config.
    ///   - copied: called after each object, with what its site has got so far.
    /// - Returns: one for each site, in the order of `sites`.
    public func catchUp(
        limit: Int64, comparesPacks: Bool, isWanted: (BlobName) -> Bool, isGood: (BlobName, [UInt8]) -> Bool,
        copied: (SiteCatchUp) -> Void = { _ in }
    ) -> [SiteCatchUp] {
        guard sites.count > 1 else { return [] }
        var run = CatchingUp(store: self, limit: limit)
        for kind in [BlobKind.snapshot, .index, .key, .config] { run.list(kind) }
        if comparesPacks || run.differs(isWanted) {
            run.list(.data)
            for kind in [BlobKind.config, .key, .data, .index, .snapshot] { run.copy(kind, isWanted, isGood, copied) }
        }
        forgive(run.reports.indices.filter { run.reports[$0].isWhole })
        return run.reports
    }
}

/// One catch-up in progress.
private struct CatchingUp {
    private let store: ReplicatedBlobStore
    private var left: Int64
    private(set) var reports: [SiteCatchUp]
    /// Size of each object on each site, by its number.
    private var listings: [BlobKind: [BlobName: [Int: Int]]] = [:]

    init(store: ReplicatedBlobStore, limit: Int64) {
        self.store = store
        left = limit
        reports = store.sites.map { SiteCatchUp(site: $0.name) }
    }

    mutating func list(_ kind: BlobKind) {
        var found: [BlobName: [Int: Int]] = [:]
        for (site, answer) in store.askAll({ try $0.list(kind) }) {
            switch answer {
            case .success(let entries):
                for entry in entries { found[entry.name, default: [:]][site] = entry.size }
                if kind == .snapshot { reports[site].snapshots = Set(entries.map(\.name.name)) }
            case .failure(let error):
                reports[site].isReachable = false
                reports[site].problem = reports[site].problem ?? error.description
            }
        }
        listings[kind] = found
    }

    /// Whether a site that can be reached lacks something of what was listed.
    func differs(_ isWanted: (BlobName) -> Bool) -> Bool {
        listings.values.contains { objects in
            objects.contains { name, sizes in !needing(sizes).isEmpty && isWanted(name) }
        }
    }

    /// Sites that lack an object, or have it shorter than another.
    private func needing(_ sizes: [Int: Int]) -> [Int] {
        let size = sizes.values.max() ?? 0
        return reports.indices.filter { reports[$0].isReachable && sizes[$0] ?? -1 < size }
    }

    mutating func copy(
        _ kind: BlobKind, _ isWanted: (BlobName) -> Bool, _ isGood: (BlobName, [UInt8]) -> Bool,
        _ copied: (SiteCatchUp) -> Void
    ) {
        for (name, sizes) in (listings[kind] ?? [:]).sorted(by: { $0.key.name < $1.key.name }) {
            let needing = needing(sizes)
            guard !needing.isEmpty, isWanted(name) else { continue }
            var good: [UInt8]?
            for site in needing {
                guard left > 0, reports[site].missing == 0, reports[site].problem == nil else {
                    reports[site].missing += 1
                    continue
                }
                do {
                    let bytes = try good ?? read(name, from: sizes, isGood)
                    good = bytes
                    try give(name, bytes, to: site, holders: sizes.keys.filter { !needing.contains($0) })
                    copied(reports[site])
                } catch {
                    reports[site].missing += 1
                    reports[site].problem = "\(error)"
                }
            }
        }
    }

    private func read(
        _ name: BlobName, from holders: [Int: Int], _ isGood: (BlobName, [UInt8]) -> Bool
    ) throws -> [UInt8] {
        var failure: any Error = HoldfastError(
            .damaged, "no site has a good copy of \(name)", hint: "Repair the repository")
        for (site, _) in holders.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            do {
                let bytes = try store.sites[site].store.get(name)
                if name.kind == .config || isGood(name, bytes) { return bytes }
            } catch { failure = error }
        }
        throw failure
    }

    private mutating func give(_ name: BlobName, _ bytes: [UInt8], to site: Int, holders: [Int]) throws {
        try store.ask(only: site) { try $0.put(name, bytes) }
        if name.kind == .snapshot {
            // Somebody may have deleted it since it was read.
            let isGone =
                !holders.isEmpty
                && holders.allSatisfy { holder in
                    do {
                        _ = try store.sites[holder].store.size(name)
                        return false
                    } catch { return (error as? HoldfastError)?.code == .notFound }
                }
            if isGone { return try store.ask(only: site) { try $0.delete(name) } }
            reports[site].snapshots.insert(name.name)
        }
        left -= Int64(bytes.count)
        reports[site].copied += 1
        reports[site].bytes += Int64(bytes.count)
    }
}
