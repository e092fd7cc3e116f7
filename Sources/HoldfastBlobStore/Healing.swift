import HoldfastModel

/// What healing the sites did.
public struct HealReport: Sendable, Hashable {
    /// Objects that were copied to a site that lacked them.
    public internal(set) var copied = 0
    /// Objects that were replaced on a site because they were damaged there.
    public internal(set) var replaced = 0
    /// Objects that were removed on a site because a deletion record names them.
    public internal(set) var removed = 0
    /// Objects of which every copy was read and verified.
    public internal(set) var verified = 0
    /// Bytes that were copied or replaced.
    public internal(set) var bytes: Int64 = 0
    /// Objects of which no site has a good copy, sorted.
    public internal(set) var lost: [BlobName] = []
    /// Sites that could not be reached, or could not be written to, with the reason.
    public internal(set) var problems: [String: String] = [:]

    /// Whether every site holds everything now.
    public var isWhole: Bool { lost.isEmpty && problems.isEmpty }
}

/// What a healing looks at, and what it must not bring back.
package struct HealScope: Sendable {
    /// Whether every copy of an object is read and verified, even if all have the same size.
    package var reads: @Sendable (BlobName) -> Bool
    /// What was deleted on purpose: it is removed where it still is, and never copied.
    package var deleted: Set<BlobName>
    /// Sites that are neither read nor changed, by name, with the reason: nobody knows what they hold.
    package var leftOut: [String: HoldfastError]

    package init(
        deleted: Set<BlobName> = [], leftOut: [String: HoldfastError] = [:],
        reads: @escaping @Sendable (BlobName) -> Bool
    ) {
        self.deleted = deleted
        self.leftOut = leftOut
        self.reads = reads
    }
}

extension ReplicatedBlobStore {
    /// Makes all sites alike: compares their listings, copies what a site lacks, replaces what is damaged, and removes
    /// what was deleted while the site was away.
    ///
    /// The order leaves each site readable by itself wherever it stops, with the backups that it had or with those that
    /// it should have: first come packs, then index files, then snapshots, then deletion records; then forgotten
    /// snapshots go, then old index files, then old packs. A site that fails once gets no more. Nothing goes as long as
    /// a site is away or something has no good copy: it may be what replaces the rest. Not to be called while a backup
    /// or a prune uses the same store.
    ///
    /// - Parameter isGood: whether the bytes are those that the name, a hash, stands for; never asked for a config.
    /// - Throws: `unavailable` if no site can be reached.
    package func heal(_ scope: HealScope, isGood: (BlobName, [UInt8]) -> Bool) throws -> HealReport {
        var healing = Healing(sites: sites, scope: scope)
        for kind in [BlobKind.config, .key, .record] { healing.heal(kind, isGood: isGood) }
        healing.remove(.key)
        for kind in [BlobKind.data, .index, .snapshot, .deletion] { healing.heal(kind, isGood: isGood) }
        for kind in [BlobKind.snapshot, .index, .data] { healing.remove(kind) }
        if healing.reachable.isEmpty, let error = healing.lastFailure { throw error }
        if healing.report.lost.isEmpty { forgive(healing.reachable) }
        return healing.report
    }
}

/// One healing in progress.
private struct Healing {
    private let sites: [Site]
    private let scope: HealScope
    /// Numbers of the sites that did not fail so far.
    private(set) var reachable: [Int]
    private(set) var report = HealReport()
    private(set) var lastFailure: HoldfastError?

    init(sites: [Site], scope: HealScope) {
        self.sites = sites
        self.scope = scope
        reachable = Array(sites.indices)
        for site in sites.indices {
            if let error = scope.leftOut[sites[site].name] { fail(site, error) }
        }
    }

    mutating func heal(_ kind: BlobKind, isGood: (BlobName, [UInt8]) -> Bool) {
        var copies: [BlobName: [Int: Int]] = [:]
        for site in reachable {
            do {
                for entry in try sites[site].store.list(kind) where !scope.deleted.contains(entry.name) {
                    copies[entry.name, default: [:]][site] = entry.size
                }
            } catch { fail(site, error) }
        }
        for (name, sizes) in copies.sorted(by: { $0.key.name < $1.key.name }) {
            let present = sizes.filter { reachable.contains($0.key) }
            let isUniform = present.count == reachable.count && Set(present.values).count == 1
            let isRead = scope.reads(name)
            if isRead { report.verified += 1 }
            if !isUniform || isRead { heal(name, on: present.keys.sorted(), isGood: isGood) }
        }
    }

    /// Removes the objects of a kind that were deleted while a site was away.
    mutating func remove(_ kind: BlobKind) {
        let names = scope.deleted.filter { $0.kind == kind }
        guard !names.isEmpty, report.isWhole || kind == .key else { return }
        for site in reachable {
            do {
                let entries = try sites[site].store.list(kind)
                // Without a key that stays, nobody could open what the site holds.
                if kind == .key && entries.allSatisfy({ names.contains($0.name) }) { continue }
                for entry in entries where names.contains(entry.name) {
                    try sites[site].store.delete(entry.name)
                    report.removed += 1
                }
            } catch { fail(site, error) }
        }
    }

    /// Reads the copies of one object until a good one is found, or all of them, and puts it where it is needed.
    private mutating func heal(_ name: BlobName, on holders: [Int], isGood: (BlobName, [UInt8]) -> Bool) {
        var good: [UInt8]?
        var bad: [Int] = []
        for site in holders {
            do {
                let bytes = try sites[site].store.get(name)
                if let good, name.kind == .config, good != bytes { throw name.differentConfig }
                if name.kind == .config || isGood(name, bytes) { good = good ?? bytes } else { bad.append(site) }
            } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                bad.append(site)
            } catch { fail(site, error) }
        }
        guard let good else {
            if !bad.isEmpty && !isGone(name, everywhere: bad) { report.lost.append(name) }
            return
        }
        let needing = reachable.filter { bad.contains($0) || !holders.contains($0) }
        for site in needing {
            do {
                try sites[site].store.put(name, good)
                if bad.contains(site) { report.replaced += 1 } else { report.copied += 1 }
                report.bytes += Int64(good.count)
            } catch { fail(site, error) }
        }
        guard isGone(name, everywhere: holders.filter { !bad.contains($0) }) else { return }
        for site in needing {
            do { try sites[site].store.delete(name) } catch { fail(site, error) }
        }
    }

    /// Whether somebody forgot a snapshot since it was listed, which needs no lock.
    private func isGone(_ name: BlobName, everywhere holders: [Int]) -> Bool {
        name.kind == .snapshot && !holders.isEmpty && holders.allSatisfy { sites[$0].store.lacks(name) }
    }

    private mutating func fail(_ site: Int, _ error: any Error) {
        reachable.removeAll { $0 == site }
        let known = error as? HoldfastError ?? HoldfastError(.system, "the site failed", cause: error)
        report.problems[sites[site].name] = known.description
        lastFailure = known
    }
}
