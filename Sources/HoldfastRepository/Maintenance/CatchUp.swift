import HoldfastBlobStore
import HoldfastModel

extension Repository {
    /// Gives sites that were away what the others have: see `ReplicatedBlobStore.catchUp`. Excludes a prune, and
    /// nothing else.
    ///
    /// - Returns: nothing if the repository lies on one site only.
    /// - Throws: `locked` while a prune or a repair runs.
    public func catchUpSites(
        limit: Int64, comparesPacks: Bool, isWanted: (BlobName) -> Bool, copied: (SiteCatchUp) -> Void = { _ in }
    ) throws -> [SiteCatchUp] {
        guard let sites = store as? ReplicatedBlobStore, sites.sites.count > 1 else { return [] }
        let lock = try LockKeeper.take(files, isExclusive: false, time: time)
        defer { lock.release() }
        let digest = try DigestContext()
        let isGood: (BlobName, [UInt8]) -> Bool = { name, bytes in
            bytes.withUnsafeBytes { (try? digest.digest($0).description) == name.name }
        }
        return sites.catchUp(
            limit: limit, comparesPacks: comparesPacks, isWanted: isWanted, isGood: isGood, copied: copied)
    }
}
