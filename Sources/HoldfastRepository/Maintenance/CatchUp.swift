import HoldfastBlobStore
import HoldfastModel

extension Repository {
    /// Gives sites that were away what the others have, and removes snapshots and keys on them that were removed
    /// meanwhile: see `ReplicatedBlobStore.catchUp`. Excludes a prune, and nothing else.
    ///
    /// - Returns: nothing if the repository lies on one site only.
    /// - Throws: `locked` while a prune or a repair runs.
    public func catchUpSites(
        limit: Int64, comparesPacks: Bool, isWanted: @escaping (BlobName) -> Bool,
        copied: (SiteCatchUp) -> Void = { _ in }
    ) throws -> [SiteCatchUp] {
        guard let sites = store as? ReplicatedBlobStore, sites.sites.count > 1 else { return [] }
        let lock = try LockKeeper.take(files, isExclusive: false, time: time)
        defer { lock.release() }
        let sealing = try SealingContext(key)
        let digest = try DigestContext()
        let scope = CatchUpScope(
            limit: limit, comparesPacks: comparesPacks, deleted: try namesToDelete(deletionRecords(), sites),
            isOurs: { RepositoryConfig.opened($0, sealing) != nil },
            isGood: { name, bytes in bytes.withUnsafeBytes { (try? digest.digest($0).description) == name.name } },
            isWanted: isWanted)
        return sites.catchUp(scope, copied: copied)
    }
}
