import ArgumentParser
import Foundation
import HoldfastBackup
import HoldfastCommands
import HoldfastModel

/// The password of a kit: never an argument, where others could read it.
struct KitPasswordOptions: ParsableArguments {
    static let variable = "HOLDFAST_KIT_PASSWORD"

    @Option(
        help: ArgumentHelp(
            "A file with the kit's password in its first line.", discussion: "Default: the variable \(variable).",
            valueName: "file"))
    var passwordFile: String?

    func password() throws -> Secret? {
        let surroundings = Surroundings.current
        guard let passwordFile else { return surroundings.variable(Self.variable).map { Secret($0) } }
        return try SecretFile.read(surroundings.absolute(passwordFile))
    }
}

/// `holdfast recovery-kit`
struct RecoveryKitVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recovery-kit",
        abstract: "Writes all that an empty machine needs to restore: settings, sites, and what opens the backups.",
        discussion: """
            Together with one site, the kit opens every backup. Keep it away from the sites, and make a new one after \
            a change of sites or a new master key. On an empty machine, give it to catalogue:rebuild.
            """)

    @OptionGroup var options: HomeOptions
    @OptionGroup var password: KitPasswordOptions

    @Option(help: ArgumentHelp("The new file, of mode 0600.", valueName: "file"))
    var output = "holdfast-recovery-kit.json"

    @Flag(help: "Leave the secrets in plain text instead of sealing them with a password.")
    var plain = false

    func run() throws {
        let surroundings = Surroundings.current
        let secret = try password.password()
        guard (secret != nil) != plain else {
            throw HoldfastError(
                .invalidInput, plain ? "a password and --plain exclude each other" : "no password for the kit is given",
                hint: "Use --password-file or \(KitPasswordOptions.variable), or --plain for a kit without one")
        }
        let path = surroundings.absolute(output)
        let kit = try RecoveryKit.collect(from: options.stateDirectory, password: secret, time: surroundings.time)
        try kit.write(to: path)
        try KitRecord(kit).write(options.stateDirectory)
        surroundings.output.error("The recovery kit of \(kit.projects.count) projects is in \(path).")
        surroundings.output.error("WARNING: \(kit.note)")
    }
}

/// `holdfast catalogue:rebuild`
struct CatalogueRebuildVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catalogue:rebuild",
        abstract: "Makes an empty state directory anew from a recovery kit and the sites.",
        discussion: """
            Projects, environments and backups are listed again, with all that was set on them. Environments are \
            inactive: start serve, activate one, and restore a backup into it. Tokens and users are new.
            """)

    @OptionGroup var options: HomeOptions
    @OptionGroup var password: KitPasswordOptions

    @Option(help: ArgumentHelp("What recovery-kit wrote.", valueName: "file"))
    var kit: String

    @Option(help: ArgumentHelp("Where a site of the kit is now; may be given again.", valueName: "name=path"))
    var site: [String] = []

    @Option(help: ArgumentHelp("A project to leave out; may be given again.", valueName: "id"))
    var without: [String] = []

    func run() throws {
        let surroundings = Surroundings.current
        let kit = try RecoveryKit.read(surroundings.absolute(kit))
        let secrets = try kit.open(try password.password())
        var settings = kit.settings
        for text in site { try move(text, in: &settings, surroundings) }
        let home = options.stateDirectory
        try settings.validate(home)
        let excluded = try without.map { text in
            guard let id = ProjectID(text) else {
                throw HoldfastError(.invalidInput, "'\(text)' is no project id", hint: "Use an id as the sites have it")
            }
            return id
        }
        let rebuild = CatalogueRebuild(
            home: home, settings: settings, secrets: secrets, without: Set(excluded), time: surroundings.time
        ) { surroundings.output.error($0) }
        for outcome in try rebuild.run() {
            surroundings.output.out(
                "Project \(outcome.project.id) (\(outcome.project.title)): \(outcome.environments) environments, "
                    + "\(outcome.backups) backups\n")
            for problem in outcome.problems { surroundings.output.error("Warning: \(problem)") }
            for id in outcome.missing {
                surroundings.output.error("Warning: no site that was reached has backup \(id)")
            }
        }
        // There is a kit, and whether it is good for the sites as they are now can be told by this.
        try KitRecord(kit).write(home)
        surroundings.output.error("Start holdfast serve, activate an environment, and restore a backup into it.")
    }

    private func move(_ text: String, in settings: inout Settings, _ surroundings: Surroundings) throws {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, let index = settings.sites.firstIndex(where: { $0.name == parts[0] }) else {
            throw HoldfastError(
                .invalidInput, "'\(text)' is not the name of a site of the kit, '=', and a path",
                hint: "Use one of \(settings.sites.map(\.name).joined(separator: ", "))")
        }
        settings.sites[index].path = surroundings.absolute(parts[1])
    }
}
