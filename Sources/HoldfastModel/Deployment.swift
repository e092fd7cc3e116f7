import Foundation

/// What runs now in an environment, and what ran before: `current.json`. Replacing that file by a rename is the switch.
///
/// All directories are relative to the environment's directory and are of the form `kind/name/.../number`.
public struct CurrentState: Sendable, Codable, Hashable {
    /// Version of this file's layout; 1.
    public var version: Int
    /// Grows by one with each switch.
    public var generation: Int
    public var deployment: DeploymentRecord
    /// App name -> directory of the built app, such as `apps/ledger/3`.
    public var apps: [String: String]
    /// Service name -> its live data.
    public var services: [String: ServiceRecord]
    /// App name -> mount path -> directory, such as `mounts/ledger/files/1`.
    public var mounts: [String: [String: String]]
    /// The activity that made this the current state.
    public var switchedBy: ActivityID?
    /// The states before, the newest first, none of which has a `before` of its own: an undo leads to the first. There
    /// is more than one only while a switch has not come to its end. Nil in files that were written before there was
    /// this key: then `previous.json` has the state before.
    public var before: [CurrentState]?

    public init(deployment: DeploymentRecord) {
        self.version = 1
        self.generation = 1
        self.deployment = deployment
        self.apps = [:]
        self.services = [:]
        self.mounts = [:]
    }
}

/// One deployment: a commit that was built, or one that came back with a backup.
public struct DeploymentRecord: Sendable, Codable, Hashable {
    /// Identifier of its own: 13 characters.
    public var id: String
    /// The commit whose code runs, 40 hexadecimal digits.
    public var commit: String
    /// The backup that this code came from; nil for code built from the repository.
    public var restoredFrom: BackupID?
    public var createdAt: Date
    /// The text of `.upsun/config.yaml` that this deployment runs.
    public var configuration: String
    /// Variables of project and environment when it was deployed.
    public var variables: [String: Secret]

    public init(id: String, commit: String, createdAt: Date, configuration: String) {
        self.id = id
        self.commit = commit
        self.createdAt = createdAt
        self.configuration = configuration
        self.variables = [:]
    }
}

/// A service's live data directory and the type that can read it.
public struct ServiceRecord: Sendable, Codable, Hashable {
    /// `name:version`, such as `postgresql:15`.
    public var type: String
    /// Such as `services/db/2`.
    public var directory: String

    public init(type: String, directory: String) {
        self.type = type
        self.directory = directory
    }
}
