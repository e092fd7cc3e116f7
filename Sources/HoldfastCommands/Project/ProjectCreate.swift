import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `project:create`
package struct ProjectCreate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "project:create", abstract: "Create a project.",
        discussion: """
            Prints the new project's id. A project has a Git repository, to which one pushes branches, and a \
            repository of backups on every site. Only operators may create projects.
            """,
        aliases: ["create"])

    @Argument(help: "The project's title.")
    var title: String?

    @Option(name: .customLong("title"), help: ArgumentHelp("The title, instead of the argument.", valueName: "title"))
    var titleOption: String?

    @Option(help: ArgumentHelp("The branch of the production environment.", valueName: "branch"))
    var defaultBranch = "main"

    @Option(help: "The region's name, for people.")
    var region: String?

    @Option(help: ArgumentHelp("The time zone of its schedules, such as Europe/Paris.", valueName: "zone"))
    var timezone: String?

    @Option(help: ArgumentHelp("The project's id; made up if left out.", valueName: "id"))
    var id: String?

    @Flag(help: "Print only the id, and nothing on standard error.")
    var pipe = false

    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        guard (title ?? titleOption)?.isEmpty == false else {
            throw ValidationError("a project needs a title, such as: holdfast project:create 'My shop'")
        }
        if let id, ProjectID(id) == nil {
            throw ValidationError("'\(id)' is not a project id; use 1 to 64 letters a-z, digits and dashes")
        }
    }

    package func run(in session: Session) async throws {
        let input = API.ProjectCreateInput(
            title: title ?? titleOption ?? "", id: id.flatMap { ProjectID($0) }, defaultBranch: defaultBranch,
            region: region, timezone: timezone)
        let project = try await session.client.createProject(input)
        if pipe { return session.output.out("\(project.value.id)\n") }
        session.output.error("Created project \(session.label(project)).")
        for line in Self.instructions(project.value, session) { session.output.error(line) }
        session.output.out("\(project.value.id)\n")
    }

    /// By path where the repository can be entered, else over HTTP.
    private static func instructions(_ project: API.Project, _ session: Session) -> [String] {
        let push = "  git push holdfast \(project.defaultBranch)"
        if let path = project.repository.path, FileManager.default.isWritableFile(atPath: path) {
            return [
                "Push to it with:", "  git remote add holdfast \(path)", push,
                "From other machines, with a token: \(project.repository.url)",
            ]
        }
        return [
            "Push to it with:", "  git remote add holdfast \(project.repository.url)",
            "  git config credential.\(session.server).helper '!holdfast git-credential'", push,
        ]
    }
}
