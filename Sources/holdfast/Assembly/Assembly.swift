import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import HoldfastRepository
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
        let configuration = try serverConfiguration()
        let lock = try await offload("start") { [home] in try InstallationLock(home) }
        let parts = try await offload("start") { [self] in try start() }
        let server = HoldfastServer(
            catalogue: parts.catalogue, operations: parts.operations, configuration: configuration, time: SystemTime())
        try home.writePrivate("\(try apiURL())\n", to: home.url)
        logger.notice("serving", metadata: ["api": "\(listen.api)", "home": "\(home.path)"])
        var failure: (any Error)?
        do { try await server.run() } catch { failure = error }
        try await offload("stop") { [self] in parts.stop(everything: stopEverything, launcher: try launcher()) }
        withExtendedLifetime(lock) {}
        if let failure { throw failure }
    }

    private func launcher() throws -> Launcher {
        Launcher(home: home, settings: try Settings.load(home), logger: logger)
    }

    private func serverConfiguration() throws -> ServerConfiguration {
        let address = try HostAndPort(listen.api)
        return try ServerConfiguration(
            host: address.host, port: address.port, certificate: listen.certificate, key: listen.key,
            insecure: listen.insecure)
    }

    private func apiURL() throws -> String {
        let address = try HostAndPort(listen.api)
        let host = ["0.0.0.0", "::", ""].contains(address.host) ? "127.0.0.1" : address.host
        return "\(listen.certificate == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(address.port)"
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
                sites: settings.sites, quorum: settings.quorum, masterKey: masterKey, catalogue: catalogue))
        house.apply(settings, gatewayPort: gatewayPort)
        house.reached = StopPoint.make(home: home)
        return try Parts(
            catalogue: catalogue, house: house, launcher: launcher, listen: listen, home: home, settings: settings)
    }

    private func loadMasterKey(isNew: Bool) throws -> InstallationKey {
        if let text = try? String(contentsOfFile: home.masterKey, encoding: .utf8) {
            return try InstallationKey(text: Secret(text))
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
            lease: .milliseconds(settings.holdLeaseMilliseconds), drain: .milliseconds(settings.drainTimeoutMilliseconds),
            cap: .milliseconds(settings.holdCapMilliseconds))
        switchLimits.lease = holdLimits.lease
        switchLimits.drain = holdLimits.drain
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
}
