/// Everything that was measured.
struct Samples {
    struct Key: Hashable, Sendable {
        var corpus: CorpusKind
        var step: Step
        var tool: Tool.Kind
    }

    private struct Values {
        var measurements: [Measurement] = []
        var sizes: [Int64] = []
    }

    private var values: [Key: Values] = [:]

    /// - Parameter size: bytes of the repository after the step.
    mutating func add(_ measurement: Measurement, size: Int64, to key: Key) {
        values[key, default: Values()].measurements.append(measurement)
        values[key, default: Values()].sizes.append(size)
    }

    /// Medians, in the order of corpora and steps.
    func rows(_ versions: [Tool.Kind: String]) -> [Row] {
        var rows: [Row] = []
        for corpus in CorpusKind.allCases {
            for step in Step.allCases {
                for tool in Tool.Kind.allCases {
                    guard let values = values[Key(corpus: corpus, step: step, tool: tool)] else { continue }
                    rows.append(
                        Row(
                            corpus: corpus.rawValue, step: step.rawValue, tool: tool.rawValue,
                            version: versions[tool] ?? "", n: values.measurements.count,
                            wallSeconds: Self.median(values.measurements.map(\.wallSeconds)),
                            cpuSeconds: Self.median(values.measurements.map(\.cpuSeconds)),
                            peakMebibytes: Self.median(values.measurements.map(\.peakMebibytes)),
                            repositoryMegabytes: Self.median(values.sizes.map { Double($0) / 1e6 })))
                }
            }
        }
        return rows
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
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
