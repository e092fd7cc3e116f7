import HoldfastModel

/// What healing the configs did.
package struct ConfigHealing: Sendable {
    /// How many were replaced.
    package internal(set) var replaced = 0
    /// Sites that hold another repository, by name. Nothing may be copied to or from them.
    package internal(set) var foreign: [String] = []
    /// Sites of which the config cannot be looked at, with the reason; so nobody knows what they hold.
    package internal(set) var unreachable: [String: HoldfastError] = [:]
}

extension ReplicatedBlobStore {
    /// Replaces configs that are damaged by the good one of another site.
    ///
    /// A config has no hash for a name, so its bytes alone do not tell damage from another repository. What is not good
    /// is replaced only on a site that holds a key, or something else, of the good sites, and reported else.
    ///
    /// - Parameter isGood: whether the bytes are this repository's config.
    /// - Throws: `damaged` if no site has a good one, or what a site throws.
    package func healConfig(isGood: ([UInt8]) -> Bool) throws -> ConfigHealing {
        let found = identify(isGood)
        guard let config = found.config else { throw found.worst ?? BlobName.config.notFound }
        var healing = ConfigHealing()
        for (site, identity) in zip(sites, found.sites) {
            switch identity {
            case .ours, .lacksConfig: break
            case .foreign: healing.foreign.append(site.name)
            case .unreachable(let error): healing.unreachable[site.name] = error
            case .damagedConfig:
                try site.store.delete(.config)
                try site.store.put(.config, config)
                healing.replaced += 1
            }
        }
        return healing
    }
}
