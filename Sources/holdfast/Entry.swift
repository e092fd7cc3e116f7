import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastRepositoryCommands

// The door: the tree of verbs. What they do lies in the targets below.

/// `holdfast`.
@main
struct Holdfast: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast",
        abstract: "Backs up and restores whole environments: code, services and files as one point in time.",
        discussion: """
            Requests are held, not dropped, while a backup takes its point in time. Every backup lies in a standard \
            restic repository on each site.
            """,
        version: "0.1.0",
        subcommands: [
            Serve.self, GatewayVerb.self, SuperviseVerb.self, GitHook.self, Demo.self, RepositoryVerb.self,
            RecoveryKitVerb.self, CatalogueRebuildVerb.self, DoctorVerb.self, NotifyTest.self,
        ] + CommandTree.clientCommands)

    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        if arguments.first == RepositoryVerb.configuration.commandName {
            // No server and nothing asynchronous: these verbs block, and this is the process's first thread.
            InterruptedRepository.tidyUpOnSignals()
            Foundation.exit(RepositoryRunner.run(Self.self, arguments).rawValue)
        }
        let status = await CommandRunner.run(Self.self, arguments)
        Foundation.exit(status.rawValue)
    }
}
