import Foundation
import HoldfastModel

/// A data directory as MariaDB makes it, and the files in `conf` that it starts with.
struct MariaDBInstallation {
    private static let unfinished = "data.new"
    private static let versionFile = "mysql_upgrade_info"

    let instance: ServiceInstance
    let programs: ResolvedType

    /// - Throws: `unsupported` if the version is not installed.
    init(_ instance: ServiceInstance) throws {
        self.instance = instance
        programs = try InstalledTypes().resolve(service: instance.type)
    }

    func program(_ name: String) throws -> String {
        guard let path = programs.programs[name] else {
            throw HoldfastError(.internalFault, "'\(instance.type)' was found without \(name)")
        }
        return path
    }

    /// Makes the system tables, whole or not at all.
    func create(in root: GuardedDirectory) throws {
        try root.removeAll(Self.unfinished)
        let directory = try root.makeDirectory(Self.unfinished, mode: 0o700)
        try directory.give(to: instance.user)
        // The only account is the control plane's: it is let in through the socket, by its name on this machine.
        try ServiceProcesses.run(
            program("mariadb-install-db"),
            [
                "--no-defaults", "--datadir=\(directory.path)", "--auth-root-authentication-method=socket",
                "--auth-root-socket-user=\(ServiceProcesses.ownName())", "--skip-test-db", "--skip-name-resolve",
                "--innodb-log-file-size=\(MariaDBFiles.logFileSize)",
            ], instance, timeout: .seconds(300))
        try root.rename(Self.unfinished, to: "data")
    }

    /// Refuses data that this version did not write, or that is not whole.
    func check(_ data: GuardedDirectory) throws {
        for name in ["ibdata1", "ib_logfile0", "aria_log_control", "mysql", Self.versionFile]
        where try data.status(name) == nil {
            throw HoldfastError(
                .damaged, "the data directory '\(data.path)' of service '\(instance.name)' has no \(name)",
                hint: "Restore a backup, or remove the directory to begin with an empty database")
        }
        let text = String(decoding: try data.read(Self.versionFile, limit: 256), as: UTF8.self)
        let version = InstalledTypes.version(in: text) ?? ""
        let server = InstalledTypes.version(in: VersionProbe.run(try program("mariadbd"), ["--version"])) ?? ""
        guard !version.isEmpty, Self.series(version) == Self.series(server) else {
            throw Self.wrongVersion(instance, found: version)
        }
    }

    /// `10.11` of `10.11.19`: versions that read each other's data.
    static func series(_ version: String) -> String {
        version.split(separator: ".").prefix(2).joined(separator: ".")
    }

    static func wrongVersion(_ instance: ServiceInstance, found: String) -> HoldfastError {
        HoldfastError(
            .unsupported,
            "service '\(instance.name)' is of type '\(instance.type)', and its data was written by MariaDB "
                + (found.isEmpty ? "of an unknown version" : found),
            hint: "Give the service the type '\(instance.type.name):\(series(found))', or move the data by a dump")
    }

    func writeConfiguration(_ settings: MariaDBSettings) throws {
        let conf = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        let files = MariaDBFiles(instance: instance, settings: settings)
        try conf.write("my.cnf", Array(files.server.utf8), mode: 0o644)
        try conf.write("init.sql", Array(files.accounts(own: ServiceProcesses.ownName()).utf8), mode: 0o644)
    }
}

/// The files in a service's `conf` directory, as text. All of them are written anew before each start.
struct MariaDBFiles {
    /// All of it is copied in each hold, so it is not larger than it has to be.
    static let logFileSize = 32 << 20

    let instance: ServiceInstance
    let settings: MariaDBSettings

    var socket: String { Self.socket(instance) }
    static func socket(_ instance: ServiceInstance) -> String { instance.runDirectory + "/mariadb.sock" }

    /// The server's settings.
    ///
    /// Files are read and written through the system's cache, and by the server's own threads: a hold then copies out
    /// of memory, and no write is under way once the threads stand still.
    var server: String {
        var lines = [
            "datadir=\(instance.dataDirectory)", "socket=\(socket)", "port=\(instance.port)", "bind-address=127.0.0.1",
            "pid-file=\(instance.runDirectory)/mariadb.pid", "tmpdir=\(instance.directory)/tmp",
            "secure-file-priv=\(instance.directory)/tmp", "init-file=\(instance.configurationDirectory)/init.sql",
            "skip-name-resolve", "symbolic-links=0", "local-infile=0", "default-time-zone=+00:00",
            "max-connections=150", "max-allowed-packet=\(settings.maxAllowedPacket)M",
            "character-set-server=\(settings.charset)", "innodb-buffer-pool-size=128M",
            "innodb-log-file-size=\(Self.logFileSize)", "innodb-flush-log-at-trx-commit=1",
            "innodb-flush-method=fsync", "innodb-use-native-aio=OFF", "innodb-file-per-table=ON",
            "aria-pagecache-buffer-size=16M", "skip-log-bin",
        ]
        if let collation = settings.collation { lines.append("collation-server=\(collation)") }
        return "# Written by Holdfast before each start; changes are lost.\n[mariadbd]\n"
            + lines.joined(separator: "\n") + "\n"
    }

    /// What the server runs when it starts: whatever a restored copy has for accounts, ours is the only one with all
    /// rights, and it needs no password.
    func accounts(own: String) -> String {
        let account = "\(MariaDBSession.literal(own))@'localhost'"
        let others = Set(["root", instance.user.name, ""]).subtracting([own]).sorted()
            .map { "\(MariaDBSession.literal($0))@'localhost'" }
        return [
            "CREATE USER IF NOT EXISTS \(account) IDENTIFIED VIA unix_socket",
            "ALTER USER \(account) IDENTIFIED VIA unix_socket",
            "GRANT ALL PRIVILEGES ON *.* TO \(account) WITH GRANT OPTION",
            "DROP USER IF EXISTS \(others.joined(separator: ", "))",
        ].joined(separator: ";\n") + ";\n"
    }
}
