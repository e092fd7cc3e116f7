import HoldfastModel

/// Bounds for a service that is backed up by its files alone, and the clock that they are measured with.
package struct FrozenOptions: Sendable {
    /// The longest that the service stands still while its changed files are copied.
    package var frozenTimeout: Duration = .seconds(10)
    /// For a restored service to come up.
    package var recoveryTimeout: Duration = .seconds(3600)
    /// For one question whether it is ready.
    package var readyTimeout: Duration = .seconds(10)
    package var time: any TimeSource = SystemTime()

    package init() {}
}

/// A kind of service that is backed up by its files alone, copied while its processes stand still.
///
/// A backup holds what a crash at the mark would have left, so this is for servers that survive `kill -9`.
package protocol FrozenAdapter: ServiceAdapter {
    var options: FrozenOptions { get }

    /// Whether its data is backed up; else it is empty after a restore.
    func keepsData(_ instance: ServiceInstance) throws -> Bool

    /// Paths of the data directory that are not backed up.
    func leftOut(_ instance: ServiceInstance) throws -> @Sendable (String) -> Bool
}

extension FrozenAdapter {
    package func keepsData(_ instance: ServiceInstance) throws -> Bool { true }

    package func leftOut(_ instance: ServiceInstance) throws -> @Sendable (String) -> Bool { { _ in false } }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        ServicePreflight(
            notices: [
                try keepsData(instance)
                    ? "is stored as after a crash at the mark" : "keeps nothing: it will be empty after a restore"
            ])
    }

    package func forecast(_ instance: ServiceInstance) throws -> ServiceForecast {
        guard try keepsData(instance) else { return .empty }
        return ServiceForecast(
            method: "frozen",
            mark: "read before; in the hold its processes stand still while files that changed are set aside",
            setsFilesAside: true)
    }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        guard try keepsData(instance) else { return EmptyBackup(instance) }
        let rules = FrozenBackup.Rules(
            skips: try leftOut(instance), bound: options.frozenTimeout, time: options.time)
        return try FrozenBackup(instance, rules: rules)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        let keeps = try keepsData(instance)
        try manifest.check(for: instance, method: keeps ? "frozen" : "empty")
        let version = manifest.serverVersion
        guard version.isEmpty || InstalledTypes.matches(wanted: instance.type.version, there: version) else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' is of version \(version), and '\(instance.type)' may not "
                    + "read its files", hint: "Restore it into a service of that version")
        }
        if keeps { try FileList.apply(to: instance) }
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try waitUntilReady(instance, timeout: options.recoveryTimeout, time: options.time)
        guard try keepsData(instance) else { return ["begins empty"] }
        try FileList.forget(instance)
        return ["started from the files of the mark"]
    }

    /// Makes the data directory of a server that puts all its files below one folder of it.
    ///
    /// - Parameter folder: the one that tells the server's data from other things.
    /// - Throws: `damaged` if there is something, and not this folder.
    func prepareData(_ instance: ServiceInstance, in root: GuardedDirectory, folder: String) throws {
        if try root.status("data") == nil { try EmptyBackup.makeData(instance, in: root) }
        let data = try root.directory("data")
        if try data.status(folder) != nil { return }
        guard try data.names().isEmpty else {
            throw HoldfastError(
                .damaged,
                "the data directory '\(data.path)' of service '\(instance.name)' is not empty and has no "
                    + "'\(folder)' in it", hint: "Move it away, or restore a backup")
        }
        try data.makeDirectory(folder, mode: 0o700).give(to: instance.user)
    }
}
