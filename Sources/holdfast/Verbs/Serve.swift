import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastModel

/// `holdfast serve`: the control plane.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Runs the control plane: API, activities, crons; starts gateway and supervisors.",
        discussion: """
            Gateway and environments go on when it stops, and the next one finds them again. On its first start it \
            makes the state directory, a master key, two sites in it, an admin, and a token for the command line here.
            """)

    @OptionGroup var options: HomeOptions

    @Option(help: ArgumentHelp("Where the API listens.", valueName: "host:port"))
    var listen = "127.0.0.1:7070"

    @Option(help: ArgumentHelp("Where the gateway listens, if none runs yet.", valueName: "host:port"))
    var gatewayListen = "127.0.0.1:7080"

    @Option(help: ArgumentHelp("Certificate chain in PEM, for HTTPS.", valueName: "file"))
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("Private key in PEM, for HTTPS.", valueName: "file"))
    var tlsKey: String?

    @Flag(help: "Listen on another address than loopback without TLS.")
    var insecure = false

    @Flag(help: "Take no automated backups, and delete none: for maintenance.")
    var noSchedules = false

    @Flag(help: "Stop gateway and environments too when this stops.")
    var stopEverything = false

    func run() async throws {
        let listen = Assembly.Listen(
            api: listen, gateway: gatewayListen, certificate: tlsCertificate, key: tlsKey, insecure: insecure,
            schedules: !noSchedules)
        let assembly = try Assembly(home: options.stateDirectory, listen: listen)
        try await assembly.run(stopEverything: stopEverything)
    }
}

/// Where the state directory is, for the verbs that run parts of Holdfast.
struct HomeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The state directory.",
            discussion: "Default: HOLDFAST_HOME, /var/lib/holdfast for root, else ~/.local/share/holdfast.",
            valueName: "directory"))
    var home: String?

    var stateDirectory: StateDirectory {
        let surroundings = Surroundings.current
        return StateDirectory(home.map(surroundings.absolute) ?? ClientDefaults.home(surroundings))
    }
}
