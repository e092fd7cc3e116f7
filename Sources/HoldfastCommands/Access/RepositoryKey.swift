import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `repository:key`
package struct RepositoryKey: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "repository:key", abstract: "Show the password of a project's backup repository.",
        discussion: """
            With it restic alone can list, check and restore the project's backups, with Holdfast gone. Keep it away \
            from the sites. Only admins of the project may see it. The password goes to standard output, all else to \
            standard error.
            """)

    @OptionGroup var selection: ProjectOptions
    @Option(help: "The format: plain or json.")
    var format: TokenFormat = .plain
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        let key = try await session.client.repositoryKey(of: project.value.id)
        if format == .json { return session.output.out(try PropertyRenderer.json(.object(key.properties))) }
        session.output.error("Backup repository of the project \(session.label(project)), on each of these sites:")
        for site in key.value.sites { session.output.error("  \(site.name): restic -r '\(site.location)' snapshots") }
        session.output.error("Its password:")
        session.output.out(key.value.password.reveal() + "\n")
    }
}
