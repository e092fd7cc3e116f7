import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastModel

/// Options that every verb takes.
package struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The state directory; if left out HOLDFAST_HOME, /var/lib/holdfast for root, ~/.local/share/holdfast.",
            valueName: "directory"))
    package var home: String?

    @Option(
        help: ArgumentHelp(
            "The server; if left out HOLDFAST_URL, else the server of the state directory.", valueName: "url"))
    package var url: String?

    @Flag(help: "Send the token to another machine without encryption.")
    package var insecure = false

    package init() {}

    /// The state directory, absolute.
    package func homeDirectory(_ surroundings: Surroundings) -> String {
        home.map(surroundings.absolute) ?? ClientDefaults.home(surroundings)
    }

    /// - Throws: `invalidInput` with status 4 if the URL is none, or the token would travel in the clear.
    package func server(_ surroundings: Surroundings, home: String) throws -> ServerAddress {
        let stored = try? String(contentsOfFile: "\(home)/\(ClientDefaults.urlFile)", encoding: .utf8)
        let text =
            url ?? surroundings.variable("HOLDFAST_URL")
            ?? stored?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ClientDefaults.url
        do {
            let server = try ServerAddress(text)
            guard server.isEncrypted || server.isLoopback || insecure else {
                throw HoldfastError(
                    .invalidInput, "'\(server)' is another machine, and the connection is not encrypted",
                    hint: "Use https, or add --insecure if the network between is yours alone")
            }
            return server
        } catch let error as HoldfastError {
            throw CommandFailure(.invalidConfiguration, error)
        }
    }

    /// `HOLDFAST_TOKEN`, or for a server on this machine the token in the state directory.
    package func token(_ surroundings: Surroundings, home: String, server: ServerAddress) throws -> Secret {
        if let token = surroundings.variable("HOLDFAST_TOKEN") { return Secret(token) }
        guard server.isLoopback else {
            throw HoldfastError(
                .unauthenticated, "there is no API token for \(server)",
                hint: "Set HOLDFAST_TOKEN to a token that `holdfast token:create` printed there")
        }
        let path = "\(home)/\(ClientDefaults.tokenFile)"
        let text = try? String(contentsOfFile: path, encoding: .utf8)
        if let token = text?.trimmingCharacters(in: .whitespacesAndNewlines), !token.isEmpty { return Secret(token) }
        let isThere = FileManager.default.fileExists(atPath: path)
        throw HoldfastError(
            .unauthenticated,
            "HOLDFAST_TOKEN is not set, and '\(path)' \(isThere ? "cannot be read" : "does not exist")",
            hint: "Set HOLDFAST_TOKEN, or run this as the user and with the --home of `holdfast serve`")
    }
}
