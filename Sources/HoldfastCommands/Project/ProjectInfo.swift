import ArgumentParser
import HoldfastAPI
import HoldfastClient

/// `project:info`
package struct ProjectInfo: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "project:info", abstract: "Show a project's properties.")

    @Argument(help: "Show only this property, such as repository.url.")
    var property: String?

    @OptionGroup var path: PropertyOptions
    @OptionGroup var selection: ProjectOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws { _ = try path.wanted(property) }

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        try session.show(
            project.properties, property: path.wanted(property), table,
            heading: "The project \(session.label(project)):")
    }
}
