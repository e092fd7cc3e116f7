import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastModel

/// `git-credential`: a credential helper of Git (gitcredentials(7)), so that no token is typed or written into a URL.
package struct GitCredential: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "git-credential", abstract: "Give Git the API token, for pushes and fetches over HTTP.",
        discussion: """
            Called by Git, once it is told so: git config --global credential.<server's URL>.helper \
            '!holdfast git-credential'. Answers for the server that the other verbs use, and for no other.
            """)

    @Argument(help: "What Git wants: get; anything else is ignored.")
    var action: String

    @OptionGroup var global: GlobalOptions

    package init() {}

    package func run() async throws {
        let surroundings = Surroundings.current
        var asked: [String: String] = [:]
        while let line = surroundings.output.readLine(), !line.isEmpty {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2 { asked[parts[0]] = parts[1] }
        }
        guard action == "get", let scheme = asked["protocol"], let host = asked["host"] else { return }
        let home = global.homeDirectory(surroundings)
        let server = try global.server(surroundings, home: home)
        // Git asks its next helper, or whoever sits in front of it, if this says nothing.
        guard let other = try? ServerAddress("\(scheme)://\(host)"), other.scheme == server.scheme,
            other.host == server.host, other.port == server.port
        else { return }
        let token = try global.token(surroundings, home: home, server: server)
        surroundings.output.out("username=holdfast\npassword=\(token.reveal())\n")
    }
}
