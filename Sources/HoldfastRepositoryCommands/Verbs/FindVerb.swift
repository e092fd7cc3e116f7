import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository find`
struct FindVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "find", abstract: "Find files in snapshots by patterns.",
        discussion: "A pattern that begins with '/' fits from the root on, any other one at every depth.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Flag(name: .shortAndLong, help: "Show mode, owner, size and time.")
    var long = false

    @Flag(name: .shortAndLong, help: "Let capital letters and small ones be the same.")
    var ignoreCase = false

    @Option(
        name: [.customShort("O"), .long], help: ArgumentHelp("Only what was changed at or after.", valueName: "time"))
    var oldest: String?

    @Option(
        name: [.customShort("N"), .long], help: ArgumentHelp("Only what was changed at or before.", valueName: "time"))
    var newest: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Search only these snapshots.", valueName: "snapshot"))
    var snapshot: [String] = []

    @Argument(help: ArgumentHelp("Such as '*.sql' or '/srv/**/wal'.", valueName: "pattern"))
    var patterns: [String]

    private struct Found: Encodable {
        let matches: [MatchShape]
        let hits: Int
        let snapshot: String
    }

    func run() throws {
        let patterns = try PathPatterns(patterns, ignoresCase: ignoreCase)
        let oldest = try oldest.map { try TimeArgument.parse($0) }
        let newest = try newest.map { try TimeArgument.parse($0) }
        try options.reading(reading) { context in
            let times = PlainTime(context.surroundings)
            var found: [Found] = []
            for record in try filter.records(snapshot, context) {
                var matches: [MatchShape] = []
                try context.repository.browse(record.id) { entry in
                    let isMeant =
                        patterns.match(entry.path) && (oldest.map { entry.modified >= $0 } ?? true)
                        && (newest.map { entry.modified <= $0 } ?? true)
                    guard isMeant else { return patterns.mayMatch(below: entry.path) ? .enter : .skip }
                    if !options.json {
                        if matches.isEmpty {
                            context.say("in snapshot \(record.shortID) of \(times.text(record.time)):")
                        }
                        context.output.out((long ? times.line(entry) : PlainText.name(entry.path)) + "\n")
                    }
                    matches.append(MatchShape(entry))
                    return .enter
                }
                if !matches.isEmpty {
                    // Memory for the matches of all snapshots only where they are written as one value.
                    found.append(
                        Found(matches: options.json ? matches : [], hits: matches.count, snapshot: "\(record.id)"))
                }
            }
            if options.json { try context.write(json: found) }
        }
    }
}

/// A time in an argument.
enum TimeArgument {
    /// RFC 3339, or a date with or without a time, in UTC.
    static func parse(_ text: String) throws -> Timestamp {
        let joined = text.replacingOccurrences(of: " ", with: "T")
        for candidate in [text, joined, joined + "Z", joined + ":00Z", text + "T00:00:00Z"] {
            if let time = Timestamp(rfc3339Text: candidate) { return time }
        }
        throw HoldfastError(
            .invalidInput, "'\(text)' is not a time", hint: "Write it as '2026-11-23' or '2026-11-23 12:00:00', in UTC")
    }
}
