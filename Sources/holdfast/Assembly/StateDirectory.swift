import Foundation
import HoldfastBackup
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import HoldfastNotifications

/// The state directory: where everything lies that an installation has.
struct StateDirectory: Sendable {
    let path: String

    /// - Parameter path: absolute.
    init(_ path: String) { self.path = path }

    var catalogue: String { "\(path)/catalogue.sqlite" }
    var settings: String { "\(path)/settings.json" }
    var masterKey: String { "\(path)/keys/master.key" }
    var token: String { "\(path)/cli-token" }
    var url: String { "\(path)/cli-url" }
    var logs: String { "\(path)/log" }
    var gatewayRoutes: String { "\(path)/gateway/routes.json" }
    /// What may be removed at any time.
    var cache: String { "\(path)/cache" }
    var lock: String { "\(path)/serve.lock" }
    /// When a recovery kit was written last, and for which sites.
    var kitRecord: String { "\(path)/recovery-kit-made.json" }
    /// There while a project is being made.
    func unfinishedMark(_ project: ProjectID) -> String { "\(path)/projects/\(project).unfinished" }
    func gitDirectory(_ project: ProjectID) -> String { "\(path)/projects/\(project)/repository.git" }

    var run: String { RunDirectory.path(home: path) }
    var gatewaySocket: String { "\(run)/gateway.sock" }

    /// Makes what is missing. Environment users must be able to pass through, and see nothing else.
    func create() throws {
        let passage = geteuid() == 0 ? 0o711 : 0o700
        for (directory, mode) in [
            (path, passage), ("\(path)/keys", 0o700), ("\(path)/projects", 0o700), ("\(path)/environments", passage),
            ("\(path)/gateway", 0o700), ("\(path)/log", 0o700), (run, passage),
        ] {
            try makeDirectory(directory, mode: mode)
        }
    }

    private func makeDirectory(_ directory: String, mode: Int) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
        } catch {
            throw HoldfastError(
                .system, "cannot make the directory \(directory)", hint: "Choose another one with --home", cause: error)
        }
        var status = stat()
        guard lstat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() else {
            throw HoldfastError(
                .conflict, "\(directory) is not a directory of ours", hint: "Choose another one with --home")
        }
        if Int(status.st_mode & 0o7777) != mode { chmod(directory, mode_t(mode)) }
    }

    /// Writes a file that only its owner may read, in one step; it is there after a power failure, too. The master key
    /// is such a file: the catalogue may already hold what only this key opens.
    func writePrivate(_ text: String, to file: String) throws {
        try DurableFile.write(Array(text.utf8), to: file, mode: 0o600)
    }
}

/// `settings.json`: what an operator may change; `serve` reads it when it starts, and writes the defaults once.
struct Settings: Codable, Sendable {
    var region = "local"
    /// Where clients reach the API, if something stands in front of it; without one, where it listens.
    var url: String?
    var sites: [SiteConfiguration]
    /// How many sites must have stored a backup before it counts.
    var quorum = 1
    /// An existing user for all environments; without one each environment has a user of its own (when root).
    var environmentUser: String?
    /// Longest delay of a cron's start. At Upsun up to 20 minutes.
    var cronJitterSeconds = 0
    /// Hosts of environments end in it.
    var domain = "localhost"
    var holdLeaseMilliseconds = 5000
    var drainTimeoutMilliseconds = 10_000
    var holdCapMilliseconds = 15_000
    /// How long a backup waits, with the gate open, for a request that stands in the way. Absent in old files.
    var drainPatienceMilliseconds: Int? = 60_000
    /// Seconds that one build hook may take; nil for 900.
    var buildTimeoutSeconds: Int?
    /// Seconds in which a deleted backup can be brought back; nil for a day.
    var deletionGraceSeconds: Int?
    /// Mebibytes that a log may have; nil for 64.
    var logLimitMebibytes: Int?
    /// Seconds that an app may take until it listens; nil for 60.
    var appReadySeconds: Int?
    /// Who is told what is wrong; nil for nobody.
    var notifications: [NotificationChannel]?
    /// A file with the bearer token for `/metrics`; nil: there is no such path.
    var metricsTokenFile: String?
    /// Days from one drill in an environment to the next; nil for none.
    var drillDays: Int?
    /// From the closing of the gate until a new state that could not run beside the old one is up; nil for 12000.
    var switchReadyMilliseconds: Int?

