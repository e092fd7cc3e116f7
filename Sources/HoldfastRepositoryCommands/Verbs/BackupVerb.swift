import ArgumentParser
import Foundation
import Glibc
import HoldfastCommands
import HoldfastModel
import HoldfastRepository
import Synchronization

/// `repository backup`
struct BackupVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Back files and directories up.",
        discussion: """
            What cannot be read is named and left out, and the status is then 3. Files that did not change since the \
            newest snapshot of the same host and paths are not read.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var choice: ExcludeOptions

    @Option(help: ArgumentHelp("Tags of the snapshot.", valueName: "tag,tag"))
    var tag: [String] = []

    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("Host of the snapshot.", valueName: "name"))
    var host: String?

    @Option(help: ArgumentHelp("Time of the snapshot instead of now.", valueName: "time"))
    var time: String?

    @Option(help: ArgumentHelp("Compare with this snapshot.", valueName: "snapshot"))
    var parent: String?

    @Flag(name: .shortAndLong, help: "Read every file.")
    var force = false

    @Flag(name: [.customShort("n"), .long], help: "Do everything but store it.")
    var dryRun = false

    @Flag(help: "Back up what comes from standard input.")
    var stdin = false

    @Option(help: ArgumentHelp("Its name in the snapshot.", valueName: "name"))
    var stdinFilename = "stdin"

    @Option(help: ArgumentHelp("File with paths to back up, one a line.", valueName: "file"))
    var filesFrom: [String] = []

    @Argument(help: ArgumentHelp("Files and directories.", valueName: "path"))
    var paths: [String] = []

    func run() throws {
        let surroundings = Surroundings.current
        let patterns = try choice.compiled(surroundings)
        let moment = try time.map { try TimeArgument.parse($0).date } ?? surroundings.time.now()
        if stdin && (!paths.isEmpty || !filesFrom.isEmpty) {
            throw HoldfastError(.invalidInput, "paths are given, and standard input", hint: "Give one of them")
        }
        let sources = try stdin ? [] : BackupSources.find(try allPaths(surroundings), surroundings)
        let context = try options.open(mode: dryRun ? .dry : .normal)
        let unreadable = UnreadableFiles(context.output)
        for path in sources.filter(\.isMissing) { unreadable.add("\(path.path): there is nothing of that name") }
        let present = BackupSources.outermost(sources.filter { !$0.isMissing })
        guard stdin || !present.isEmpty else {
            throw HoldfastError(.notFound, "there is nothing to back up", hint: "Name files or directories that exist")
        }
        let info = SnapshotInfo(
            time: moment, hostname: host ?? ProcessInfo.processInfo.hostName, tags: tag.flatMap(TagList.parse),
            paths: stdin ? ["/" + stdinFilename] : present.map(\.path).sorted(), username: NSUserName())
        let run = BackupRun(context: context, info: info, parent: try findParent(info, context))
        let result = try stdin ? run.stream(STDIN_FILENO, stdinFilename) : run.files(present, patterns, unreadable)
        try run.report(result, dryRun: dryRun)
        if unreadable.count > 0 {
            context.say("\(Amount.count(unreadable.count, "thing")) could not be read")
            throw VerbEnd(.incomplete)
        }
    }

    private func allPaths(_ surroundings: Surroundings) throws -> [String] {
        var all = paths
        for file in filesFrom {
            guard let data = FileManager.default.contents(atPath: surroundings.absolute(file)) else {
                throw HoldfastError(.notFound, "the list \(file) cannot be read")
            }
            all += String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
                .filter { !$0.hasPrefix("#") }
        }
        guard !all.isEmpty else {
            throw HoldfastError(.invalidInput, "there is nothing to back up", hint: "Name files or directories")
        }
        return all
    }

    private func findParent(_ info: SnapshotInfo, _ context: VerbContext) throws -> SnapshotID? {
        if let parent { return try context.repository.record(parent).id }
        if force || stdin { return nil }
        let same = try context.repository.records(SnapshotFilter(hosts: [info.hostname], paths: info.paths))
        return same.last { $0.snapshot.info.paths.count == info.paths.count }?.id
    }
}

/// What is not backed up.
struct ExcludeOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("Not what fits this pattern.", valueName: "pattern"))
    var exclude: [String] = []

    @Option(help: ArgumentHelp("As --exclude, whatever the case of letters.", valueName: "pattern"))
    var iexclude: [String] = []

    @Option(help: ArgumentHelp("File with patterns, one a line.", valueName: "file"))
    var excludeFile: [String] = []

    @Option(help: ArgumentHelp("Not what is in directories with a file of this name.", valueName: "name"))
    var excludeIfPresent: [String] = []

    @Flag(help: "Not what is in directories that are marked as caches (CACHEDIR.TAG).")
    var excludeCaches = false

    @Flag(name: [.customShort("x"), .long], help: "Stay on the file systems of the paths that are named.")
    var oneFileSystem = false

    func compiled(_ surroundings: Surroundings) throws -> ExcludeRules {
        var patterns = exclude
        for file in excludeFile {
            guard let data = FileManager.default.contents(atPath: surroundings.absolute(file)) else {
                throw HoldfastError(.notFound, "the file \(file) with excludes cannot be read")
            }
            patterns += String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline)
                .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        }
        return ExcludeRules(
            patterns: try PathPatterns(patterns), loose: try PathPatterns(iexclude, ignoresCase: true),
            markers: excludeIfPresent, caches: excludeCaches, oneFileSystem: oneFileSystem)
    }
}

/// Decides for each path of a walk.
struct ExcludeRules: Sendable {
    let patterns: PathPatterns
    let loose: PathPatterns
    let markers: [String]
    let caches: Bool
    let oneFileSystem: Bool
    private static let cacheTag = "CACHEDIR.TAG"
    private static let cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"

    /// - Parameter root: the absolute directory that a capture begins at.
    func excludes(below root: String) -> @Sendable (String) -> Bool {
        var status = stat()
        let device = lstat(root, &status) == 0 ? status.st_dev : 0
        let rules = self
        let looksAtFiles = !markers.isEmpty || caches || oneFileSystem
        let base = root == "/" ? "" : root
        return { relative in
            let path = base + "/" + relative
            if rules.patterns.match(path) || rules.loose.match(path) { return true }
            return looksAtFiles && rules.excludesByFiles(path, device)
        }
    }

    private func excludesByFiles(_ path: String, _ device: dev_t) -> Bool {
        let name = (path as NSString).lastPathComponent
        let directory = (path as NSString).deletingLastPathComponent
        for marker in markers where name != marker && access(directory + "/" + marker, F_OK) == 0 { return true }
        if caches, name != Self.cacheTag, Self.isCache(directory) { return true }
        guard oneFileSystem else { return false }
        var status = stat()
        return lstat(path, &status) == 0 && status.st_dev != device
    }

    private static func isCache(_ directory: String) -> Bool {
        let descriptor = open(directory + "/" + cacheTag, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: cacheSignature.utf8.count)
        return read(descriptor, &bytes, bytes.count) == bytes.count && bytes.elementsEqual(cacheSignature.utf8)
    }
}
