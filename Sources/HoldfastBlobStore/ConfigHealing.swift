import HoldfastModel

extension ReplicatedBlobStore {
    /// Replaces configs that are damaged by the good one of another site.
    ///
    /// A config has no hash for a name, so its bytes alone do not tell damage from another repository. What is not good
    /// is replaced only on a site that holds one of the good site's keys, and reported else.
    ///
    /// - Parameter isGood: whether the bytes are this repository's config.
    /// - Returns: how many were replaced, and which sites hold another repository's, by name.
    package func healConfig(isGood: ([UInt8]) -> Bool) throws -> (replaced: Int, foreign: [String]) {
        var good: (site: Site, bytes: [UInt8])?
        var bad: [Site] = []
        for site in sites {
            do {
                let bytes = try site.store.get(.config)
                if isGood(bytes) { good = good ?? (site, bytes) } else { bad.append(site) }
            } catch let error as HoldfastError where error.code == .damaged {
                bad.append(site)
            } catch let error as HoldfastError where error.code == .notFound || error.isTemporary {
                continue
            }
        }
        guard let good, !bad.isEmpty else { return (0, []) }
        let keys = Set(try good.site.store.list(.key).map(\.name))
        var replaced = 0
        var foreign: [String] = []
        for site in bad {
            if keys.isDisjoint(with: try site.store.list(.key).map(\.name)) {
                foreign.append(site.name)
            } else {
                try site.store.delete(.config)
                try site.store.put(.config, good.bytes)
                replaced += 1
            }
        }
        return (replaced, foreign)
    }
}
