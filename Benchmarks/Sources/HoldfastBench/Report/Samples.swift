import Foundation

/// One step of one tool in one pair.
struct Sample: Codable, Sendable, Hashable {
    var corpus: CorpusKind
    var step: Step
    var tool: Tool.Kind
    var version: String
    var pair: Int
    var measurement: Measurement
    /// Bytes of the repository after the step.
    var size: Int64
}

/// Everything that was measured.
struct Samples {
    private(set) var all: [Sample] = []
    var limits: [LimitRow] = []

    mutating func add(_ samples: [Sample]) { all += samples }

    func hasLimits(of corpus: CorpusKind) -> Bool { limits.contains { $0.corpus == corpus } }

    /// Whether a pair was measured with all that is asked for.
    func isComplete(_ corpus: CorpusKind, _ pair: Int, _ options: Options) -> Bool {
        options.steps.allSatisfy { step in
            options.tools.allSatisfy { tool in
                all.contains { $0.corpus == corpus && $0.pair == pair && $0.step == step && $0.tool == tool }
            }
        }
    }

    /// Medians, in the order of corpora and steps.
    var rows: [Row] {
        var rows: [Row] = []
        for corpus in CorpusKind.allCases {
            for step in Step.allCases {
                for tool in Tool.Kind.allCases {
                    let samples = all.filter { $0.corpus == corpus && $0.step == step && $0.tool == tool }
                    guard let version = samples.last?.version else { continue }
                    rows.append(
                        Row(
                            corpus: corpus.rawValue, step: step.rawValue, tool: tool.rawValue, version: version,
                            n: samples.count, wallSeconds: median(samples.map(\.measurement.wallSeconds)),
                            cpuSeconds: median(samples.map(\.measurement.cpuSeconds)),
                            peakMebibytes: median(samples.map(\.measurement.peakMebibytes)),
                            repositoryMegabytes: median(samples.map { Double($0.size) / 1e6 })))
                }
            }
        }
        return rows
    }
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// Keeps what was measured in a file, a line each, for a run that goes on.
struct SampleStore {
    private enum Line: Codable {
        case size(CorpusKind, CorpusSize)
        case sample(Sample)
        case limit(LimitRow)
    }

    let path: String

    /// - Throws: if the file cannot be read, or is of corpora of another size. A line that was cut counts as none.
    func load(_ size: (CorpusKind) -> CorpusSize) throws -> Samples {
        var samples = Samples()
        var sized: Set<CorpusKind> = []
        guard Files.exists(path) else {
            try begin(size)
            return samples
        }
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            switch try? JSONDecoder().decode(Line.self, from: Data(line.utf8)) {
            case .size(let kind, let other) where other != size(kind):
                throw BenchError(
                    "'\(path)' is of a run with --scale \(kind.rawValue)=\(other.percent) --seed \(other.seed)")
            case .size(let kind, _): sized.insert(kind)
            case .sample(let sample): samples.add([sample])
            case .limit(let limit): samples.limits.append(limit)
            case nil: continue
            }
        }
        if let kind = CorpusKind.allCases.first(where: { !sized.contains($0) }) {
            throw BenchError("'\(path)' does not say of which size \(kind.rawValue) is. Remove it, or omit --resume")
        }
        return samples
    }

    /// Forgets what was there.
    func begin(_ size: (CorpusKind) -> CorpusSize) throws {
        try Files.remove(path)
        try append(lines: CorpusKind.allCases.map { .size($0, size($0)) })
    }

    func append(_ samples: [Sample]) throws { try append(lines: samples.map { .sample($0) }) }
    func append(limits: [LimitRow]) throws { try append(lines: limits.map { .limit($0) }) }

    private func append(lines: [Line]) throws {
        let text = try lines.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) + "\n" }.joined()
        let output = try OutputFile(path, isAppending: true)
        try output.write(Array(text.utf8))
    }
}

/// One line of `results.json`.
struct Row: Codable, Sendable, Hashable {
    var corpus: String
    var step: String
    var tool: String
    var version: String
    /// How many measurements the medians are of.
    var n: Int
    var wallSeconds: Double
    var cpuSeconds: Double
    var peakMebibytes: Double
    var repositoryMegabytes: Double

    private enum CodingKeys: String, CodingKey {
        case corpus, step, tool, version, n
        case wallSeconds = "wall_s"
        case cpuSeconds = "cpu_s"
        case peakMebibytes = "rss_mib"
        case repositoryMegabytes = "repo_mb"
    }
}
