import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `activity:cancel`
package struct ActivityCancel: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "activity:cancel", abstract: "Cancel an activity.",
        discussion: """
            One that is pending is dropped. One that runs is asked to stop if it is of a kind that can; the server \
            says if it is not.
            """)

    @Argument(help: "The activity's id, or its beginning; the only open one if left out.")
    var id: String?

    @Flag(name: [.customShort("a"), .customLong("all")], help: "Look for the open one in all environments.")
    var all = false

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await find(in: session)
        let now = try await session.client.cancel(found).value
        let state =
            now.state == "cancelled" ? "is cancelled" : "is asked to stop; its state is \(now.state) now"
        session.output.error("Activity \(now.id) (\(now.text)) \(state).")
    }

    private func find(in session: Session) async throws -> Resource<API.Activity> {
        let project = try await session.project(selection.project)
        if let id { return try await session.client.activity(id, of: project) }
        var filter = ActivityFilter()
        filter.states = ["pending", "in_progress"]
        var base = try project.link("self")
        if !all { base = try await session.selection(selection, usesDefault: true).environment.link("self") }
        let open = try await session.client.activities(under: base, filter)
        guard let only = open.first else {
            throw HoldfastError(
                .notFound, "no activity is open", hint: "List them with `holdfast activity:list --all`")
        }
        guard open.count == 1 else {
            let ids = open.map { $0.value.id.rawValue }.joined(separator: ", ")
            throw HoldfastError(.invalidInput, "several activities are open: \(ids)", hint: "Name one of them")
        }
        return only
    }
}
