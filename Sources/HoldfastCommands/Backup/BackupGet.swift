import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:get`
package struct BackupGet: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:get", abstract: "Show a backup's properties.",
        discussion: """
            As YAML; with --property only one of them, such as hold.requests_held. An id is found in the whole \
            project, also if its environment is deleted.
            """)

    @Argument(help: "The backup's id; the most recent one if left out.")
    var backup: String?

    @OptionGroup var property: PropertyOptions
    @Option(help: "The format: yaml or json.")
    var format: ObjectFormat = .yaml
    @OptionGroup var dates: DateOptions
    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.backup(backup, selection, usesDefault: true).backup
        try session.show(found.properties, property: property.property, format, dates)
    }
}

/// How one object is written.
package enum ObjectFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case yaml
    case json
}

extension Session {
    /// Shows an object, or one property of it.
    package func show(
        _ properties: [String: JSONValue], property: String?, _ format: ObjectFormat, _ dates: DateOptions
    ) throws {
        guard format == .json else { return try show(properties, property: property, dates: dates) }
        let value = try property.map { try PropertyRenderer.property($0, of: properties) } ?? .object(properties)
        output.out(try PropertyRenderer.json(value))
    }
}
