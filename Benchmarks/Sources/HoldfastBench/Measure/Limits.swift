import Foundation

/// What this machine can do at most, measured by `holdfast-limits` as whole processes, three times each.
struct Limits {
    let own: String
    let work: String
    /// Where trees are kept that are not to be removed before the end.
    let aside: String

    func measure(_ corpus: Corpus) throws -> [LimitRow] {
        var names = ["stat", "read", "write"]
        if corpus.kind == .files { names += ["sha256", "aes", "compress", "decompress"] }
        return try names.map { name in
            var measurements: [Measurement] = []
            var bytes = 0.0
            for _ in 0..<3 {
                let target = "\(work)/limit"
                try Files.remove(target)
                sync()
                let log = "\(work)/limit.log"
                let process = MeasuredProcess(
                    executable: (own as NSString).deletingLastPathComponent + "/holdfast-limits",
                    arguments: [name, corpus.data, target], log: log)
                measurements.append(try process.run())
                let text = try String(contentsOfFile: log, encoding: .utf8)
                bytes = Double(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
                if Files.exists(target) { try Files.setAside(target, in: aside) }
            }
            let cpu = median(measurements.map(\.cpuSeconds))
            return LimitRow(
                corpus: corpus.kind, limit: name, n: measurements.count,
                wallSeconds: median(measurements.map(\.wallSeconds)), cpuSeconds: cpu, megabytes: bytes / 1e6,
                megabytesPerCPUSecond: bytes / 1e6 / max(cpu, 1e-3))
        }
    }
}

/// A limit, as `results.json` has it.
struct LimitRow: Codable, Sendable, Hashable {
    var corpus: CorpusKind
    /// `stat`, `read` and `write` of the corpus' files; `sha256`, `aes`, `compress` and `decompress` of data in memory.
    var limit: String
    var n: Int
    var wallSeconds: Double
    var cpuSeconds: Double
    var megabytes: Double
    var megabytesPerCPUSecond: Double

    private enum CodingKeys: String, CodingKey {
        case corpus, limit, n
        case wallSeconds = "wall_s"
        case cpuSeconds = "cpu_s"
        case megabytes = "mb"
        case megabytesPerCPUSecond = "mb_per_cpu_s"
    }
}
