import Foundation

/// The user's object: one point in time of one environment.
public struct Backup: Sendable, Codable, Hashable, Identifiable {
    public let id: BackupID
    public let project: ProjectID
    public let environment: EnvironmentID
    /// The environment's name when the backup was taken.
    public let environmentName: String
    public var status: BackupStatus
    /// Consistent: taken under an unbroken hold.
    public let safe: Bool
    public let automated: Bool
    /// 40 hexadecimal digits.
    public let commit: String
    /// The deployment that ran, as an identifier of its own.
    public let deployment: String
    /// SHA-256 name of the snapshot object in the project's repository, 64 hexadecimal digits.
    public let snapshot: String
    /// Logical bytes in it.
    public let sizeBytes: Int64
    /// Bytes that it added to each site.
    public let addedBytes: Int64
    /// Which sites hold everything it needs; a site of the project that is missing here makes it degraded.
    public var sites: [SitePlacement]
    public let hold: HoldEvidence?
    public let skew: LiveSkew?
    public let createdAt: Date
    public var updatedAt: Date

    public init(
        id: BackupID, environment: Environment, safe: Bool, automated: Bool, commit: String, deployment: String,
        snapshot: String, sizes: (logical: Int64, added: Int64), sites: [SitePlacement],
        evidence: (hold: HoldEvidence?, skew: LiveSkew?), createdAt: Date, updatedAt: Date
    ) {
        self.id = id
        self.project = environment.project
        self.environment = environment.id
        self.environmentName = environment.name
        self.status = .created
        self.safe = safe
        self.automated = automated
        self.commit = commit
        self.deployment = deployment
        self.snapshot = snapshot
        self.sizeBytes = sizes.logical
        self.addedBytes = sizes.added
        self.sites = sites
        self.hold = evidence.hold
        self.skew = evidence.skew
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }

    public var isDegraded: Bool { sites.contains { !$0.isComplete } }
}

public enum BackupStatus: String, Sendable, Codable {
    case created = "CREATED"
    case deleting = "DELETING"
}

/// One site's share in a backup.
public struct SitePlacement: Sendable, Codable, Hashable {
    public let site: String
    public let isComplete: Bool
    /// Why the site is not complete, for people.
    public let problem: String?
    /// The site lies on one device with another: both are lost together.
    public let isNotSeparate: Bool?

    public init(site: String, isComplete: Bool, problem: String? = nil, isNotSeparate: Bool? = nil) {
        self.site = site
        self.isComplete = isComplete
        self.problem = problem
        self.isNotSeparate = isNotSeparate
    }
}
