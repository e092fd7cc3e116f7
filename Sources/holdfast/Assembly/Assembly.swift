import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import HoldfastNotifications
import HoldfastRepository
import HoldfastScheduler
import HoldfastServer
import Logging

/// Puts the parts of `holdfast serve` together, and nothing else.
struct Assembly {
    /// Where things listen.
    struct Listen: Sendable {
        var api: String
        var gateway: String
        var certificate: String?
        var key: String?
        var insecure: Bool
        /// Automated backups are taken, and policies applied.
        var schedules = true

        func tls() throws -> ServerConfiguration.TLSFiles? {
            switch (certificate, key) {
            case (nil, nil): return nil
            case (let certificate?, let key?): return ServerConfiguration.TLSFiles(certificate: certificate, key: key)
            default:
                throw HoldfastError(
                    .invalidInput, "HTTPS needs both a certificate and a key",
                    hint: "Give --tls-certificate and --tls-key")
            }
        }

        /// Where the local command line finds the API.
        func url(port: Int) throws -> String {
            let address = try HostAndPort(api)
            let host = ["0.0.0.0", "::", ""].contains(address.host) ? "127.0.0.1" : address.host
            let scheme = certificate == nil ? "http" : "https"
            return "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    let home: StateDirectory
    let listen: Listen
    private let logger = Logger(label: "holdfast.serve")

    init(home: StateDirectory, listen: Listen) throws {
        self.home = home
        self.listen = listen
    }

    /// Runs until a signal ends it. Gateway and environments go on, unless everything is to stop.
    func run(stopEverything: Bool) async throws {
        var configuration = try serverConfiguration()
        let lock = try await offload("start") { [home] in try InstallationLock(home) }
        let parts = try await offload("start") { [self] in try start() }
        configuration.metricsTokenFile = parts.metricsTokenFile
        let git = GitHTTPRoutes(
            access: GitAccess(catalogue: parts.catalogue, time: SystemTime()), backend: GitHTTPBackend(home: home))
        let server = HoldfastServer(
            catalogue: parts.catalogue, operations: parts.operations, configuration: configuration, time: SystemTime(),
            logger: Logger(label: "holdfast.server"), hooks: [{ git.add(to: $0) }])
        var failure: (any Error)?
        do { try await serve(server, parts.scheduler, parts.notifier) } catch { failure = error }
        try await offload("stop") { [self] in parts.stop(everything: stopEverything, launcher: try launcher()) }
        withExtendedLifetime(lock) {}
        if let failure { throw failure }
    }

    /// Serves until SIGTERM or SIGINT.
    private func serve(_ server: HoldfastServer, _ scheduler: Scheduler, _ notifier: Notifier) async throws {
        let (home, listen, logger) = (home, listen, logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            if listen.schedules {
                // It ends when the group is cancelled, and not before.
                group.addTask { await scheduler.run(triggers: Ticks(every: .seconds(2))) }
            }
            group.addTask { await notifier.run() }
            group.addTask {
                try await server.run { port in
                    do {
                        try home.writePrivate("\(try listen.url(port: port))\n", to: home.url)
                        logger.notice("serving", metadata: ["port": "\(port)", "home": "\(home.path)"])
                    } catch {
                        logger.error("cannot note the URL", metadata: ["error": "\(error)"])
                    }
                }
            }
            group.addTask { await Interruption.wait() }
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func launcher() throws -> Launcher {
        Launcher(home: home, settings: try Settings.load(home), logger: logger)
    }

    private func serverConfiguration() throws -> ServerConfiguration {
        let address = try HostAndPort(listen.api)
        let configuration = ServerConfiguration(
            host: address.host, port: address.port, tls: try listen.tls(), allowsInsecure: listen.insecure)
        try configuration.validate()
        return configuration
    }

    /// Opens the catalogue, finds or starts the other processes, settles what was open, begins to work.
    private func start() throws -> Parts {
        try home.create()
        let isNew = !FileManager.default.fileExists(atPath: home.catalogue)
        let settings = try Settings.load(home)
        let masterKey = try loadMasterKey(isNew: isNew)
        if isNew { try makeSites(settings) }
        let logger = logger
        let catalogue = try Catalogue(path: home.catalogue, time: SystemTime()) { error in
            logger.error("the catalogue could not record something", metadata: ["error": "\(error)"])
        }
        let lost = !FileManager.default.fileExists(atPath: home.token)
        if let made = try catalogue.bootstrap(replacingLostToken: lost) {
            try home.writePrivate(made.token.reveal() + "\n", to: home.token)
        }
        let launcher = Launcher(home: home, settings: settings, logger: logger)
        let gatewayPort = try launcher.ensureGateway(listen: listen.gateway)
        let gateway = GatewayClient(socketPath: home.gatewaySocket)
        let supervisors = HouseSupervisors(launcher: launcher, catalogue: catalogue, gateway: gateway, home: home)
        var house = House(
            home: home.path, run: home.run, catalogue: catalogue, gate: GatewayGate(client: gateway),
            runtime: (SupervisorFreezer(supervisors: supervisors), supervisors),
            repositories: ProjectRepositories(
                sites: settings.sites, quorum: settings.quorum, masterKey: masterKey, catalogue: catalogue,
                cache: home.cache))
        house.apply(settings, gatewayPort: gatewayPort)
        house.reached = StopPoint.make(home: home)
        return try Parts(
            catalogue: catalogue, house: house, launcher: launcher, listen: listen, home: home, settings: settings)
    }

    private func loadMasterKey(isNew: Bool) throws -> InstallationKey {
        // A key that is there and cannot be read is an error, never a reason to write another one over it.
        if let bytes = try DurableFile.read(home.masterKey) {
            return try InstallationKey(text: Secret(String(decoding: bytes, as: UTF8.self)))
        }
        guard isNew else {
            throw HoldfastError(
                .notFound, "the master key \(home.masterKey) is gone, and without it no backup can be read",
                hint: "Put it back from the recovery kit, then start again")
        }
        let text = try InstallationKey.makeText()
        try home.writePrivate(text.reveal() + "\n", to: home.masterKey)
        return try InstallationKey(text: text)
    }

    /// Only a new installation makes the folders of its sites: one that is missing later is a site that is gone.
    private func makeSites(_ settings: Settings) throws {
        for site in settings.sites {
            try FileManager.default.createDirectory(
                atPath: site.path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
    }
}

extension House {
    fileprivate mutating func apply(_ settings: Settings, gatewayPort: Int) {
        environmentUser = settings.environmentUser
        hostSuffix = "\(settings.domain):\(gatewayPort)"
        holdLimits = HoldLimits(
            lease: .milliseconds(settings.holdLeaseMilliseconds),
            drain: .milliseconds(settings.drainTimeoutMilliseconds),
            cap: .milliseconds(settings.holdCapMilliseconds))
        if let patience = settings.drainPatienceMilliseconds {
            holdLimits.patience = .milliseconds(max(0, patience))
        }
        switchLimits.lease = holdLimits.lease
        switchLimits.drain = holdLimits.drain
        switchLimits.patience = holdLimits.patience
        if let seconds = settings.deletionGraceSeconds { deletionGrace = TimeInterval(seconds) }
        if let seconds = settings.buildTimeoutSeconds { buildTimeout = .seconds(seconds) }
        if let milliseconds = settings.switchReadyMilliseconds { switchReady = .milliseconds(milliseconds) }
    }
}

/// One `serve` per state directory: the kernel drops the lock however the process ends.
final class InstallationLock: Sendable {
    private let descriptor: Int32

    init(_ home: StateDirectory) throws {
        try home.create()
        descriptor = open(home.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw HoldfastError(
                .conflict, "another holdfast serve works on \(home.path)", hint: "Stop it, or use another --home")
        }
    }

    deinit { close(descriptor) }

    /// Whether a `serve` runs there now. Nothing is made.
    static func isHeld(_ home: StateDirectory) -> Bool {
        let descriptor = open(home.lock, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }
}
