import Foundation

/// A whole comparison.
///
/// In each pair every tool begins with an empty repository and they do each step one after the other, so that a slow
/// minute of the machine meets all; who is first changes from pair to pair. What was measured is kept after each pair,
/// so that a run that is cut can go on.
struct Run {
    private let options: Options
    private let own: String
    private let machine = Machine()
    private let store: SampleStore
    /// Restored trees, until the end of the run.
    private var aside: String { "\(options.work)/aside" }

    init(_ options: Options) throws {
        self.options = options
        own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        store = SampleStore(path: (options.output ?? "\(options.work)/results.json") + ".samples")
    }

    func run() throws {
        try Files.makeDirectory(options.work)
        let versions = try self.versions()
        let shown = options.tools.map { "\($0.rawValue) \(versions[$0] ?? "")" }.joined(separator: ", ")
        say("\(shown); \(machine.text)")
        var samples = Samples()
        if options.resumes { samples = try store.load(options.size) } else { try store.begin(options.size) }
        for kind in options.kinds {
            let corpus = Corpus(kind, options.size(kind), in: options.work)
            if !corpus.isComplete { say("Making corpus \(kind.rawValue), \(options.size(kind).bytes(kind) >> 20) MiB") }
            try helper(CorpusCommand.arguments("make", kind, options))
            if options.measuresLimits && !samples.hasLimits(of: kind) {
                let limits = try Limits(own: own, work: options.work, aside: aside).measure(corpus)
                samples.limits += limits
                try store.append(limits: limits)
            }
            for number in 1...options.pairs where !samples.isComplete(kind, number, options) {
                say("Corpus \(kind.rawValue), pair \(number) of \(options.pairs)")
                let measured = try pair(number, corpus, versions)
                samples.add(measured)
                try store.append(measured)
                try write(samples, isComplete: false)
            }
            if !options.keepsCorpora { try Files.remove(corpus.directory) }
        }
        try Files.remove(aside)
        let report = try write(samples, isComplete: true)
        FileHandle.standardOutput.write(Data(report.table.utf8))
        if let output = options.output { say("Wrote \(output)") }
    }

    @discardableResult
    private func write(_ samples: Samples, isComplete: Bool) throws -> Report {
        let report = Report(
            rows: samples.rows, limits: samples.limits, machine: machine, options: options, isComplete: isComplete)
        if let output = options.output {
            try report.json().write(to: URL(fileURLWithPath: output), options: .atomic)
        }
        return report
    }

    private func pair(_ number: Int, _ corpus: Corpus, _ versions: [Tool.Kind: String]) throws -> [Sample] {
        let place = "\(options.work)/pair"
        try Files.remove(place)
        let all = try options.tools.map { kind in
            let tool = Tool(kind: kind, executable: executable(kind), place: "\(place)/\(kind.rawValue)")
            try Files.makeDirectory(tool.place)
            // Ours and restic's have one format, and so one cheap key derivation.
            if let process = tool.initialisation {
                _ = try process.run()
            } else {
                try helper(["engine", "init", tool.repository])
            }
            return tool
        }
        let tools = (0..<all.count).map { all[($0 + number - 1) % all.count] }
        var samples: [Sample] = []
        for step in Step.inOrder where options.needs(step) {
            if step == .changed { try helper(CorpusCommand.arguments("change", corpus.kind, options)) }
            // A change in the very second of a backup makes tools read again; nobody is to pay for that here.
            if step == .first || step == .changed { Thread.sleep(forTimeInterval: 3) }
            for tool in tools {
                let measurement = try measure(step, tool, corpus)
                if options.steps.contains(step) {
                    samples.append(
                        Sample(
                            corpus: corpus.kind, step: step, tool: tool.kind, version: versions[tool.kind] ?? "",
                            pair: number, measurement: measurement, size: Files.size(tool.repository)))
                }
                if step == .restore {
                    if number == 1 { try helper(["corpus", "compare", corpus.data, tool.restored(corpus.data)]) }
                    try Files.setAside(tool.restoreFolder, in: aside)
                }
            }
        }
        try helper(CorpusCommand.arguments("undo", corpus.kind, options))
        try Files.remove(place)
        return samples
    }

    /// One step: what it reads lies in the page cache, and nothing waits to be written to the disk.
    private func measure(_ step: Step, _ tool: Tool, _ corpus: Corpus) throws -> Measurement {
        switch step {
        case .first, .changed: try helper(CorpusCommand.arguments("warm", corpus.kind, options))
        case .restore:
            try Files.makeDirectory(tool.restoreFolder)
            try helper(["corpus", "warm", tool.repository])
        case .check, .prune: try helper(["corpus", "warm", tool.repository])
        case .open, .unchanged: break
        }
        sync()
        return try tool.processes(step, data: corpus.data).map { try $0.run() }.reduce(Measurement.none, +)
    }

    private func executable(_ kind: Tool.Kind) -> String {
        switch kind {
        case .holdfast: own
        case .restic: options.restic
        case .borg: options.borg
        }
    }

    /// This program again, for work whose memory must not become ours: a child's peak is never below its parent's.
    private func helper(_ arguments: [String]) throws {
        let process = MeasuredProcess(
            executable: own, arguments: arguments, environment: ["HOLDFAST_BENCH_PASSWORD": Tool.password],
            log: "\(options.work)/helper.log")
        _ = try process.run()
    }

    // MARK: Versions

    private func versions() throws -> [Tool.Kind: String] {
        var versions: [Tool.Kind: String] = [:]
        for tool in options.tools {
            switch tool {
            case .holdfast: versions[tool] = ownVersion()
            case .restic: versions[tool] = try version(of: options.restic, ["version"], name: "restic")
            case .borg: versions[tool] = try version(of: options.borg, ["--version"], name: "borg")
            }
        }
        return versions
    }

    private func version(of executable: String, _ arguments: [String], name: String) throws -> String {
        let hint = "run Scripts/install-dependencies bench, or name one with --\(name)"
        let words: [Substring]
        do { words = try output(of: executable, arguments).split(whereSeparator: \.isWhitespace) } catch {
            throw BenchError("\(error); \(hint)")
        }
        guard words.count > 1, words[0] == name else { throw BenchError("'\(executable)' is not \(name); \(hint)") }
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

extension Options {
    /// Whether a step is measured, or makes what a measured one needs.
    func needs(_ step: Step) -> Bool {
        if steps.contains(step) { return true }
        let last = Step.inOrder.lastIndex { steps.contains($0) } ?? -1
        guard let position = Step.inOrder.firstIndex(of: step) else { return false }
        return (step == .first || step == .changed) && position < last
    }
}
