import HoldfastModel

/// What a site holds, by its config and its keys: a config has no hash for a name, so its bytes alone do not tell
/// damage from another repository.
enum SiteIdentity: Sendable {
    case ours
    /// Nothing speaks against it, and it has no config yet, or lost it.
    case lacksConfig
    /// The config is no good, and one of the keys, or something else that is there, is ours.
    case damagedConfig(HoldfastError)
    /// The config is no good or not there, and nothing that is there is ours.
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
        for site in sites.indices { found.sites[site] = compared(found.sites[site], of: site, with: own) }
        return found
    }

    /// Gets the config that is good. Sites with one that is not get no more puts, nor do those whose config cannot be
    /// read: what they hold may be another repository.
    func config(where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        let found = identify(isGood)
        // Without a good one it is the caller who looks for the wrong repository.
        guard let config = found.config else { throw found.worst ?? BlobName.config.notFound }
        let strangers = sites.indices.filter { if case .foreign = found.sites[$0] { true } else { false } }
        let areNew = strangers.contains { strangeness(of: $0) == nil }
        for (site, identity) in found.sites.enumerated() {
            change(site) { standing in
                if areNew { standing.compareAgain() }
                switch identity {
                case .ours: break
                case .lacksConfig: standing.fallBehind(BlobName.config.notFound)
                case .unreachable(let error), .damagedConfig(let error): standing.missedPut(error)
                case .foreign(let error): standing.exclude(error)
                }
            }
        }
        // The keys were listed before anybody could know.
        if areNew { _ = try? list(.key) }
        return config
    }

    /// The configs of the sites that can be asked, by the sites' names, whatever they are worth. Nothing is concluded.
    package func configs() -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for (site, answer) in askAll({ try $0.get(.config) }) {
            if case .success(let bytes) = answer { found[sites[site].name] = bytes }
        }
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

    /// The identity with the keys taken into account, and if none is the same, everything else that has a hash for a
    /// name: a site may have been away when all keys were replaced.
    ///
    /// - Parameter own: the sites with a good config.
    private func compared(_ identity: SiteIdentity, of site: Int, with own: [Int]) -> SiteIdentity {
        let isEmptyOurs: Bool
        switch identity {
        case .ours, .foreign, .unreachable: return identity
        // Packs may have come to a site that was empty.
        case .lacksConfig: isEmptyOurs = true
        case .damagedConfig: isEmptyOurs = false
        }
        do {
            if isEmptyOurs, try names(.key, of: site).isEmpty { return identity }
            for kind in [BlobKind.key, .snapshot, .index, .data] {
                let found = try names(kind, of: site)
                if found.isEmpty { continue }
                if try own.contains(where: { try !names(kind, of: $0).isDisjoint(with: found) }) { return identity }
            }
        } catch {
            // Nobody can tell.
            return .unreachable(error as? HoldfastError ?? HoldfastError(.system, "the site failed", cause: error))
        }
        return .foreign(
            HoldfastError(
                .conflict, "site '\(sites[site].name)' holds another repository",
                hint: "Take the site out of the project"))
    }

    private func names(_ kind: BlobKind, of site: Int) throws -> Set<BlobName> {
        try ask(only: site) { Set(try $0.list(kind).map(\.name)) }
    }
}
