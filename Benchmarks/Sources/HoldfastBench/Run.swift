import Foundation

/// A whole comparison.
///
/// In each pair both tools begin with empty repositories and do each step one after the other, so that a slow minute of
/// the machine meets both; who is first changes from pair to pair.
struct Run {
    private let options: Options
    private let own: String
    private var samples = Samples()
    private let machine = Machine()

    init(_ options: Options) throws {
        self.options = options
        own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    }

    func run() throws {
        try Files.makeDirectory(options.work)
        let versions = try [Tool.Kind.holdfast: ownVersion(), .restic: resticVersion()]
        say("holdfast \(versions[.holdfast] ?? "") and restic \(versions[.restic] ?? ""), \(machine.text)")
        var samples = samples
        for kind in options.kinds {
            let corpus = Corpus(kind, options.size, in: options.work)
            if !corpus.isComplete { say("Making corpus \(kind.rawValue)") }
            try helper(CorpusCommand.arguments("make", kind, options))
            for number in 1...options.pairs {
                say("Corpus \(kind.rawValue), pair \(number) of \(options.pairs)")
                try pair(number, corpus, versions, &samples)
            }
            if !options.keepsCorpora { try Files.remove(corpus.directory) }
        }
        let report = Report(rows: samples.rows(versions), machine: machine, options: options)
        FileHandle.standardOutput.write(Data(report.table.utf8))
        if let output = options.output {
            try report.json().write(to: URL(fileURLWithPath: output))
            say("Wrote \(output)")
        }
    }

    private func pair(
        _ number: Int, _ corpus: Corpus, _ versions: [Tool.Kind: String], _ samples: inout Samples
    ) throws {
        let place = "\(options.work)/pair"
        try Files.remove(place)
        var tools = try Tool.Kind.allCases.map { kind in
            let tool = Tool(
                kind: kind, version: versions[kind] ?? "", executable: kind == .holdfast ? own : options.restic,
                place: "\(place)/\(kind.rawValue)")
            try Files.makeDirectory(tool.place)
            try helper(["engine", "init", tool.repository])
            return tool
        }
        if number % 2 == 0 { tools.reverse() }
        try helper(CorpusCommand.arguments("warm", corpus.kind, options))
        for step in Step.allCases {
            if step == .changed { try helper(CorpusCommand.arguments("change", corpus.kind, options)) }
            // A change in the very second of a backup makes tools read again; nobody is to pay for that here.
            if step == .first || step == .changed { Thread.sleep(forTimeInterval: 3) }
            for tool in tools {
                let measurement = try tool.process(step, data: corpus.data).run()
                samples.add(
                    measurement, size: Files.size(tool.repository),
                    to: Samples.Key(corpus: corpus.kind, step: step, tool: tool.kind))
            }
        }
        if number == 1 {
            for tool in tools { try helper(["corpus", "compare", corpus.data, tool.restored(corpus.data)]) }
        }
        try helper(CorpusCommand.arguments("undo", corpus.kind, options))
        try Files.remove(place)
    }

    /// This program again, for work whose memory must not become ours: a child's peak is never below its parent's.
    private func helper(_ arguments: [String]) throws {
        let process = MeasuredProcess(
            executable: own, arguments: arguments, environment: ["HOLDFAST_BENCH_PASSWORD": Tool.password],
            log: "\(options.work)/helper.log")
        _ = try process.run()
    }

    // MARK: Versions

    private func resticVersion() throws -> String {
        let words = try output(of: options.restic, ["version"]).split(separator: " ")
        guard words.count > 1, words[0] == "restic" else {
            throw BenchError(
                "'\(options.restic)' is not restic; install Debian's package restic, or name one with --restic")
        }
        return String(words[1])
    }

    /// The commit that this was built from, if it still lies in its checkout.
    private func ownVersion() -> String {
        let folder = (own as NSString).deletingLastPathComponent
        let text = try? output(of: "git", ["-C", folder, "describe", "--always", "--dirty", "--tags"])
        return text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
    }

    private func output(of executable: String, _ arguments: [String]) throws -> String {
        let log = "\(options.work)/version.log"
        _ = try MeasuredProcess(executable: executable, arguments: arguments, log: log).run()
        return try String(contentsOfFile: log, encoding: .utf8)
    }

    private func say(_ line: String) { FileHandle.standardError.write(Data("\(line)\n".utf8)) }
}
