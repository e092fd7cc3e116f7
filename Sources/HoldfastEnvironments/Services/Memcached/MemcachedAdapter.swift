import Foundation
import HoldfastModel

/// memcached as a service that we run: a cache in memory, empty after each start and after a restore, so that it never
/// answers with what the restored database does not know.
///
/// It has no users: whoever reaches its loopback port may use it.
package struct MemcachedAdapter: ServiceAdapter {
    package static let typeNames = ["memcached"]
    private let time: any TimeSource

    package init() { self.init(time: SystemTime()) }

    package init(time: any TimeSource) { self.time = time }

    package var stopSignal: Int32 { SIGTERM }

    package func prepare(_ instance: ServiceInstance) throws {
        _ = try InstalledTypes().resolve(service: instance.type)
        try SettingsReader(instance.configuration, known: []).checkKeys()
        let root = try ServiceDirectories.prepare(instance, socket: "memcached.sock")
        if try root.status("data") == nil { try EmptyBackup.makeData(instance, in: root) }
        let data = try root.directory("data")
        guard let name = try data.names().first else { return }
        throw HoldfastError(
            .damaged, "the data directory '\(data.path)' of service '\(instance.name)' holds '\(name)'",
            hint: "Move it away: memcached keeps no files")
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let type = try InstalledTypes().resolve(service: instance.type)
        guard let server = type.programs["memcached"] else {
            throw HoldfastError(.internalFault, "'\(instance.type)' was found without a program")
        }
        return ServiceProcesses.specification(
            server, ["-l", "127.0.0.1", "-p", "\(instance.port)", "-U", "0", "-m", "64", "-c", "1024"], instance)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        do {
            return try !serverVersion(instance).isEmpty
        } catch let error as HoldfastError where error.code == .unavailable {
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        ServiceEndpoint(
            scheme: "memcached", host: "127.0.0.1", port: instance.port, username: "", password: Secret(""), path: "")
    }

    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        let socket = try LineSocket(.port(instance.port), name: "service '\(instance.name)'", time: time)
        defer { socket.close() }
        let deadline = Deadline(after: .seconds(10), time: time)
        try socket.send(Array("version\r\n".utf8), deadline)
        let line = try socket.line(deadline)
        guard line.hasPrefix("VERSION ") else {
            throw HoldfastError(
                .conflict, "at the port of service '\(instance.name)' another server answers",
                hint: "Stop it, or redeploy the environment")
        }
        return String(line.dropFirst(8))
    }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        ServicePreflight(notices: ["keeps nothing: it will be empty after a restore"])
    }

    package func forecast(_ instance: ServiceInstance) throws -> ServiceForecast { .empty }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        EmptyBackup(instance)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        try manifest.check(for: instance, method: "empty")
        _ = try InstalledTypes().resolve(service: instance.type)
        let root = try GuardedDirectory.make(instance.directory, mode: 0o755)
        try root.removeAll("data")
        try EmptyBackup.makeData(instance, in: root)
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try waitUntilReady(instance, timeout: .seconds(60), time: time)
        return ["begins empty"]
    }
}
