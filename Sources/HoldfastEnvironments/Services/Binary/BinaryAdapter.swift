import Foundation
import HoldfastModel

/// Any server that keeps its data in one directory: how it is started is the configuration's to say.
///
/// A backup freezes its processes and takes the files as they are, so it holds what a crash at this instant would have
/// left; a server that survives `kill -9` survives a restore.
package struct BinaryAdapter: FrozenAdapter {
    package static let typeNames = ["binary"]
    private static let user = "holdfast"
    package let options: FrozenOptions

    package init() { self.init(options: FrozenOptions()) }

    package init(options: FrozenOptions) { self.options = options }

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

    package func keepsData(_ instance: ServiceInstance) throws -> Bool {
        try BinarySettings(instance.configuration).isPersistent
    }

    package func leftOut(_ instance: ServiceInstance) throws -> @Sendable (String) -> Bool {
        let settings = try BinarySettings(instance.configuration)
        return { settings.leavesOut($0) }
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
        let server = LoopbackHTTP(port: instance.port, name: "service '\(instance.name)'", time: options.time)
        do {
            return try server.ask("GET", path, timeout: options.readyTimeout).status < 400
        } catch let error as HoldfastError where error.code == .damaged {
            return false
        }
    }
}
