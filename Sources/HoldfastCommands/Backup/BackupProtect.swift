import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:protect`
package struct BackupProtect: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:protect", abstract: "Protect a backup from being deleted.",
        discussion: """
            No policy deletes a protected backup, and nobody by hand without --force. With --lock-until nobody deletes \
            it before that date at all, whatever token they have; a lock can be made longer, and never shorter, and \
            reaches ten years at most. It asks before.
            """)

    @Argument(help: "The backup's id.")
    var backup: String

    @Flag(help: "Hand it back to the policy.")
    var off = false

    @Option(help: ArgumentHelp("A day such as 2030-12-31, or a time such as 2030-12-31T18:00:00Z.", valueName: "date"))
    var lockUntil: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        if off, lockUntil != nil {
            throw ValidationError("--off and --lock-until exclude each other; give one of them")
        }
    }

    package func run(in session: Session) async throws {
        let until = try lockUntil.map(Self.date)
        let found = try await session.backup(backup, selection).backup
        let dates = DateFormat(timeZone: session.surroundings.timeZone)
        if let until {
            try confirm.ask(
                "Nobody, you included, can delete backup \(found.value.id) before \(dates.text(until)). Lock it?",
                on: session.output, isDangerous: true)
        }
        let client = session.client
        let changed = off ? try await client.unprotect(found) : try await client.protect(found, until: until)
        let id = changed.value.id
        if off { return session.output.error("Backup \(id) is not protected any more.") }
        session.output.error("Backup \(id) is protected.")
        if let locked = changed.value.lockedUntil {
            session.output.error("Nobody deletes it before \(dates.text(locked)).")
        }
    }

    /// A day ends at its end, in UTC.
    static func date(_ text: String) throws -> Date {
        if let date = Timestamp.parse(text) { return date }
        if text.count == 10, let date = Timestamp.parse("\(text)T00:00:00Z") { return date.addingTimeInterval(86_400) }
        throw HoldfastError(
            .invalidInput, "'\(text)' is not a date", hint: "Give one such as 2030-12-31 or 2030-12-31T18:00:00Z")
    }
}

/// `backup:edit`
package struct BackupEdit: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:edit", abstract: "Write a label and a note on a backup.",
        discussion: "An empty text takes away what is there. backup:get shows both, backup:list with -c label,note.")

    @Argument(help: "The backup's id.")
    var backup: String

    @Option(help: ArgumentHelp("One line of at most 100 characters.", valueName: "text"))
    var label: String?

    @Option(help: ArgumentHelp("At most 4000 characters.", valueName: "text"))
    var note: String?

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        if label == nil, note == nil { throw ValidationError("there is nothing to write; give --label or --note") }
    }

    package func run(in session: Session) async throws {
        let found = try await session.backup(backup, selection).backup
        let changed = try await session.client.edit(found, API.BackupPatch(label: label, note: note))
        session.output.error("Backup \(changed.value.id) is written on.")
    }
}
