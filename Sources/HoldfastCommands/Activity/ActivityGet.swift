import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// Which activity: one argument, and where the latest one is looked for if it is left out.
package struct ActivityOptions: ParsableArguments {
    @Argument(help: "The activity's id, or its beginning; the latest one if left out.")
    var id: String?

    @Flag(name: [.customShort("a"), .customLong("all")], help: "The latest of all environments of the project.")
    var all = false

    @Option(help: "The latest of this type, such as environment.backup.")
    var type: [String] = []

    @OptionGroup var which: ActivityKindOptions
    @OptionGroup var selection: EnvironmentOptions

    package init() {}
}

/// `activity:get`
package struct ActivityGet: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "activity:get", abstract: "Show an activity's properties.")

    @OptionGroup var activity: ActivityOptions
    @OptionGroup var property: PropertyOptions
    @Option(help: "The format: yaml or json.")
    var format: ObjectFormat = .yaml
    @OptionGroup var dates: DateOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.activity(activity)
        try session.show(found.properties, property: property.property, format, dates)
    }
}

extension Session {
    /// The activity that the options name, or the latest one.
    package func activity(_ options: ActivityOptions) async throws -> Resource<API.Activity> {
        let project = try await project(options.selection.project)
        if let id = options.id { return try await client.activity(id, of: project) }
        var latest = options.which.filter(types: options.type)
        latest.limit = 1
        let base: String
        if options.all {
            base = try project.link("self")
        } else {
            base = try await selection(options.selection, usesDefault: true).environment.link("self")
        }
        guard let found = try await client.activities(under: base, latest).first else {
            throw HoldfastError(.notFound, "there is no such activity yet")
        }
        return found
    }
}
