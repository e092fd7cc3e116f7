import ArgumentParser
import HoldfastClient
import HoldfastModel

/// `backup:undelete`
package struct BackupUndelete: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:undelete", abstract: "Bring a deleted backup back.",
        discussion: """
            For a while, usually a day, the data of a deleted backup are still there; backup:list --deleted shows such \
            backups. One that the policy would delete again at once comes back protected; backup:protect --off hands \
            it back to the policy.
            """)

    @Argument(help: "The backup's id.")
    var backup: String

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.backup(backup, selection).backup
        let back = try await session.client.undelete(found).value
        session.output.error("Backup \(back.id) is back.")
        if back.protected == true {
            session.output.error(
                "It is protected. To hand it to the policy again: holdfast backup:protect --off \(back.id)")
        }
    }
}
