import Foundation
import HoldfastModel

/// InfluxDB 1 as a service that we run, with the database `main` and the user `user`.
///
/// A service's directory holds `data` (the environment's user's) and `conf` (the control plane's: settings, and
/// `endpoint.json` with the password). A backup takes the files of the frozen server, which syncs every write before it
/// answers.
package struct InfluxDBAdapter: FrozenAdapter {
    package static let typeNames = ["influxdb"]
    private static let user = "user"
    private static let database = "main"
    /// In the data directory: databases and users.
    private static let folder = "meta"
    /// Name under which the secret that the server shares with us is kept among the passwords.
    private static let secretName = "shared-secret"
    private static let commandTimeout = Duration.seconds(30)
    package let options: FrozenOptions

    package init() { self.init(options: FrozenOptions()) }

    package init(options: FrozenOptions) { self.options = options }

    package var stopSignal: Int32 { SIGTERM }

    package func prepare(_ instance: ServiceInstance) throws {
        _ = try InstalledTypes().resolve(service: instance.type)
        try SettingsReader(instance.configuration, known: []).checkKeys()
        let root = try ServiceDirectories.prepare(instance, socket: "influxdb.sock")
        try prepareData(instance, in: root, folder: Self.folder)
        let conf = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        let secret = try ServicePasswords(instance).password(of: Self.secretName)
        let text = Self.settings(instance, secret: secret)
        try conf.write("influxdb.conf", Array(text.utf8), mode: 0o400, owner: instance.user)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let type = try InstalledTypes().resolve(service: instance.type)
        guard let server = type.programs["influxd"] else {
            throw HoldfastError(.internalFault, "'\(instance.type)' was found without a program")
        }
        return ServiceProcesses.specification(
            server, ["run", "-config", instance.configurationDirectory + "/influxdb.conf"], instance)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        do {
            return try ping(instance).status == 204
        } catch let error as HoldfastError where error.isTemporary {
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        let passwords = try ServicePasswords(instance)
        let session = InfluxDBSession(
            instance, secret: try passwords.password(of: Self.secretName), time: options.time)
        try session.bootstrap(timeout: Self.commandTimeout)
        let password = try passwords.password(of: Self.user)
        try session.run("CREATE DATABASE \"\(Self.database)\"", timeout: Self.commandTimeout)
        // One that is there may have another password, and then is not made again.
        try? session.run(
            "CREATE USER \"\(Self.user)\" WITH PASSWORD '\(password.reveal())'", timeout: Self.commandTimeout)
        try session.run(
            "SET PASSWORD FOR \"\(Self.user)\" = '\(password.reveal())'", timeout: Self.commandTimeout)
        try session.run(
            "GRANT ALL ON \"\(Self.database)\" TO \"\(Self.user)\"", timeout: Self.commandTimeout)
        return ServiceEndpoint(
            scheme: "http", host: "127.0.0.1", port: instance.port, username: Self.user, password: password,
            path: Self.database)
    }

    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        guard let text = try ping(instance).fields["x-influxdb-version"], let version = InstalledTypes.version(in: text)
        else {
            throw HoldfastError(
                .conflict, "at the port of service '\(instance.name)' another server answers",
                hint: "Stop it, or redeploy the environment")
        }
        return version
    }

    private func ping(_ instance: ServiceInstance) throws -> LoopbackHTTP.Answer {
        try LoopbackHTTP(port: instance.port, name: "service '\(instance.name)'", time: options.time)
            .ask("GET", "/ping", timeout: options.readyTimeout)
    }

    private static func settings(_ instance: ServiceInstance, secret: Secret) -> String {
        func quoted(_ text: String) -> String {
            "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
        }
        let data = instance.dataDirectory
        return """
            # Written by Holdfast before each start; changes are lost.
            reporting-disabled = true
            bind-address = "127.0.0.1:0"
            [meta]
            dir = \(quoted("\(data)/\(folder)"))
            [data]
            dir = \(quoted("\(data)/data"))
            wal-dir = \(quoted("\(data)/wal"))
            query-log-enabled = false
            [monitor]
            store-enabled = false
            [http]
            bind-address = "127.0.0.1:\(instance.port)"
            auth-enabled = true
            log-enabled = false
            shared-secret = \(quoted(secret.reveal()))

            """
    }
}
