import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastModel

/// A verb that talks to a server: it parses, and says what to do with a session.
package protocol ClientCommand: AsyncParsableCommand {
    var global: GlobalOptions { get }
    func run(in session: Session) async throws
}

extension ClientCommand {
    package mutating func run() async throws {
        let command = self
        try await Session.open(global) { try await command.run(in: $0) }
    }
}

/// A client together with where the command runs.
package struct Session: Sendable {
    package let client: APIClient
    package let surroundings: Surroundings
    package let home: String

    package var output: Output { surroundings.output }
    package var server: ServerAddress { client.server }

    /// Finds server and token, and runs `body` with them.
    ///
    /// - Throws: `unauthenticated` if there is no token for that server; what `body` throws.
    package static func open(_ options: GlobalOptions, _ body: (Session) async throws -> Void) async throws {
        let surroundings = Surroundings.current
        let home = options.homeDirectory(surroundings)
        let server = try options.server(surroundings, home: home)
        let token = try options.token(surroundings, home: home, server: server)
        try await APIClient.withClient(server: server, token: token, time: surroundings.time) { client in
            try await body(Session(client: client, surroundings: surroundings, home: home))
        }
    }
}
