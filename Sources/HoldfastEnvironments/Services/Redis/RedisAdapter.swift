import Foundation
import HoldfastModel

/// Redis and Valkey as services that we run, with and without data that is kept.
///
/// A service's directory holds `data` (the environment's user's) and `conf` (the control plane's: settings, users, and
/// `endpoint.json` with the passwords). The kinds that keep data log every write; a backup is a point in time that the
/// server makes by a fork. The kinds that do not are empty after a start, and after a restore.
package struct RedisAdapter: ServiceAdapter {
    /// Bounds and the clock that they are measured with.
    package struct Options: Sendable {
        /// For what is done in the hold.
        package var markTimeout: Duration = .seconds(3)
        /// For the file that the fork writes.
        package var saveTimeout: Duration = .seconds(1800)
        package var commandTimeout: Duration = .seconds(30)
        /// For a restored server to load its data.
        package var recoveryTimeout: Duration = .seconds(3600)
        package var time: any TimeSource = SystemTime()

        package init() {}
    }

    package static let typeNames = ["redis", "redis-persistent", "valkey", "valkey-persistent"]
    package static let superuser = "holdfast"
    let options: Options

    package init() { self.init(options: Options()) }

    package init(options: Options) { self.options = options }

    package var stopSignal: Int32 { SIGTERM }

    static func isPersistent(_ type: TypeReference) -> Bool { type.name.hasSuffix("-persistent") }
    static func socket(_ instance: ServiceInstance) -> String { instance.runDirectory + "/redis.sock" }

    package func prepare(_ instance: ServiceInstance) throws {
        _ = try InstalledTypes().resolve(service: instance.type)
        let settings = try RedisSettings(instance.configuration)
        let root = try ServiceDirectories.prepare(instance, socket: "redis.sock")
        if try root.status("data") == nil { try EmptyBackup.makeData(instance, in: root) }
        try RedisFiles.check(try root.directory("data"), of: instance)
        let conf = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        let passwords = try ServicePasswords(instance)
        let users = RedisSettings.users(
            own: SecretDigest.hexadecimal(of: try passwords.password(of: Self.superuser)),
            app: SecretDigest.hexadecimal(of: try passwords.password(of: "default")))
        try conf.write("users.acl", Array(users.utf8), mode: 0o400, owner: instance.user)
        try conf.write("server.conf", Array(settings.server(instance).utf8), mode: 0o644)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let type = try InstalledTypes().resolve(service: instance.type)
        guard let server = type.programs.values.first else {
            throw HoldfastError(.internalFault, "'\(instance.type)' was found without a program")
        }
        return ServiceProcesses.specification(server, [instance.configurationDirectory + "/server.conf"], instance)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        do {
            let session = try session(instance)
            defer { session.close() }
            return try session.info("persistence", timeout: options.commandTimeout)["loading"] == "0"
        } catch let error as HoldfastError where error.code == .unavailable || error.code == .notFound {
            // Without a directory for its password it was never prepared.
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        if Self.isPersistent(instance.type) {
            // A backup whose process was killed may have left it off.
            let session = try session(instance)
            defer { session.close() }
            try RedisBackup.setRewrites(true, session, timeout: options.commandTimeout)
        }
        return ServiceEndpoint(
            scheme: "redis", host: "127.0.0.1", port: instance.port, username: "",
            password: try ServicePasswords(instance).password(of: "default"), path: "")
    }

    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        let session = try session(instance)
        defer { session.close() }
        let fields = try session.info("server", timeout: options.commandTimeout)
        // Valkey answers both: the one it is compatible with, and its own.
        return fields["valkey_version"] ?? fields["redis_version"] ?? ""
    }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        guard Self.isPersistent(instance.type) else {
            return ServicePreflight(notices: ["keeps nothing: it will be empty after a restore"])
        }
        let session = try session(instance)
        defer { session.close() }
        return try RedisBackup.preflight(session, instance: instance, timeout: options.commandTimeout)
    }

    package func forecast(_ instance: ServiceInstance) throws -> ServiceForecast {
        guard Self.isPersistent(instance.type) else { return .empty }
        return ServiceForecast(
            method: "physical",
            mark: "in the hold writes wait for its fork, which takes longer the more memory it has; its file is "
                + "written and copied after it")
    }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        guard Self.isPersistent(instance.type) else { return EmptyBackup(instance) }
        return try RedisBackup.begin(instance, adapter: self)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        try RedisRestore(adapter: self, instance: instance).prepare(manifest)
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try RedisRestore(adapter: self, instance: instance).verify()
    }

    /// Connects with all rights, and makes sure that it is this instance that answers.
    package func session(_ instance: ServiceInstance) throws -> RedisSession {
        let password = try ServicePasswords(instance).password(of: Self.superuser)
        let session = try RedisSession(
            socket: Self.socket(instance), user: Self.superuser, password: password,
            name: "service '\(instance.name)'", time: options.time)
        let answer = try session.call(["CONFIG", "GET", "dir"], timeout: options.commandTimeout)
        guard case .list(let parts) = answer, parts.count == 2, let served = parts[1].string,
            ServiceDirectories.realPath(served) == ServiceDirectories.realPath(instance.dataDirectory)
        else {
            session.close()
            throw HoldfastError(
                .conflict, "at the socket of service '\(instance.name)' another server answers",
                hint: "Stop it, or give the two services different run directories and ports")
        }
        return session
    }
}
