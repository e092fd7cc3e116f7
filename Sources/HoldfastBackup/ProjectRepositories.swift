import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// One place where repositories are kept: a folder for each project below it.
package struct SiteConfiguration: Sendable, Codable, Hashable {
    package var name: String
    package var region: String
    package var location: String
    /// Absolute path of the site's folder.
    package var path: String
    /// How many bytes may pass in a second, both ways together; nil for as many as there are.
    package var bytesPerSecond: Int?
    /// How often a call that fails for a reason that may pass is made altogether; nil for once.
    package var attempts: Int?

    package init(name: String, region: String, location: String, path: String) {
        self.name = name
        self.region = region
        self.location = location
        self.path = path
    }
}

/// The restic repositories of the projects, one per project and site.
package struct ProjectRepositories: Sendable {
    package let sites: [SiteConfiguration]
    /// How many sites must have durably stored everything before a backup counts.
    package let quorum: Int
    let masterKey: InstallationKey
    let catalogue: any BackupCatalogue
    /// Where index files are kept, decoded; nil to read them from the sites each time.
    private let cache: LocalCache?
    let journals = JournalLocks()

    /// - Parameter cache: absolute path of a folder that may be removed at any time.
    package init(
        sites: [SiteConfiguration], quorum: Int, masterKey: InstallationKey, catalogue: any BackupCatalogue,
        cache: String? = nil
    ) {
        self.cache = cache.map { LocalCache(directory: $0) }
        self.sites = sites
        self.quorum = quorum
        self.masterKey = masterKey
        self.catalogue = catalogue
    }

    /// The folder of a project's repository on a site; `restic -r` takes it as it is.
    package func path(of project: ProjectID, on site: SiteConfiguration) -> String {
        "\(site.path)/projects/\(project)"
    }

    /// Makes the project's password and an empty repository on every site. What a call before it had made that was cut
    /// short is used, or taken for done if it is whole.
    package func create(_ project: ProjectID) throws {
        let earlier = try catalogue.sealedRepositoryPassword(project)
        let password = try earlier.map { try masterKey.open($0) } ?? InstallationKey.makePassword()
        if earlier == nil { try catalogue.setSealedRepositoryPassword(project, try masterKey.seal(password)) }
        var missing: (any Error)?
        for site in sites {
            // A site that is away now is not made here; the quorum decides whether the project can begin without it.
            do { _ = try FileBlobStore.create(root: path(of: project, on: site), inside: site.path) } catch {
                missing = error
            }
        }
        if let missing, sites.count == 1 { throw missing }
        let store = try sites(of: project).store
        if earlier != nil, try isMade(in: store, password) { return }
        _ = try Repository.create(store: store, password: password)
    }

    /// Goes on with a `create` that was cut short.
    ///
    /// - Throws: `unavailable` if a site is away: it may have the repository, and then another one must not be made.
    package func finish(_ project: ProjectID) throws {
        for site in sites where !FileManager.default.fileExists(atPath: site.path) {
            throw HoldfastError(
                .unavailable, "site \(site.name) is away, so the repository of project \(project) is not made",
                hint: "Mount \(site.path), then start again")
        }
        try create(project)
    }

    private func isMade(in store: ReplicatedBlobStore, _ password: Secret) throws -> Bool {
        do {
            _ = try Repository.open(store: store, password: password)
            return true
        } catch let error as HoldfastError where error.code == .notFound {
            return false
        }
    }

    /// The blob stores of a project's sites as they are now. A site whose folder is gone is reported, not made anew.
    package func sites(of project: ProjectID) throws -> ProjectSites {
        let stores = try sites.map { site in
            Site(
                name: site.name, region: site.region, location: site.location,
                store: try site.store(at: path(of: project, on: site)))
        }
        return ProjectSites(store: try ReplicatedBlobStore(sites: stores, quorum: quorum))
    }

    /// How the sites of a project are at this moment.
    package func siteStates(of project: ProjectID) -> [SiteState] {
        sites.map { site in
            let store = FileBlobStore(root: path(of: project, on: site))
            // The folder may be there without the disk that belongs on it.
            let isReachable = (try? store.size(.config)) != nil
            return SiteState(site: site.name, isReachable: isReachable, device: isReachable ? store.device() : nil)
        }
    }

    package func open(_ project: ProjectID, on sites: ProjectSites) throws -> Repository {
        let repository = try Repository.open(store: sites.store, password: try password(of: project))
        if let cache { repository.use(cache) }
        return repository
    }

    /// What `restic` needs. Every caller is an audited action of an admin.
    package func password(of project: ProjectID) throws -> Secret {
        guard let sealed = try catalogue.sealedRepositoryPassword(project) else {
            throw HoldfastError(.notFound, "project \(project) has no repository yet")
        }
        return try masterKey.open(sealed)
    }
}

extension SiteConfiguration {
    /// The store in a folder of the site, with its rate and its patience.
    fileprivate func store(at path: String) throws -> any BlobStore {
        var store: any BlobStore = FileBlobStore(root: path)
        if let bytesPerSecond {
            store = RateLimitedBlobStore(store, limiter: try RateLimiter(bytesPerSecond: bytesPerSecond))
        }
        if let attempts { store = RetryingBlobStore(store, policy: RetryPolicy(attempts: attempts)) }
        return store
    }
}

/// The sites of one project during one activity.
package struct ProjectSites: Sendable {
    package let store: ReplicatedBlobStore

    /// `report`, after waiting up to ten seconds for sites that are late.
    package func settledReport() -> [SitePlacement] {
        store.settle(atMost: .seconds(10))
        return report()
    }

    /// What happened on each site since the activity began.
    package func report() -> [SitePlacement] {
        store.report().map(\.placement)
    }
}
