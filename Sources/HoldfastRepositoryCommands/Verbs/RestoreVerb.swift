import ArgumentParser
import Foundation
import Glibc
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

enum OverwritePolicy: String, ExpressibleByArgument, CaseIterable {
    case always
    case never
}

/// `repository restore`
struct RestoreVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Restore a snapshot, or parts of it.",
        discussion: """
            'snapshot:path' restores what is in that directory. The target may hold other things: they stay, and files \
            in the way are replaced. No link is followed, and nothing outside of the target is written. What cannot be \
            restored is named, and the status is then 3.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to.", valueName: "directory"))
    var target: String

    @Option(name: .shortAndLong, help: ArgumentHelp("Only what fits this pattern.", valueName: "pattern"))
    var include: [String] = []

    @Option(help: ArgumentHelp("As --include, whatever the case of letters.", valueName: "pattern"))
    var iinclude: [String] = []

    @Option(name: .shortAndLong, help: ArgumentHelp("Not what fits this pattern.", valueName: "pattern"))
    var exclude: [String] = []

    @Option(help: ArgumentHelp("As --exclude, whatever the case of letters.", valueName: "pattern"))
    var iexclude: [String] = []

    @Option(help: "What becomes of files that are there: always (replace them) or never.")
    var overwrite: OverwritePolicy = .always

    @Flag(help: "Read the restored files again, and compare them.")
    var verify = false

    @Flag(name: [.customShort("n"), .long], help: "Show what would be restored, and restore nothing.")
    var dryRun = false

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'.", valueName: "snapshot"))
    var snapshot: String

    private struct Summary: Encodable {
        var message_type = "summary"
        let total_files: Int
        let files_restored: Int
        let files_skipped: Int?
        let total_bytes: Int64
        let bytes_restored: Int64
        let errors: Int
        let verified: Int?
        let dry_run: Bool?
    }

    func run() throws {
        let hasIncludes = !include.isEmpty || !iinclude.isEmpty
        guard !hasIncludes || (exclude.isEmpty && iexclude.isEmpty) else {
            throw HoldfastError(.invalidInput, "includes and excludes cannot be combined", hint: "Give one of them")
        }
        try options.reading(reading) { context in
            let source = try SnapshotPath(snapshot, filter.filter(context.surroundings), context.repository)
            let choice = try hasIncludes ? included(source, context) : excluded()
            if dryRun { return try show(source, choice, context) }
            try restore(source, choice, context)
        }
    }

    /// What is left out, and which directories only lead to something.
    private struct Choice: Sendable {
        var excludes: @Sendable (String) -> Bool
        var isOnlyOnTheWay: @Sendable (String) -> Bool = { _ in false }
    }

    private func excluded() throws -> Choice {
        let patterns = try PathPatterns(exclude)
        let loose = try PathPatterns(iexclude, ignoresCase: true)
        if patterns.isEmpty && loose.isEmpty { return Choice(excludes: { _ in false }) }
        return Choice(excludes: { patterns.match("/" + $0) || loose.match("/" + $0) })
    }

    /// Looks first which entries are meant: a directory is made only for something that lies in it.
    private func included(_ source: SnapshotPath, _ context: VerbContext) throws -> Choice {
        let patterns = try PathPatterns(include)
        let loose = try PathPatterns(iinclude, ignoresCase: true)
        let prefix = Self.prefix(of: source.path)
        var chosen: Set<String> = []
        var onTheWay: Set<String> = []
        try context.repository.browse(source.record.id, path: source.path) { entry in
            let path = String(entry.path.dropFirst(prefix.count))
            if patterns.match(path) || loose.match(path) {
                chosen.insert(String(path.dropFirst()))
                var parent = (path as NSString).deletingLastPathComponent
                while parent != "/", !parent.isEmpty {
                    guard onTheWay.insert(String(parent.dropFirst())).inserted else { break }
                    parent = (parent as NSString).deletingLastPathComponent
                }
                return .enter
            }
            return patterns.mayMatch(below: path) || loose.mayMatch(below: path) ? .enter : .skip
        }
        let (wanted, leading) = (chosen, onTheWay.subtracting(chosen))
        return Choice(
            excludes: { !wanted.contains($0) && !leading.contains($0) }, isOnlyOnTheWay: { leading.contains($0) })
    }

    /// `/a/b` for `/a/b/` and the like; empty for the root.
    private static func prefix(of path: String) -> String {
        let names = path.split(separator: "/")
        return names.isEmpty ? "" : "/" + names.joined(separator: "/")
    }

    private func show(_ source: SnapshotPath, _ choice: Choice, _ context: VerbContext) throws {
        let prefix = Self.prefix(of: source.path)
        var files = 0
        var bytes: UInt64 = 0
        try context.repository.browse(source.record.id, path: source.path) { entry in
            let path = String(entry.path.dropFirst(prefix.count + 1))
            if choice.excludes(path) { return .skip }
            if entry.type == .file {
                files += 1
                bytes += entry.size
            }
            if !choice.isOnlyOnTheWay(path) { context.say(PlainText.name(path)) }
            return .enter
        }
        if options.json {
            let size = Int64(clamping: bytes)
            return try context.write(
                json: Summary(
                    total_files: files, files_restored: 0, files_skipped: nil, total_bytes: size, bytes_restored: 0,
                    errors: 0, verified: nil, dry_run: true))
        }
        context.say("would restore \(Amount.count(files, "file")), \(Amount.bytes(Int64(clamping: bytes)))")
    }

    private func restore(_ source: SnapshotPath, _ choice: Choice, _ context: VerbContext) throws {
        let path = context.surroundings.absolute(target)
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        let meter = ProgressMeter()
        var settings = RestoreOptions(excludes: choice.excludes)
        settings.existing = overwrite == .never ? .kept : .replaced
        settings.isOnlyOnTheWay = choice.isOnlyOnTheWay
        settings.meter = meter
        let report = try context.showing("restoring", meter) {
            try context.repository.restore(source.treePath, to: path, options: settings)
        }
        for remark in report.remarks { context.warn("note: \(remark)") }
        for problem in report.problems { context.warn("not restored: \(problem)") }
        var problems = report.problems.count
        var verified: Int?
        if verify {
            let reading = ProgressMeter()
            // What was there before and stayed is not what the snapshot says.
            let kept = Set(report.kept)
            let result = try context.showing("verifying", reading) {
                try context.repository.verify(source.treePath, in: path, meter: reading) {
                    choice.excludes($0) || kept.contains($0)
                }
            }
            for problem in result.problems { context.warn("not as in the snapshot: \(problem)") }
            problems += result.problems.count
            verified = result.files
        }
        if options.json {
            try context.write(
                json: Summary(
                    total_files: report.files + report.problems.count, files_restored: report.files,
                    files_skipped: overwrite == .never ? report.kept.count : nil, total_bytes: report.bytes,
                    bytes_restored: report.bytes, errors: problems, verified: verified, dry_run: nil))
        } else {
            var line = "restored \(Amount.count(report.files, "file")), \(Amount.bytes(report.bytes)) to \(path)"
            if !report.kept.isEmpty { line += "; kept \(report.kept.count) that were there" }
            if let verified { line += "; verified \(verified)" }
            context.say(line)
        }
        if problems > 0 { throw VerbEnd(.incomplete) }
    }
}
