/// One thing to do to an environment or to a backup; each becomes one activity.
public enum OperationRequest: Sendable, Hashable {
    /// With `orLive` a live one if there is no consistent point to be had in time.
    case backup(EnvironmentID, safe: Bool, orLive: Bool = false)
    /// With `force` also a protected one; with `now` it is gone at once and cannot be brought back.
    case deleteBackup(BackupID, force: Bool = false, now: Bool = false)
    case restore(BackupID, RestoreRequest)
    /// Restores a backup aside, checks it and throws it away.
    case drill(BackupID)
    /// Puts back what ran before the environment's last restore.
    case undoRestore(EnvironmentID)
    case redeploy(EnvironmentID)
    case activate(EnvironmentID)
    case deactivate(EnvironmentID)
    case pause(EnvironmentID)
    case resume(EnvironmentID)
    case push(ProjectID, branch: String, commit: String)
    case deleteEnvironment(EnvironmentID)
}

/// How to restore; the defaults are the contract's.
public struct RestoreRequest: Sendable, Hashable {
    /// Name of the environment to restore into; nil for the backup's own.
    public var target: String?
    /// Parent of the target if it does not exist yet.
    public var branchFrom: String?
    public var restoreCode: Bool
    public var restoreResources: Bool
    /// `backup`, `parent`, `default` or `minimum`; nil for `backup`.
    public var resourcesInit: String?

    public init(
        target: String? = nil, branchFrom: String? = nil, restoreCode: Bool = true, restoreResources: Bool = true,
        resourcesInit: String? = nil
    ) {
        self.target = target
        self.branchFrom = branchFrom
        self.restoreCode = restoreCode
        self.restoreResources = restoreResources
        self.resourcesInit = resourcesInit
    }
}
