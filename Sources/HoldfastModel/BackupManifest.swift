import Foundation

/// `/manifest.json` of a backup: what is in it, and what proves it. It is encrypted as all else in the repository.
public struct BackupManifest: Sendable, Codable, Hashable {
    /// Version of this layout; 1.
    public var version: Int
    public var backup: BackupID
    public var project: ProjectID
    public var environment: EnvironmentID
    public var environmentName: String
    public var environmentType: EnvironmentType
    public var createdAt: Date
    public var safe: Bool
    public var automated: Bool
    public var deployment: DeploymentRecord
    public var services: [String: ServiceManifest]
    /// App name -> mount path -> what was stored.
    public var mounts: [String: [String: MountManifest]]
    /// App name -> path of the built app in the backup's tree.
    public var apps: [String: String]
    /// Path of the Git bundle in the tree, and its SHA-256.
    public var bundle: PartDigest?
    public var hold: HoldEvidence?
    public var skew: LiveSkew?
    /// The slots that were due when it began; absent in manifests of manual backups, and of old ones.
    public var claims: [SlotClaim]?

    public init(backup: BackupID, environment: Environment, createdAt: Date, deployment: DeploymentRecord) {
        self.version = 1
        self.backup = backup
        self.project = environment.project
        self.environment = environment.id
        self.environmentName = environment.name
        self.environmentType = environment.type
        self.createdAt = createdAt
        self.safe = false
        self.automated = false
        self.deployment = deployment
        self.services = [:]
        self.mounts = [:]
        self.apps = [:]
    }
}

/// How one service was stored, and at which point.
public struct ServiceManifest: Sendable, Codable, Hashable {
    /// `name:version` of the configuration.
    public var type: String
    /// The full version of the server, such as `15.18`.
    public var serverVersion: String
    /// `physical`, `logical`, `frozen` or `empty`.
    public var method: String
    /// Path in the backup's tree, such as `/services/db`.
    public var path: String
    /// The mark, in the service's own terms: for PostgreSQL the restore point's name and position.
    public var mark: [String: String]
    public var bytes: Int64
    /// Damage that the service's files had when they were copied, for people; nil if none was found.
    public var damage: [String]?
    /// What its databases need of the machine that they are restored on, by name; nil if the service does not say it,
    /// and in old backups.
    public var databases: [String: DatabaseManifest]?

    public init(
        type: String, serverVersion: String, method: String, path: String, mark: [String: String], bytes: Int64
    ) {
        self.type = type
        self.serverVersion = serverVersion
        self.method = method
        self.path = path
        self.mark = mark
        self.bytes = bytes
    }
}

/// What one database needs of the machine, beside its server.
public struct DatabaseManifest: Sendable, Codable, Hashable {
    /// Extensions by name, with their versions.
    public var extensions: [String: String]
    /// Collations of its indexes by name, with the versions of the libraries that ordered them; `default` is the
    /// database's own. Those that order by bytes have no version, and are not named.
    public var collations: [String: String]

    public init(extensions: [String: String], collations: [String: String]) {
        self.extensions = extensions
        self.collations = collations
    }
}

public struct MountManifest: Sendable, Codable, Hashable {
    /// Path in the backup's tree, such as `/mounts/ledger/files`.
    public var path: String
    /// `storage`, `service` or `instance`.
    public var source: String
    public var files: Int
    public var bytes: Int64

    public init(path: String, source: String, files: Int, bytes: Int64) {
        self.path = path
        self.source = source
        self.files = files
        self.bytes = bytes
    }
}

public struct PartDigest: Sendable, Codable, Hashable {
    public var path: String
    /// 64 hexadecimal digits.
    public var sha256: String

    public init(path: String, sha256: String) {
        self.path = path
        self.sha256 = sha256
    }
}
