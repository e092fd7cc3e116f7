import Foundation
import HoldfastModel

/// Any server that keeps its data in one directory: how it is started is the configuration's to say.
///
/// A backup freezes its processes and takes the files as they are, so it holds what a crash at this instant would have
/// left; a server that survives `kill -9` survives a restore.
package struct BinaryAdapter: ServiceAdapter {
    /// Bounds and the clock that they are measured with.
    package struct Options: Sendable {
        /// The longest that the service stands still while its changed files are copied.
        package var frozenTimeout: Duration = .seconds(10)
        /// For a restored service to come up.
        package var recoveryTimeout: Duration = .seconds(3600)
        package var readyTimeout: Duration = .seconds(10)
        package var time: any TimeSource = SystemTime()

        package init() {}
    }

    package static let typeNames = ["binary"]
    private static let user = "holdfast"
    let options: Options

    package init() { self.init(options: Options()) }

    package init(options: Options) { self.options = options }

    package var stopSignal: Int32 { SIGTERM }
    /// The shell around the command does not pass it on.
    package var signalsAll: Bool { true }

    package func prepare(_ instance: ServiceInstance) throws {
        let settings = try BinarySettings(instance.configuration)
        let root = try ServiceDirectories.prepare(instance, socket: "service.sock")
        if !settings.isPersistent { try root.removeAll("data") }
        if try root.status("data") == nil { try EmptyBackup.makeData(instance, in: root) }
        _ = try root.directory("data")
        _ = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        _ = try ServicePasswords(instance).password(of: Self.user)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let settings = try BinarySettings(instance.configuration)
        return ProcessSpecification.shell(
            settings.start, environment: try variables(instance, settings), directory: instance.dataDirectory,
            user: instance.user)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        let settings = try BinarySettings(instance.configuration)
        do {
            switch settings.ready {
            case .connection:
                try LineSocket(.port(instance.port), name: "service '\(instance.name)'", time: options.time).close()
                return true
            case .http(let path): return try answers(path, instance)
            case .command(let command):
                let specification = ProcessSpecification.shell(
                    command, environment: try variables(instance, settings), directory: instance.dataDirectory,
                    user: instance.user)
                return try ProcessRunner(time: options.time).run(
                    specification, options: ProcessOptions(timeout: options.readyTimeout, outputLimit: 4096)
                ).isSuccess
            }
        } catch let error as HoldfastError where error.isTemporary {
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        ServiceEndpoint(
            scheme: try BinarySettings(instance.configuration).scheme, host: "127.0.0.1", port: instance.port,
            username: Self.user, password: try ServicePasswords(instance).password(of: Self.user), path: "")
    }

    /// Nobody but the server itself knows.
    package func serverVersion(_ instance: ServiceInstance) throws -> String { "" }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        let settings = try BinarySettings(instance.configuration)
        return ServicePreflight(
            notices: [
                settings.isPersistent
                    ? "is stored as after a crash at the mark" : "keeps nothing: it will be empty after a restore"
            ])
    }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        let settings = try BinarySettings(instance.configuration)
        guard settings.isPersistent else { return EmptyBackup(instance) }
        let rules = FrozenBackup.Rules(
            skips: { settings.leavesOut($0) }, bound: options.frozenTimeout, time: options.time)
        return try FrozenBackup(instance, rules: rules)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        let settings = try BinarySettings(instance.configuration)
        try manifest.check(for: instance, method: settings.isPersistent ? "frozen" : "empty")
        if settings.isPersistent { try FileList.apply(to: instance) }
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try waitUntilReady(instance, timeout: options.recoveryTimeout, time: options.time)
        guard try BinarySettings(instance.configuration).isPersistent else { return ["begins empty"] }
        try FileList.forget(instance)
        return ["started from the files of the mark"]
    }

    private func variables(_ instance: ServiceInstance, _ settings: BinarySettings) throws -> [String: String] {
        let own = [
            "HOME": instance.dataDirectory, "PATH": InstalledTypes.systemPath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "PORT": "\(instance.port)", "HOLDFAST_DATA_DIR": instance.dataDirectory,
            "HOLDFAST_RUN_DIR": instance.runDirectory, "HOLDFAST_USERNAME": Self.user,
            "HOLDFAST_PASSWORD": try ServicePasswords(instance).password(of: Self.user).reveal(),
        ]
        return settings.variables.merging(own) { _, own in own }
    }

    private func answers(_ path: String, _ instance: ServiceInstance) throws -> Bool {
        let socket = try LineSocket(.port(instance.port), name: "service '\(instance.name)'", time: options.time)
        defer { socket.close() }
        let deadline = Deadline(after: options.readyTimeout, time: options.time)
        let request = "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(instance.port)\r\nConnection: close\r\n\r\n"
        try socket.send(Array(request.utf8), deadline)
        let words = try socket.line(deadline).split(separator: " ")
        guard words.count > 1, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else { return false }
        return status < 400
    }
}
