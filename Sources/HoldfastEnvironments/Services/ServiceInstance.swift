import HoldfastModel

/// One service of one environment on one data directory.
///
/// During a restore there are two of the same name: the live one, and one that is started aside.
package struct ServiceInstance: Sendable {
    /// The service's name in the configuration, such as `db`.
    package let name: String
    package let type: TypeReference
    /// Absolute path of `services/<name>/<n>`; the data lies in it.
    package let directory: String
    /// Absolute path of the directory for its Unix socket. Short: with the socket's name it has to fit 107 bytes.
    package let runDirectory: String
    /// Loopback port for clients that cannot use the socket.
    package let port: Int
    /// Who runs the service and owns its data.
    package let user: ProcessUser
    /// What the configuration says of it.
    package let configuration: ServiceConfiguration
    /// The first process of the running server, where it is known: who freezes the service needs it.
    package var leader: ProcessHandle?

    package init(
        directory: String, runDirectory: String, port: Int, user: ProcessUser, configuration: ServiceConfiguration
    ) {
        self.name = configuration.name
        self.type = configuration.type
        self.directory = directory
        self.runDirectory = runDirectory
        self.port = port
        self.user = user
        self.configuration = configuration
    }

    package var dataDirectory: String { directory + "/data" }
    package var configurationDirectory: String { directory + "/conf" }
}
