import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:delete`
package struct BackupDelete: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:delete", abstract: "Delete a backup.",
        discussion: """
            The id is found in the whole project, also if its environment is deleted. Asks first; without a terminal \
            it needs --yes.

            A deleted backup can be brought back with backup:undelete for a while, usually a day. With --now it is \
            gone at once. A protected one needs --force; one that is locked goes for nobody before its date.
            """)

    @Argument(help: "The backup's id.")
    var backup: String?

    @Flag(help: "Also if it is protected.")
    var force = false

    @Flag(help: "For good: it cannot be brought back.")
    var now = false

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        guard backup?.isEmpty == false else {
            throw ValidationError("a backup id is required; `holdfast backup:list` shows them")
        }
    }

    package func run(in session: Session) async throws {
        let found = try await session.backup(backup, selection).backup
        let created = found.value.createdAt.map(DateFormat(timeZone: session.surroundings.timeZone).text) ?? "unknown"
        session.output.error("Backup \(found.value.id) of \(created), environment \(found.value.environment)")
        let question = now ? "Delete it? This cannot be undone." : "Delete it?"
        try confirm.ask(question, on: session.output, isDangerous: true)
        let started = try await session.client.delete(found, force: force, now: now)
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Backup \(found.value.id) has been deleted.")
        if !now { session.output.error("Bring it back with: holdfast backup:undelete \(found.value.id)") }
    }
}
