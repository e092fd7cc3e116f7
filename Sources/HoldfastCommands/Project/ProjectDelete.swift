import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `project:delete`
package struct ProjectDelete: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "project:delete", abstract: "Delete a project for good.",
        discussion: """
            Its Git repository and its backup repository on every site go too. Refused while it has backups, open \
            activities, or environments that are not inactive; --with-production lets its production environment go \
            with all its data. Only operators may delete projects. Asks first; without a terminal it needs --yes.
            """)

    @Flag(help: "Delete its production environment too, with all its data.")
    var withProduction = false

    @OptionGroup var selection: ProjectOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        guard selection.project != nil else {
            throw HoldfastError(
                .invalidInput, "the project that is to be deleted has to be named", hint: "Add --project ID")
        }
        let project = try await session.project(selection)
        let label = session.label(project)
        try await session.client.askToDelete(project, withProduction: withProduction)
        session.output.error("The project \(label), with its Git repository and its backup repositories")
        if withProduction {
            session.output.error("  and with all data of its environment \(project.value.defaultBranch)")
        }
        try confirm.ask("Delete it? This cannot be undone.", on: session.output, isDangerous: true)
        let left = try await session.client.delete(project, withProduction: withProduction)
        session.output.error("The project \(label) is deleted.")
        for path in left { session.output.error("Could not remove \(path); remove it by hand.") }
    }
}
