import HoldfastModel

/// How apps reach a service; relationships and their variables are made of it.
package struct ServiceEndpoint: Sendable, Codable, Hashable {
    /// One of the ways in that the configuration names.
    package struct Access: Sendable, Codable, Hashable {
        package var username: String
        package var password: Secret
        package var path: String

        package init(username: String, password: Secret, path: String) {
            self.username = username
            self.password = password
            self.path = path
        }
    }

    /// Such as `pgsql`.
    package var scheme: String
    package var host: String
    package var port: Int
    /// Empty if the service has no users.
    package var username: String
    /// Empty if the service asks for none.
    package var password: Secret
    /// The database's name; empty if there are none.
    package var path: String
    /// Endpoint name -> what a relationship to it gets; nil if every name leads to the same.
    package var named: [String: Access]?
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