    init(home: StateDirectory) {
        sites = ["site-a", "site-b"].map {
            SiteConfiguration(name: $0, region: "local", location: $0, path: "\(home.path)/sites/\($0)")
        }
    }

    static func load(_ home: StateDirectory) throws -> Settings {
        guard let data = FileManager.default.contents(atPath: home.settings) else {
            let settings = Settings(home: home)
            try settings.write(home)
            return settings
        }
        do {
            let settings = try JSONDecoder().decode(Settings.self, from: data)
            try settings.validate(home)
            return settings
        } catch let error as DecodingError {
            throw HoldfastError(
                .invalidInput, "\(home.settings) cannot be read", hint: "Correct it, or move it away for the defaults",
                cause: error)
        }
    }

    func write(_ home: StateDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try home.writePrivate(String(decoding: try encoder.encode(self), as: UTF8.self), to: home.settings)
    }

    func validate(_ home: StateDirectory) throws {
        let names = Set(sites.map(\.name))
        guard !sites.isEmpty, names.count == sites.count, sites.allSatisfy({ $0.path.hasPrefix("/") }),
            sites.allSatisfy({ $0.bytesPerSecond ?? 1 > 0 && $0.attempts ?? 1 > 0 })
        else {
            throw HoldfastError(
                .invalidInput,
                "sites in \(home.settings) need different names, absolute paths, and no limit below 1"
            )
        }
        if let url, !(url.hasPrefix("https://") || url.hasPrefix("http://")) {
            throw HoldfastError(
                .invalidInput, "url in \(home.settings) is '\(url)'",
                hint: "Use one such as https://holdfast.example.org")
        }
        guard (1...sites.count).contains(quorum) else {
            throw HoldfastError(
                .invalidInput, "quorum in \(home.settings) is \(quorum)", hint: "Use 1 to \(sites.count)")
        }
        guard (1...86_400).contains(buildTimeoutSeconds ?? 900), (1...1_048_576).contains(logLimitMebibytes ?? 64),
            (1000...20_000).contains(switchReadyMilliseconds ?? 12_000), (1...3600).contains(appReadySeconds ?? 60)
        else {
            throw HoldfastError(
                .invalidInput, "a time or a size in \(home.settings) is out of range",
                hint: "Use buildTimeoutSeconds from 1 to 86400, logLimitMebibytes from 1, switchReadyMilliseconds "
                    + "from 1000 to 20000, appReadySeconds from 1 to 3600")
        }
        try NotificationChannel.validate(notifications ?? [])
        guard metricsTokenFile?.hasPrefix("/") != false, (1...3660).contains(drillDays ?? 1) else {
            throw HoldfastError(
                .invalidInput, "metricsTokenFile or drillDays in \(home.settings) is out of range",
                hint: "Use an absolute path, and 1 to 3660 days")
        }
        guard (0...31_622_400).contains(deletionGraceSeconds ?? 86_400) else {
            throw HoldfastError(
                .invalidInput, "deletionGraceSeconds in \(home.settings) is out of range",
                hint: "Use 0 to 31622400, which is 366 days")
        }
        guard holdLeaseMilliseconds >= 200, holdCapMilliseconds <= 30_000, holdCapMilliseconds >= holdLeaseMilliseconds
        else {
            throw HoldfastError(
                .invalidInput, "the hold's lease or cap in \(home.settings) is out of range",
                hint: "Use a lease of at least 200 ms and a cap between it and 30000 ms")
        }
    }
}
