import Foundation
import HoldfastModel

/// PostgreSQL as a service that we run.
///
/// A service's directory holds `data` (the environment's user's), `conf` (the control plane's: settings, who may
/// connect, and `endpoint.json` with the password) and, until a restore is verified, `wal`. The superuser `holdfast`
/// has no password: only the control plane's system user reaches it, through the Unix socket.
package struct PostgreSQLAdapter: ServiceAdapter {
    /// Bounds and the clock that they are measured with.
    package struct Options: Sendable {
        /// For what is done in the hold.
        package var markTimeout: Duration = .seconds(3)
        /// For the checkpoint with which a backup begins.
        package var startTimeout: Duration = .seconds(600)
        /// For anything else that is asked of the server.
        package var statementTimeout: Duration = .seconds(60)
        /// For the recovery of a restored server.
        package var recoveryTimeout: Duration = .seconds(3600)
        /// Without its lock file a server that is recovered is being started for so long, and has ended then.
        package var startPatience: Duration = .seconds(10)
        /// Transactions open for longer are named before a backup.
        package var longTransaction: Duration = .seconds(5)
        package var time: any TimeSource = SystemTime()

        package init() {}
    }

    package static let typeNames = ["postgresql"]
    package static let superuser = "holdfast"
    let options: Options

    package init() { self.init(options: Options()) }

    package init(options: Options) { self.options = options }

    /// SIGINT is PostgreSQL's fast shutdown: open transactions are rolled back, and a checkpoint is written.
    package var stopSignal: Int32 { SIGINT }

    package func prepare(_ instance: ServiceInstance) throws {
        let programs = try PostgreSQLPrograms(instance.type)
        _ = try PostgreSQLSettings(instance.configuration)
        let root = try ServiceDirectories.prepare(instance, socket: ".s.PGSQL.\(instance.port)")
        if try root.status("data") == nil {
            try PostgreSQLCluster.create(instance, in: root, with: programs)
        }
        let data = try root.directory("data")
        let version = try PostgreSQLCluster.version(of: data, service: instance.name)
        guard version == programs.major else { throw Self.wrongVersion(instance, found: version) }
        try PostgreSQLCluster.removeStaleLock(of: data, path: instance.dataDirectory)
        try writeConfiguration(instance)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let programs = try PostgreSQLPrograms(instance.type)
        let files = instance.configurationDirectory
        let settings = [
            "config_file=\(files)/postgresql.conf", "hba_file=\(files)/pg_hba.conf",
            "ident_file=\(files)/pg_ident.conf", "listen_addresses=127.0.0.1", "port=\(instance.port)",
            "unix_socket_directories=\(PostgreSQLConfigurationFiles.socketDirectories(instance.runDirectory))",
            "log_destination=stderr", "logging_collector=off", "archive_mode=off", "ssl=off",
        ]
        return ServiceProcesses.specification(
            programs.path("postgres"), ["-D", instance.dataDirectory] + settings.flatMap { ["-c", $0] }, instance)
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        guard PostgreSQLSession.answers(target(instance)) else { return false }
        do {
            let session = try session(instance)
            defer { session.close() }
            return try session.value("SELECT pg_is_in_recovery()", timeout: options.statementTimeout) == "f"
        } catch let error as HoldfastError where error.code == .unavailable {
            // Either it has just gone, or it is there and does not let us in: then nobody would ever learn why.
            guard !PostgreSQLSession.answers(target(instance)) else { throw error }
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        let settings = try PostgreSQLSettings(instance.configuration)
        let password = try ServicePasswords(instance).password(of: PostgreSQLSettings.role)
        try PostgreSQLProvision(adapter: self, instance: instance).apply(settings, password: password)
        return ServiceEndpoint(
            scheme: "pgsql", host: "127.0.0.1", port: instance.port, username: PostgreSQLSettings.role,
            password: password, path: PostgreSQLSettings.database, socketDirectory: instance.runDirectory)
    }

    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        let session = try session(instance)
        defer { session.close() }
        return try Self.version(session, timeout: options.statementTimeout)
    }

    package func preflight(_ instance: ServiceInstance) throws -> ServicePreflight {
        try PostgreSQLPreflight(adapter: self, instance: instance).run()
    }

    package func forecast(_ instance: ServiceInstance) throws -> ServiceForecast {
        ServiceForecast(
            method: "physical",
            mark: "read before; in the hold its copy is ended and a restore point set, some milliseconds whatever its "
                + "size; its log is copied after it")
    }

    package func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        try PostgreSQLBackup.begin(instance, label: label, adapter: self)
    }

    package func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        try PostgreSQLRestore(adapter: self, instance: instance).prepare(manifest)
    }

    package func verify(_ instance: ServiceInstance) throws -> [String] {
        try PostgreSQLVerification(adapter: self, instance: instance).run()
    }
}

extension PostgreSQLAdapter {
    /// Connects as superuser, and makes sure that it is this instance that answers.
    ///
    /// - Throws: `conflict` if another data directory is served at the instance's socket.
    package func session(
        _ instance: ServiceInstance, database: String = "postgres", settings: [String: String] = [:]
    ) throws -> PostgreSQLSession {
        let session = try PostgreSQLSession(
            target(instance, database: database, settings: settings), name: "service '\(instance.name)'",
            timeout: .seconds(10), time: options.time)
        do {
            let served = try session.value("SELECT current_setting('data_directory')", timeout: .seconds(10))
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

    func target(
        _ instance: ServiceInstance, database: String = "postgres", settings: [String: String] = [:]
    ) -> PostgreSQLTarget {
        // Without a search path of ours, a function that the database's owner made could run as superuser.
        let settings = settings.merging(
            [
                "statement_timeout": String(options.statementTimeout.wholeMilliseconds), "lock_timeout": "10000",
                "search_path": "pg_catalog",
            ]
        ) { own, _ in own }
        return PostgreSQLTarget(
            host: instance.runDirectory, port: instance.port, user: Self.superuser, database: database,
            requiredPeer: instance.user.name, settings: settings)
    }

    /// `15.18` out of `server_version_num`, because `server_version` carries the packager's remarks.
    static func version(_ session: PostgreSQLSession, timeout: Duration) throws -> String {
        let text = try session.value("SELECT current_setting('server_version_num')", timeout: timeout)
        let number = Int(text) ?? 0
        return "\(number / 10000).\(number % 10000)"
    }

    static func wrongVersion(_ instance: ServiceInstance, found: String) -> HoldfastError {
        HoldfastError(
            .unsupported,
            "service '\(instance.name)' is of type '\(instance.type)', and its data was written by PostgreSQL \(found)",
            hint: "Give the service the type 'postgresql:\(found)', or move the data by a dump")
    }

    private func writeConfiguration(_ instance: ServiceInstance) throws {
        let directory = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        let files = [
            "postgresql.conf": PostgreSQLConfigurationFiles.server(name: instance.name),
            "pg_hba.conf": PostgreSQLConfigurationFiles.access(superuser: Self.superuser),
            "pg_ident.conf": PostgreSQLConfigurationFiles.identities(
                systemUser: try ServiceProcesses.ownName(), superuser: Self.superuser),
        ]
        for (name, text) in files { try directory.write(name, Array(text.utf8), mode: 0o644) }
    }
}
