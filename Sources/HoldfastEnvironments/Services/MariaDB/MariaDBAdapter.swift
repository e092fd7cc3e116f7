import Foundation
import HoldfastModel

/// MariaDB as a service that we run.
///
/// A service's directory holds `data` and `tmp` (the environment's user's), `conf` (the control plane's: settings,
/// accounts, and `endpoint.json` with the passwords) and, while a backup is taken, `hold`. The account with all rights
/// has no password: only the control plane's system user reaches it, through the Unix socket.
package struct MariaDBAdapter: ServiceAdapter {
    /// Bounds and the clock that they are measured with.
    package struct Options: Sendable {
        /// For each statement of the mark.
        package var fenceTimeout: Duration = .seconds(3)
        /// For asking, in the hold, what has kept a mark waiting that failed.
        package var blockersTimeout: Duration = .seconds(1)
        /// The longest that the server stands still while its changed files are copied.
        package var frozenTimeout: Duration = .seconds(10)
        /// For anything else that is asked of the server.
        package var statementTimeout: Duration = .seconds(60)
        /// For the recovery and the check of a restored server.
        package var recoveryTimeout: Duration = .seconds(3600)
        /// Transactions open for longer are named before a backup.
        package var longTransaction: Duration = .seconds(5)
        package var time: any TimeSource = SystemTime()

        package init() {}
    }

    package static let typeNames = ["mariadb", "mysql"]
    let options: Options

    package init() { self.init(options: Options()) }

    package init(options: Options) { self.options = options }

    package var stopSignal: Int32 { SIGTERM }

    package func prepare(_ instance: ServiceInstance) throws {
        let installation = try MariaDBInstallation(instance)
        let settings = try MariaDBSettings(instance.configuration)
        let root = try ServiceDirectories.prepare(instance, socket: "mariadb.sock")
        if try root.status("data") == nil { try installation.create(in: root) }
        try installation.check(try root.directory("data"))
        try ServiceDirectories.makeScratch("tmp", in: root, instance)
        try installation.writeConfiguration(settings)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        ServiceProcesses.specification(
            try MariaDBInstallation(instance).program("mariadbd"),
            ["--defaults-file=\(instance.configurationDirectory)/my.cnf"], instance)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        do {
            let session = try session(instance)
            defer { session.close() }
            return try session.value("SELECT 1", timeout: options.statementTimeout) == "1"
        } catch let error as HoldfastError where error.code == .unavailable {
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        let settings = try MariaDBSettings(instance.configuration)
        let access = try MariaDBProvision(adapter: self, instance: instance).apply(settings)
        let name =
            settings.endpoints[MariaDBSettings.endpoint] == nil
            ? settings.endpoints.keys.min() : MariaDBSettings.endpoint
        guard let usual = name.flatMap({ access[$0] }) else {
            throw HoldfastError(.internalFault, "service '\(instance.name)' has no endpoint")
        }
        var endpoint = ServiceEndpoint(
            scheme: "mysql", host: "127.0.0.1", port: instance.port, username: usual.username,
            password: usual.password, path: usual.path)
        endpoint.named = access
        return endpoint
    }

    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        let session = try session(instance)
        defer { session.close() }
        return try version(session)
    }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        try MariaDBPreflight(adapter: self, instance: instance).run()
    }

    package func forecast(_ instance: ServiceInstance) throws -> ServiceForecast {
        ServiceForecast(
            method: "physical",
            mark: "read before; in the hold commits are kept out, which waits for statements that run, and it stands "
                + "still while files that changed are set aside", setsFilesAside: true)
    }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        try MariaDBBackup.begin(instance, adapter: self)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        try MariaDBRestore(adapter: self, instance: instance).prepare(manifest)
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try MariaDBRestore(adapter: self, instance: instance).verify()
    }
}

extension MariaDBAdapter {
    /// Connects with all rights, and makes sure that it is this instance that answers.
    ///
    /// - Throws: `conflict` if another data directory is served at the instance's socket.
    package func session(_ instance: ServiceInstance) throws -> MariaDBSession {
        let target = MariaDBTarget(
            .socket(MariaDBFiles.socket(instance)), user: try ServiceProcesses.ownName())
        let session = try MariaDBSession(
            target, name: "service '\(instance.name)'", timeout: .seconds(10), time: options.time)
        do {
            let served = try session.value("SELECT @@datadir", timeout: .seconds(10))
            guard ServiceDirectories.realPath(served) == ServiceDirectories.realPath(instance.dataDirectory) else {
                throw HoldfastError(
                    .conflict, "at the socket of service '\(instance.name)' the server of '\(served)' answers",
                    hint: "Stop it, or give the two services different run directories and ports")
            }
            return session
        } catch {
            session.close()
            throw error
        }
    }

    /// `10.11.19` out of `10.11.19-MariaDB-0+deb12u1`.
    func version(_ session: MariaDBSession) throws -> String {
        let text = try session.value("SELECT @@version", timeout: options.statementTimeout)
        return InstalledTypes.version(in: text) ?? text
    }
}
