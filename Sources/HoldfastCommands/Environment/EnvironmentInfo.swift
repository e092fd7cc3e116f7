import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `environment:info`
package struct EnvironmentInfo: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "environment:info", abstract: "Show an environment's properties, or set one.",
        discussion: """
            public_url is where it is reached, deployed_commit what runs, and restored_from the backup that this came \
            from. With a value, sets the property: title, type or parent.
            """)

    @Argument(help: "Show only this property.")
    var property: String?

    @Argument(help: "Set the property to this.")
    var value: String?

    @OptionGroup var path: PropertyOptions
    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        _ = try path.wanted(property)
        guard let property, let value else { return }
        guard ["title", "type", "parent"].contains(property) else {
            throw ValidationError("property '\(property)' cannot be set; title, type and parent can")
        }
        if property == "type", EnvironmentType(rawValue: value) == nil {
            throw ValidationError("'\(value)' is not an environment type; use production, staging or development")
        }
    }

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, usesDefault: value == nil)
        let environment = selected.environment
        if let property, let value { return try await set(property, to: value, of: environment, in: session) }
        let wanted = try path.wanted(property)
        if wanted == nil, let note = Self.note(environment.value) { session.output.error(note) }
        try session.show(
            environment.properties, property: wanted, table,
            heading: "The environment \(session.label(environment)):",
            first: ["id", "title", "type", "status", "public_url", "deployed_commit", "restored_from", "head_commit"])
    }

    private func set(
        _ property: String, to value: String, of environment: Resource<API.Environment>, in session: Session
    ) async throws {
        var patch = API.EnvironmentPatch()
        switch property {
        case "title": patch.title = value
        case "type": patch.type = value
        default: patch.parent = value
        }
        _ = try await session.client.edit(environment, patch)
        session.output.error("Set \(property) of environment \(environment.value.name) to: \(value)")
    }

    /// What to know if the code that runs is not the branch's.
    static func note(_ environment: API.Environment) -> String? {
        guard let deployed = environment.deployedCommit else { return nil }
        let head = environment.headCommit.map { String($0.prefix(12)) } ?? "none"
        if let backup = environment.restoredFrom {
            return "It runs restored commit \(deployed.prefix(12)) of backup \(backup); the branch's head is \(head). "
                + "The next push or environment:redeploy takes the branch's code again."
        }
        guard let commit = environment.headCommit, commit != deployed else { return nil }
        return "It runs commit \(deployed.prefix(12)); the branch's head is \(head)."
    }
}
