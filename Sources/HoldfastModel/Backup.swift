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
    public var keeping = BackupKeeping()

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

    /// Why it cannot be restored as things are; nil if it can.
    ///
    /// - Parameter now: how its project's sites are; a site that is not among them counts as reachable.
    public func restoreObstacle(now: [SiteState]) -> String? {
        guard status == .created else { return "it is being deleted" }
        guard !keeping.isDeleted else { return "it is deleted" }
        let lost = Dictionary(now.filter { !$0.isReachable }.map { ($0.site, $0) }) { first, _ in first }
        let complete = sites.filter(\.isComplete).map(\.site)
        guard complete.allSatisfy({ lost[$0] != nil }) else { return nil }
        return "it is complete only on \(complete.joined(separator: ", ")), which cannot be reached now"
    }

    /// Whether a site is known now to lie on a device of its own; nil while that cannot be seen.
    public func isSeparate(_ site: String, now: [SiteState]) -> Bool? {
        guard let own = now.first(where: { $0.site == site }) else {
            return sites.first { $0.site == site }.map { $0.isNotSeparate != true }
        }
        let others = now.filter { $0.site != site }
        guard let device = own.device else { return nil }
        if others.contains(where: { $0.device == device }) { return false }
        return others.allSatisfy { $0.device != nil } ? true : nil
    }
}

/// How a site is at this moment.
public struct SiteState: Sendable, Hashable {
    public let site: String
    public let isReachable: Bool
    /// The device that it lies on; nil if that is not known.
    public let device: UInt64?

    public init(site: String, isReachable: Bool, device: UInt64?) {
        self.site = site
        self.isReachable = isReachable
        self.device = device
    }
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
