import ArgumentParser
import Foundation
import HoldfastCommands

// The door: the tree of verbs. What they do lies in the targets below.

/// `holdfast`.
@main
struct Holdfast: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast",
        abstract: "Backs up and restores whole environments: code, services and files as one point in time.",
        discussion: """
            Requests are held, not dropped, while a backup takes its point in time. Every backup lies in a standard
            restic repository on each site.
            """,
        version: "0.1.0",
        subcommands: [Serve.self, GatewayVerb.self, SuperviseVerb.self, GitHook.self, Demo.self]
            + [RecoveryKitVerb.self, CatalogueRebuildVerb.self] + CommandTree.clientCommands)

    static func main() async {
        let status = await CommandRunner.run(Self.self, Array(CommandLine.arguments.dropFirst()))
        Foundation.exit(status.rawValue)
    }
}
