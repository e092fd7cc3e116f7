import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `project:list`
package struct ProjectList: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "project:list", abstract: "List the projects that you have access to.",
        aliases: ["projects", "pro"])

    @Flag(help: "Print only the ids.")
    var pipe = false

    @Option(help: ArgumentHelp("Only projects whose title contains this.", valueName: "text"))
    var title: String?

    @Option(help: "Only projects in this region.")
    var region: String?

    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let all = try await session.client.projects()
        let projects = all.filter { project in
            (title.map { project.title.lowercased().contains($0.lowercased()) } ?? true)
                && (region.map { project.region == $0 } ?? true)
        }
        if pipe { return session.output.out(projects.map { "\($0.id)\n" }.joined()) }
        // Somebody who has no project yet has done nothing wrong: unlike other lists this one ends well.
        guard !projects.isEmpty || table.format == .json else {
            session.output.error(all.isEmpty ? "You have no projects yet." : "No projects match.")
            session.output.error("Create one with `holdfast project:create TITLE`.")
            return
        }
        try session.show(Self.table(projects), table, heading: "Your projects on \(session.server):")
    }

    static func table(_ projects: [API.ProjectReference]) -> Table {
        let columns = [
            Table.Column("id", "ID"), Table.Column("title", "Title"), Table.Column("region", "Region"),
            Table.Column("status", "Status", isDefault: false),
            Table.Column("organization_id", "Organization ID", isDefault: false),
            Table.Column("created_at", "Created", isDefault: false),
        ]
        let rows = projects.map { project -> [String: Cell] in
            [
                "id": .text(project.id.rawValue), "title": .text(project.title), "region": .text(project.region),
                "status": .text(project.status), "organization_id": .text(project.organizationId),
                "created_at": .date(project.createdAt),
            ]
        }
        return Table(columns: columns, rows: rows)
    }
}
