import ArgumentParser
import Foundation
import HoldfastBlobStore
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// Which repository, and how to show what is done; every verb has these.
struct RepositoryOptions: ParsableArguments {
    @Option(
        name: [.customShort("r"), .customLong("repo")],
        help: ArgumentHelp("The repository's folder.", discussion: "Default: RESTIC_REPOSITORY.", valueName: "folder"))
    var repository: String?

    @Option(help: ArgumentHelp("File with the repository's location in it.", valueName: "file"))
    var repositoryFile: String?

    @Option(
        name: [.customShort("p"), .customLong("password-file")],
        help: ArgumentHelp("File with the password in it.", valueName: "file"))
    var passwordFile: String?

    @Option(help: ArgumentHelp("Command that prints the password.", valueName: "command"))
    var passwordCommand: String?

    @Flag(help: "Write JSON.")
    var json = false

    @Flag(name: .shortAndLong, help: "Say only what is asked for, and what goes wrong.")
    var quiet = false

    @Flag(help: "Show progress also where standard error is no terminal.")
    var progress = false
}

/// For verbs that only read.
struct ReadingOptions: ParsableArguments {
    @Flag(help: "Take no lock: for repositories that cannot be written to.")
    var noLock = false
}

/// An open repository, and where the verb runs.
struct VerbContext {
    let surroundings: Surroundings
    let options: RepositoryOptions
    let path: String
    let store: VerbStore
    let repository: Repository
    let password: Secret

    var output: Output { surroundings.output }

    /// A line for people on standard output; nothing with `--json` or `--quiet`.
    func say(_ line: String) {
        if !options.json && !options.quiet { output.out(PlainText.line(line) + "\n") }
    }

    /// A line about what is not as it should be, on standard error.
    func warn(_ line: String) { output.error(PlainText.line(line)) }

    /// Refuses what would shut the server of a project out of one of its sites.
    func requireNoProject() throws {
        guard try store.list(.record).isEmpty else {
            throw HoldfastError(
                .conflict,
                "\(path) is a site of a project: its server opens all sites with one password, and would be shut out",
                hint: "Use 'holdfast repository copy' to make a repository with a key and a password of its own")
        }
    }

    /// Runs a long piece of work, and shows how far it is.
    func showing<Result>(_ label: String, _ meter: ProgressMeter, _ work: () throws -> Result) throws -> Result {
        guard !options.quiet, options.progress || output.isLive else { return try work() }
        let line = ProgressLine(label, meter, output: output, time: surroundings.time)
        line.start()
        defer { line.stop() }
        return try work()
    }
}

/// Where a repository is, as options and variables say it.
struct RepositoryLocation {
    /// - Parameter variables: `RESTIC_` or `RESTIC_FROM_`.
    static func path(
        _ option: String?, file: String?, variables: String, _ surroundings: Surroundings
    ) throws -> String {
        var text = option
        if text == nil, let file { text = try read(surroundings.absolute(file)) }
        if text == nil { text = surroundings.variable("\(variables)REPOSITORY") }
        if text == nil, let file = surroundings.variable("\(variables)REPOSITORY_FILE") {
            text = try read(surroundings.absolute(file))
        }
        guard var location = text, !location.isEmpty else {
            throw HoldfastError(
                .invalidInput, "no repository is named", hint: "Name its folder with -r, or set RESTIC_REPOSITORY")
        }
        let kinds = ["s3:", "sftp:", "rest:", "swift:", "b2:", "azure:", "gs:", "rclone:"]
        if let kind = kinds.first(where: { location.hasPrefix($0) }) {
            throw HoldfastError(
                .unsupported, "repositories at '\(kind)' cannot be opened by this version", hint: "Use a folder")
        }
        if location.hasPrefix("local:") { location.removeFirst("local:".count) }
        return surroundings.absolute(location)
    }

    private static func read(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw HoldfastError(.notFound, "the file \(path) with the repository's location cannot be read")
        }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Opens the repository in a folder.
    ///
    /// - Throws: status 10 if there is none; `wrongPassword`, `damaged`, `unsupported`.
    static func open(
        _ path: String, _ password: () throws -> Secret, mode: VerbStore.Mode, _ surroundings: Surroundings
    ) throws -> (VerbStore, Repository, Secret) {
        guard FileManager.default.fileExists(atPath: path + "/config") else {
            throw VerbEnd(
                .noRepository,
                RekeyPlaces.interruption(at: path)
                    ?? HoldfastError(
                        .notFound, "there is no repository in \(path)",
                        hint: "Make one with 'holdfast repository init'"))
        }
        let store = VerbStore(FileBlobStore(root: path), mode: mode)
        OpenStores.add(store)
        let secret = try password()
        return (store, try Repository.open(store: store, password: secret, time: surroundings.time), secret)
    }
}

