import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Logging
import Synchronization

/// Everything an activity works with: the state directory, the catalogue, the gate, the repositories, time.
package struct House: Sendable {
    /// The state directory.
    package let home: String
    /// Where sockets lie: short, because a Unix socket's path ends at 107 bytes.
    package let run: String
    package let catalogue: any BackupCatalogue
    package let gate: any RequestGate
    package let freezer: any ProcessFreezer
    package let supervisors: any Supervisors
    package let repositories: ProjectRepositories
    package var time: any TimeSource
    package let logger: Logger
    package var holdLimits: HoldLimits
    /// Seconds between two tries at a consistent point.
    package var retryDelay: TimeInterval
    /// Looks, before a hold, whether what it copies aside fits.
    package var stagingRoom: StagingRoom
    package var types: InstalledTypes
    /// The bounds of a switch, in which processes are stopped and started.
    package var switchLimits: HoldLimits
    /// From the closing of the gate: until then a new state has to be up, or the old one is put back. The gateway keeps
    /// a request for 25 seconds.
    package var switchReady: Duration
    /// How long one build hook may take.
    package var buildTimeout: Duration
    /// An existing user for all environments; nil gives each its own (when root).
    package var environmentUser: String?
    /// What hosts of environments end in, such as `localhost:7080`.
    package var hostSuffix: String
    /// Seconds in which a deleted backup can be brought back.
    package var deletionGrace: TimeInterval
    /// False for maintenance: nothing is deleted that nobody asked for.
    package var appliesPolicies: Bool
    /// Says whether the wall clock can be trusted; nil to believe it.
    package var clocks: ClockWatch?
    /// Called at named points of the activities; tests stop or end the process there. Does nothing otherwise.
    package var reached: @Sendable (CrashPoint) -> Void

    package init(
        home: String, run: String, catalogue: any BackupCatalogue, gate: any RequestGate,
        runtime: (freezer: any ProcessFreezer, supervisors: any Supervisors), repositories: ProjectRepositories
    ) {
        self.home = home
        self.run = run
        self.catalogue = catalogue
        self.gate = gate
        self.freezer = runtime.freezer
        self.supervisors = runtime.supervisors
        self.repositories = repositories
        self.time = SystemTime()
        self.logger = Logger(label: "holdfast.backup")
        self.holdLimits = HoldLimits()
        self.retryDelay = 2
        self.stagingRoom = StagingRoom()
        self.types = InstalledTypes()
        self.switchLimits = HoldLimits(drain: .seconds(10), cap: .seconds(30))
        self.switchReady = .seconds(12)
        self.buildTimeout = .seconds(900)
        self.environmentUser = nil
        self.hostSuffix = "localhost"
        self.deletionGrace = 86_400
        self.appliesPolicies = true
        self.clocks = nil
        self.reached = { _ in }
    }

    package func layout(_ environment: EnvironmentID) -> EnvironmentLayout {
        EnvironmentLayout(home: home, run: run, environment: environment)
    }

    /// The bare Git repository of a project.
    package func gitDirectory(_ project: ProjectID) -> String { "\(home)/projects/\(project)/repository.git" }

    /// JSON as it is stored in backups: sorted keys, ISO 8601 dates.
    func encode(_ manifest: BackupManifest) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return Array(try encoder.encode(manifest))
    }

    func decodeManifest(_ bytes: [UInt8]) throws -> BackupManifest {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        let manifest = try decoder.decode(BackupManifest.self, from: Data(bytes))
        guard manifest.version == 1 else {
            throw HoldfastError(
                .unsupported, "the manifest of backup \(manifest.backup) has version \(manifest.version), known is 1",
                hint: "Use a newer holdfast")
        }
        return manifest
    }

    /// A Git bundle of the commit, made once per commit and used again: also by environments that run the same commit
    /// and are backed up at the same time.
    package func bundle(of commit: String, in project: ProjectID) throws -> (path: String, sha256: String) {
        let directory = "\(home)/projects/\(project)/bundles"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let path = "\(directory)/\(commit).bundle"
        try Self.bundling.withLock { _ in
            if !FileManager.default.fileExists(atPath: path) { try makeBundle(of: commit, in: project, at: path) }
        }
        return (path, try FileDigest.sha256(ofFile: path))
    }
}

