import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:drill`
package struct BackupDrill: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:drill", abstract: "Prove that a backup can be restored, without restoring it.",
        discussion: """
            The backup is restored beside what runs, its services are started on it and have to stand where the \
            backup was taken, and all of it is thrown away. Nothing that is live is touched, no request waits; it \
            takes the disk space of a restore. 'holdfast status' shows when that was done last.
            """)

    @Argument(help: "The backup's id; the most recent one if left out.")
    var backup: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.backup(backup, selection, usesDefault: true).backup
        let started = try await session.client.drill(found)
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Backup \(found.value.id) can be restored.")
    }
}
