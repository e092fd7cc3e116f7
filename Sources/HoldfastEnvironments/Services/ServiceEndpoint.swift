import HoldfastModel

/// How apps reach a service; relationships and their variables are made of it.
package struct ServiceEndpoint: Sendable, Codable, Hashable {
    /// Such as `pgsql`.
    package var scheme: String
    package var host: String
    package var port: Int
    package var username: String
    package var password: Secret
    /// The database's name.
    package var path: String
    /// Absolute path of the directory that holds the Unix socket, for clients that can use one.
    package var socketDirectory: String?

    package init(
        scheme: String, host: String, port: Int, username: String, password: Secret, path: String,
        socketDirectory: String? = nil
    ) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.path = path
        self.socketDirectory = socketDirectory
    }
}