extension House {
    /// One at a time: Git locks the reference that a bundle is made of.
    private static let bundling = Mutex(())

    /// Every later backup of the commit takes the file as it is, so it must be whole also after a power failure.
    private func makeBundle(of commit: String, in project: ProjectID, at path: String) throws {
        let temporary = "\(path).new"
        unlink(temporary)
        do {
            try GitRepository(path: gitDirectory(project)).bundle(commit, to: temporary)
            try Self.flush(temporary)
            guard rename(temporary, path) == 0 else {
                throw HoldfastError(.system, "cannot keep the bundle of commit \(commit) (errno \(errno))")
            }
        } catch {
            unlink(temporary)
            throw error
        }
        try DurableFile.syncDirectory((path as NSString).deletingLastPathComponent)
    }

    private static func flush(_ path: String) throws {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        guard file >= 0, fsync(file) == 0 else {
            throw HoldfastError(errno == ENOSPC ? .noSpace : .system, "cannot write \(path) (errno \(errno))")
        }
    }
}

extension House {
    /// The time that locks are compared with and deletions are stamped with.
    var steadyTime: Date { clocks?.now() ?? time.now() }

    /// - Throws: `unavailable` while nothing may be deleted that nobody asked for: not now, but later.
    func checkMayDelete() throws {
        guard appliesPolicies else {
            throw HoldfastError(
                .unavailable, "postponed: policies are not applied now", hint: "Start serve without --no-schedules")
        }
        guard let error = clocks?.check() else { return }
        throw HoldfastError(
            .unavailable, "postponed: the clock has jumped by \(error) seconds",
            hint: "Put the clock right; otherwise it is believed after a day")
    }
}

/// Starts and reaches the supervisor of an environment.
package protocol Supervisors: Sendable {
    /// The client of a running supervisor; starts one if there is none.
    func client(_ environment: EnvironmentID) throws -> SupervisorClient
    /// Ends the supervisor and all it owns.
    func stop(_ environment: EnvironmentID) throws
    /// The gateway learns where the environments' routes lead now.
    ///
    /// - Parameter beside: ports of apps that run beside the live ones and are about to take their place.
    func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws
    /// The ports of apps that the gateway leads requests of an environment to, by what it was told last.
    func routedPorts(_ environment: EnvironmentID) throws -> Set<Int>
    /// Which of gateway and supervisor come from another version of Holdfast and do not know the same messages: lines
    /// for people. Nothing is started for that, and who does not answer is left out.
    func strangers(of environment: EnvironmentID?) -> [String]
}

extension Supervisors {
    package func publishRoutes() throws { try publishRoutes(beside: [:]) }
}

/// Bytes for people: `1.2 MB`, powers of ten.
package struct ByteCount: CustomStringConvertible {
    private let bytes: Int64
    package init(_ bytes: Int64) { self.bytes = bytes }
    package var description: String {
        var value = Double(bytes)
        for unit in ["B", "kB", "MB", "GB", "TB"] {
            if value < 1000 || unit == "TB" {
                return unit == "B" ? "\(bytes) B" : String(format: "%.1f %@", value, unit)
            }
            value /= 1000
        }
        return "\(bytes) B"
    }
}

extension House {
    /// Who runs the processes of an environment.
    func user(of environment: EnvironmentID) throws -> ProcessUser {
        try ProcessUser.forEnvironment(environment, named: environmentUser)
    }

    /// What the environment's processes are told about where they run; written where the supervisor finds it.
    @discardableResult
    package func writeIdentity(of environment: Environment) throws -> EnvironmentIdentity {
        let layout = layout(environment.id)
        try layout.create()
        let machine = environment.machineName
        return try EnvironmentIdentity.prepare(
            for: environment, in: layout.directory, host: "\(machine)-\(environment.project).\(hostSuffix)",
            repository: gitDirectory(environment.project))
    }
}
