import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository unlock`
struct UnlockVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unlock", abstract: "Remove locks whose owners are gone.",
        discussion: "A lock is stale after half an hour without a refresh, or if its process on this machine is dead.")

    @OptionGroup var options: RepositoryOptions

    @Flag(help: "Remove every lock, also of somebody at work.")
    var removeAll = false

    func run() throws {
        let context = try options.open()
        let removed = try context.repository.removeLocks(all: removeAll)
        if options.json { return try context.write(json: ["removed": removed]) }
        context.say("removed \(Amount.count(removed, "lock"))")
    }
}
