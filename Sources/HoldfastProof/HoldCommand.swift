import Foundation
import HoldfastDemo
import HoldfastModel

/// `HoldfastProof bench-hold`, `HoldfastProof oracle`: whole installations of the sample environment under full load.
///
/// `--binary FILE` and `--example FOLDER` are those of this checkout unless said otherwise.
enum HoldCommand {
    /// Options of one run, as given.
    private struct Given {
        private var values: [String: String] = [:]

        /// - Parameter flags: options without a value.
        init(_ arguments: [String], known: Set<String>, flags: Set<String> = []) throws {
            var rest = arguments[...]
            while let option = rest.popFirst() {
                guard known.union(flags).contains(option) else {
                    throw HoldfastError(
                        .invalidInput, "\(option) is no option",
                        hint: "Use \(known.union(flags).sorted().joined(separator: ", "))")
                }
                if flags.contains(option) {
                    values[option] = ""
                    continue
                }
                guard let value = rest.popFirst() else {
                    throw HoldfastError(.invalidInput, "\(option) needs a value")
                }
                values[option] = value
            }
        }

        func has(_ flag: String) -> Bool { values[flag] != nil }

        func text(_ name: String) -> String? { values[name] }

        func number(_ name: String) throws -> Int? {
            guard let value = values[name] else { return nil }
            guard let number = Int(value), number >= 0 else {
                throw HoldfastError(.invalidInput, "\(name) takes a whole number, not '\(value)'")
            }
            return number
        }
    }

    private static let places: Set<String> = ["--binary", "--example"]
    private static var program: String { Bundle.main.executablePath ?? CommandLine.arguments[0] }
    private static var base: String { geteuid() == 0 ? "/var/lib" : NSTemporaryDirectory() }

    /// `bench-hold [--everything] [--files N] [--database-mb N] [--filesystem KIND|FOLDER] [--n N]`
    /// `[--output FILE] [--resume]`
    ///
    /// With none of everything, files, database and file system it measures all of `HoldCase.all`, with `--n` backups
    /// for each row. `--resume` keeps the rows of the file and leaves out those that are there.
    static func bench(_ arguments: [String]) async throws {
        let own: Set<String> = ["--files", "--database-mb", "--filesystem", "--n", "--output"]
        let given = try Given(arguments, known: own.union(places), flags: ["--everything", "--resume"])
        var options = HoldBenchOptions(
            binary: try binary(given), program: program, example: try example(given), base: base)
        options.output = given.text("--output")
        options.resume = given.has("--resume")
        let (files, megabytes) = (try given.number("--files"), try given.number("--database-mb"))
        let n = try given.number("--n")
        let (filesystem, everything) = (given.text("--filesystem"), given.has("--everything"))
        guard options.output != nil || !options.resume else {
            throw HoldfastError(.invalidInput, "--resume needs --output", hint: "Name the file that has the rows")
        }
        if files == nil, megabytes == nil, filesystem == nil, !everything {
            options.cases = n.map { HoldCase.all(n: $0, sample: $0) } ?? HoldCase.all()
        } else {
            options.cases = [
                HoldCase(
                    files: files ?? 0, databaseMB: megabytes ?? 0, filesystem: filesystem ?? base,
                    n: n ?? (everything ? 300 : 30), everyService: everything)
            ]
        }
        try await HoldBench(options, say: EngineCommand.say).run()
    }

    /// `oracle [--rounds N] [--live N] [--home FOLDER] [--output FILE]`
    static func oracle(_ arguments: [String]) async throws {
        let given = try Given(arguments, known: places.union(["--rounds", "--live", "--home", "--output"]))
        let home = "\(base)/holdfast-oracle-\(ProcessInfo.processInfo.processIdentifier)"
        var options = OracleOptions(
            binary: try binary(given), program: program, example: try example(given),
            home: given.text("--home") ?? home)
        options.rounds = try given.number("--rounds") ?? options.rounds
        options.liveRounds = try given.number("--live") ?? options.liveRounds
        options.output = given.text("--output")
        try await OracleRun(options, time: SystemTime(), say: EngineCommand.say).run()
    }

    /// The binary that was built with this program.
    private static func binary(_ given: Given) throws -> String {
        let path = given.text("--binary") ?? ((program as NSString).deletingLastPathComponent + "/holdfast")
        guard access(path, X_OK) == 0 else {
            throw HoldfastError(.notFound, "'\(path)' is no program", hint: "Build it, or name it with --binary")
        }
        return URL(fileURLWithPath: path).path
    }

    private static func example(_ given: Given) throws -> String {
        let path = given.text("--example") ?? "Examples/ledger"
        guard access("\(path)/.upsun/config.yaml", R_OK) == 0 else {
            throw HoldfastError(
                .notFound, "the sample environment is not at '\(path)'", hint: "Name its folder with --example")
        }
        return URL(fileURLWithPath: path).path
    }
}