extension RepositoryOptions {
    var passwordSource: PasswordSource { .main(file: passwordFile, command: passwordCommand) }

    func path(_ surroundings: Surroundings) throws -> String {
        try RepositoryLocation.path(repository, file: repositoryFile, variables: "RESTIC_", surroundings)
    }

    /// Opens the repository.
    func open(mode: VerbStore.Mode = .normal) throws -> VerbContext {
        let surroundings = Surroundings.current
        let path = try path(surroundings)
        let (store, repository, password) = try RepositoryLocation.open(
            path, { try passwordSource.read(surroundings) }, mode: mode, surroundings)
        return VerbContext(
            surroundings: surroundings, options: self, path: path, store: store, repository: repository,
            password: password)
    }

    /// Opens it for reading, and runs the work with restic's shared lock or without any.
    func reading(_ reading: ReadingOptions, _ work: (VerbContext) throws -> Void) throws {
        let context = try open(mode: reading.noLock ? .withoutLocks : .normal)
        try context.repository.whileReading { try work(context) }
    }
}

/// The second repository of `copy`, which is read.
struct SourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The repository to copy from.", discussion: "Default: RESTIC_FROM_REPOSITORY.", valueName: "folder"))
    var fromRepo: String?

    @Option(help: ArgumentHelp("File with that repository's location in it.", valueName: "file"))
    var fromRepositoryFile: String?

    @Option(help: ArgumentHelp("File with that repository's password in it.", valueName: "file"))
    var fromPasswordFile: String?

    @Option(help: ArgumentHelp("Command that prints that repository's password.", valueName: "command"))
    var fromPasswordCommand: String?

    func open(_ surroundings: Surroundings, mode: VerbStore.Mode) throws -> (VerbStore, Repository) {
        let path = try RepositoryLocation.path(
            fromRepo, file: fromRepositoryFile, variables: "RESTIC_FROM_", surroundings)
        let source = PasswordSource(
            file: fromPasswordFile, command: fromPasswordCommand,
            variables: ("RESTIC_FROM_PASSWORD", "RESTIC_FROM_PASSWORD_FILE", "RESTIC_FROM_PASSWORD_COMMAND"),
            prompt: "password of the repository to copy from: ")
        let (store, repository, _) = try RepositoryLocation.open(
            path, { try source.read(surroundings) }, mode: mode, surroundings)
        return (store, repository)
    }
}

/// Which snapshots.
struct FilterOptions: ParsableArguments {
    @Option(
        name: [.customShort("H"), .customLong("host")],
        help: ArgumentHelp("Only snapshots of this host; several mean any of them.", valueName: "name"))
    var host: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only snapshots with all these tags; several options mean any of them.", valueName: "tag,tag"))
    var tag: [String] = []

    @Option(help: ArgumentHelp("Only snapshots of this path; several mean all of them.", valueName: "path"))
    var path: [String] = []

    func filter(_ surroundings: Surroundings) -> SnapshotFilter {
        SnapshotFilter(
            hosts: host.filter { !$0.isEmpty }, tags: tag.map(TagList.parse), paths: path.map(surroundings.absolute))
    }

    /// The named snapshots, or all that the filter includes.
    func records(_ ids: [String], _ context: VerbContext) throws -> [SnapshotRecord] {
        let filter = filter(context.surroundings)
        if ids.isEmpty { return try context.repository.records(filter) }
        var records: [SnapshotRecord] = []
        for id in ids {
            let record = try context.repository.record(id, filter)
            if !records.contains(where: { $0.id == record.id }) { records.append(record) }
        }
        return records
    }
}

enum TagList {
    /// Tags separated by commas; an empty text is the list with the empty tag.
    static func parse(_ text: String) -> [String] {
        text.split(separator: ",", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }
    }
}

/// `snapshot` or `snapshot:path`.
struct SnapshotPath {
    let record: SnapshotRecord
    let path: String

    init(_ text: String, _ filter: SnapshotFilter, _ repository: Repository) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        record = try repository.record(String(parts[0]), filter)
        path = parts.count > 1 ? String(parts[1]) : "/"
    }

    var treePath: TreePath { TreePath(record.id, path: path) }
}
