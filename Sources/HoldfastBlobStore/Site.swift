import HoldfastModel

/// One place that holds a whole copy of a repository.
public struct Site: Sendable {
    /// Unique among the sites of a project.
    public let name: String
    public let region: String
    /// Building, provider or disk; two sites are only worth two if they are not lost together.
    public let location: String
    public let store: any BlobStore

    public init(name: String, region: String, location: String, store: any BlobStore) {
        self.name = name
        self.region = region
        self.location = location
        self.store = store
    }
}

/// How a site fared since its `ReplicatedBlobStore` was made.
public struct SiteReport: Sendable, Hashable {
    public let name: String
    public let region: String
    public let location: String
    /// Nothing speaks against it holding everything: it answered every put with success, and no listing or read found
    /// it lacking what another site has. A site that is not complete makes a backup degraded.
    public let isComplete: Bool
    /// Why it is not complete, for people; nil if it is.
    public let problem: String?
    /// Names of the other sites on the same device; such sites are not separate.
    public let sharesDeviceWith: [String]
    /// Objects that it stored, and their bytes.
    public let storedObjects: Int
    public let storedBytes: Int64

    /// Whether no other site is known to lie on the same device.
    public var isSeparate: Bool { sharesDeviceWith.isEmpty }

    /// The same in the form that a backup keeps.
    public var placement: SitePlacement {
        SitePlacement(site: name, isComplete: isComplete, problem: problem, isNotSeparate: isSeparate ? nil : true)
    }
}
