import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository key`
struct KeyVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "List, add and remove passwords.",
        discussion: """
            All passwords open the same key of the repository. Removing one keeps away whoever never had it: somebody \
            who knew it and copied its key file can still read everything. Then use 'rekey'. On the site of a project \
            none is removed or replaced: its server opens all sites with one password.
            """,
        subcommands: [KeyList.self, KeyAdd.self, KeyRemove.self, KeyPassword.self])
}

struct KeyList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the keys; one that is damaged is named.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions

    private struct Shape: Encodable {
        let current: Bool
        let id: String
        let userName: String
        let hostName: String
        let created: String
    }

    func run() throws {
        try options.reading(reading) { context in
            let keys = try context.repository.keys(current: context.password)
            let times = PlainTime(context.surroundings)
            for key in keys {
                if let fault = key.fault { context.warn("error: key \(key.id) cannot be read: \(fault)") }
            }
            if options.json {
                return try context.write(
                    json: keys.map {
                        Shape(
                            current: $0.isCurrent, id: String($0.id.prefix(8)), userName: $0.username,
                            hostName: $0.hostname, created: $0.created.map(times.text) ?? "")
                    })
            }
            let rows = keys.map {
                [
                    ($0.isCurrent ? "*" : " ") + $0.id.prefix(8), PlainText.name($0.username),
                    PlainText.name($0.hostname), $0.created.map(times.text) ?? "damaged",
                ]
            }
            context.output.out(Columns.text([" ID", "User", "Host", "Created"], rows))
        }
    }
}

/// Where a new password comes from.
struct NewPasswordOptions: ParsableArguments {
    @Option(help: ArgumentHelp("File with the new password in it; else it is asked for.", valueName: "file"))
    var newPasswordFile: String?

    func read(_ surroundings: Surroundings) throws -> Secret {
        if let newPasswordFile { return try PasswordSource.fromFile(surroundings.absolute(newPasswordFile)) }
        return try PasswordSource.ask(surroundings, "new password: ", isNew: true)
    }
}

struct KeyAdd: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "add", abstract: "Add a password.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var new: NewPasswordOptions

    @Option(help: ArgumentHelp("Whom it is for.", valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("Which machine it is for.", valueName: "name"))
    var host: String?

    func run() throws {
        let context = try options.open()
        let password = try new.read(context.surroundings)
        let cost = try ScryptCost.calibrated(context.surroundings.time)
        let id = try context.repository.whileReading {
            try context.repository.addKey(password, scrypt: cost, username: user, hostname: host)
        }
        if options.json { return try context.write(json: ["message_type": "key_added", "id": id]) }
        context.say("added key \(id.prefix(8))")
    }
}

struct KeyRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a password; not the one in use, and not the last one.")

    @OptionGroup var options: RepositoryOptions

    @Argument(help: ArgumentHelp("Beginning of the key's id.", valueName: "key"))
    var id: String

    func run() throws {
        let context = try options.open()
        try context.requireNoProject()
        let removed = try context.repository.whileAlone { lock in
            try context.repository.removeKey(id, current: context.password, lock: lock)
        }
        if options.json { return try context.write(json: ["message_type": "key_removed", "id": removed]) }
        context.say("removed key \(removed.prefix(8)); who had it and kept its file can still read: see 'rekey'")
    }
}

struct KeyPassword: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passwd", abstract: "Replace the password in use by another one.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var new: NewPasswordOptions

    func run() throws {
        let context = try options.open()
        try context.requireNoProject()
        let password = try new.read(context.surroundings)
        guard password != context.password else {
            throw HoldfastError(.invalidInput, "the new password is the old one", hint: "Choose another one")
        }
        let cost = try ScryptCost.calibrated(context.surroundings.time)
        let id = try context.repository.changePassword(from: context.password, to: password, scrypt: cost)
        if options.json { return try context.write(json: ["message_type": "key_added", "id": id]) }
        context.say("key \(id.prefix(8)) has the new password; the old one opens nothing any more")
    }
}
