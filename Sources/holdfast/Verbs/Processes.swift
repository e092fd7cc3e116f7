import ArgumentParser
import Foundation
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel

/// `holdfast gateway`: started by `serve`, or by an init system.
struct GatewayVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Runs the reverse proxy in front of the environments, which holds requests on a lease.")

    @OptionGroup var options: HomeOptions

    @Option(help: ArgumentHelp("Where it listens.", valueName: "host:port"))
    var listen = "127.0.0.1:7080"

    func run() async throws {
        let home = options.stateDirectory
        try home.create()
        let address = try HostAndPort(listen)
        try await GatewayEntry.run(
            GatewaySettings(
                host: address.host, port: address.port, controlSocket: home.gatewaySocket,
                stateFile: home.gatewayRoutes))
    }
}

/// `holdfast supervise`: one per active environment, started by `serve`.
struct SuperviseVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "supervise",
        abstract: "Owns the processes of one environment: services, apps, workers, crons.", shouldDisplay: false)

    @OptionGroup var options: HomeOptions

    @Option(name: .customLong("run"), help: ArgumentHelp("Directory for sockets.", valueName: "directory"))
    var runDirectory: String?

    @Option(help: ArgumentHelp("An existing user for all processes.", valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("The size at which a log is put aside.", valueName: "mebibytes"))
    var logLimit: Int?

    @Option(help: ArgumentHelp("How long an app may take until it listens.", valueName: "seconds"))
    var appReady: Int?

    @Option(help: ArgumentHelp("The environment's immutable id.", valueName: "id"))
    var environment: String

    func run() throws {
        guard (1...1_048_576).contains(logLimit ?? 1) else {
            throw HoldfastError(.invalidInput, "--log-limit is \(logLimit ?? 0)", hint: "Use 1 to 1048576")
        }
        guard (1...3600).contains(appReady ?? 1) else {
            throw HoldfastError(.invalidInput, "--app-ready is \(appReady ?? 0)", hint: "Use 1 to 3600")
        }
        guard let id = EnvironmentID(environment) else {
            throw HoldfastError(.invalidInput, "'\(environment)' is not the id of an environment")
        }
        let home = options.stateDirectory
        try SupervisorEntry.run(
            home: home.path, run: runDirectory ?? home.run, environment: id, user: user
        ) { options in
            if let logLimit { options.logLimit = logLimit << 20 }
            if let appReady { options.appReady = .seconds(appReady) }
        }
    }
}

/// `host:port`, with an IPv6 host in brackets.
struct HostAndPort {
    let host: String
    let port: Int

    init(_ text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port), colon != text.startIndex
        else {
            throw HoldfastError(
                .invalidInput, "'\(text)' is not HOST:PORT", hint: "Use an address such as 127.0.0.1:7070")
        }
        host = text[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        self.port = port
    }
}
