import HoldfastModel

/// What a site holds, by its config and its keys: a config has no hash for a name, so its bytes alone do not tell
/// damage from another repository.
enum SiteIdentity: Sendable {
    case ours
    /// Nothing speaks against it, and it has no config yet, or lost it.
    case lacksConfig
    /// The config is no good, and one of the keys is ours.
    case damagedConfig(HoldfastError)
    /// The config is no good or not there, and none of the keys is ours.
    case foreign(HoldfastError)
    case unreachable(HoldfastError)

    /// Whether only the keys tell what it is.
    fileprivate var isOpen: Bool {
        switch self {
        case .lacksConfig, .damagedConfig: true
        case .ours, .foreign, .unreachable: false
        }
    }

    /// Why nothing may be copied to or from it; nil if it may.
    var refusal: HoldfastError? {
        switch self {
        case .ours, .lacksConfig: nil
        case .damagedConfig(let error), .foreign(let error), .unreachable(let error): error
        }
    }
}

/// All sites of a repository, and its config.
struct SiteIdentities: Sendable {
    /// In the order of the sites. Without a good config it is not known what is foreign.
    var sites: [SiteIdentity] = []
    /// The config of the first site that has a good one.
    var config: [UInt8]?
    /// Why there is no good config.
    var worst: HoldfastError?
}

extension ReplicatedBlobStore {
    /// Looks at the config of every site, and at the keys of those that have no good one.
    ///
    /// - Parameter isGood: whether the bytes are this repository's config.
    func identify(_ isGood: ([UInt8]) -> Bool) -> SiteIdentities {
        let answers = askAll { try $0.get(.config) }
        var found = SiteIdentities()
        let bad = HoldfastError(
            .damaged, "config is damaged, or another repository's", hint: "Heal the sites from a good one")
        for site in sites.indices {
            switch answers[site] {
            case .success(let bytes)? where isGood(bytes):
                found.config = found.config ?? bytes
                found.sites.append(.ours)
            case .success?:
                found.worst = bad
                found.sites.append(.damagedConfig(bad))
            case .failure(let error)?:
                if found.worst == nil || found.worst?.code == .notFound { found.worst = error }
                found.sites.append(identity(of: site, error))
            case nil:
                found.sites.append(.unreachable(HoldfastError(.timedOut, "it does not answer")))
            }
        }
        guard found.config != nil, found.sites.contains(where: \.isOpen) else { return found }
        let own = sites.indices.filter { if case .ours = found.sites[$0] { true } else { false } }
        let keys = own.reduce(into: Set<BlobName>()) { $0.formUnion((try? self.keys(of: $1)) ?? []) }
        for site in sites.indices { found.sites[site] = compared(found.sites[site], of: site, with: keys) }
        return found
    }

    private func identity(of site: Int, _ error: HoldfastError) -> SiteIdentity {
        if strangeness(of: site) != nil { return .foreign(error) }
        switch error.code {
        case .notFound: return .lacksConfig
        case .damaged: return .damagedConfig(error)
        default: return .unreachable(error)
        }
    }

    /// The identity with the keys taken into account.
    private func compared(_ identity: SiteIdentity, of site: Int, with keys: Set<BlobName>) -> SiteIdentity {
        let isEmptyOurs: Bool
        switch identity {
        case .ours, .foreign, .unreachable: return identity
        // Packs may have come to a site that was empty.
        case .lacksConfig: isEmptyOurs = true
        case .damagedConfig: isEmptyOurs = false
        }
        let found: [BlobName]
        do { found = try self.keys(of: site) } catch {
            let failure = error as? HoldfastError ?? HoldfastError(.system, "the site failed", cause: error)
            // With a config that is no good nothing is left to tell by.
            return isEmptyOurs ? .unreachable(failure) : .foreign(failure)
        }
        if found.isEmpty ? isEmptyOurs : !keys.isDisjoint(with: found) { return identity }
        return .foreign(
            HoldfastError(
                .conflict, "site '\(sites[site].name)' holds another repository",
                hint: "Take the site out of the project"))
    }

    private func keys(of site: Int) throws -> [BlobName] { try ask(only: site) { try $0.list(.key).map(\.name) } }
}
