import Foundation

/// The table for people and the file for machines.
struct Report {
    let rows: [Row]
    let limits: [LimitRow]
    let machine: Machine
    let options: Options
    /// Whether all that was asked for has been measured.
    let isComplete: Bool

    private struct File: Encodable {
        var machine: Machine
        var scale: [String: Int]
        var seed: UInt64
        var complete: Bool
        var rows: [Row]
        var limits: [LimitRow]
    }

    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        var rows = rows
        for index in rows.indices { rows[index].round() }
        var limits = limits
        for index in limits.indices { limits[index].round() }
        return try encoder.encode(
            File(
                machine: machine,
                scale: Dictionary(uniqueKeysWithValues: options.scale.map { ($0.key.rawValue, $0.value) }),
                seed: options.seed, complete: isComplete, rows: rows, limits: limits))
    }

    /// Ours, restic's, borg's, and ours divided by restic's.
    var table: String {
        let groups = ["CPU s", "wall s", "peak MiB", "repository MB"]
        let names = Self.right("ours", 8) + Self.right("restic", 8) + Self.right("borg", 8) + Self.right("ratio", 7)
        var lines = [
            Self.left("", 16) + groups.map { " | " + Self.left($0, names.count) }.joined(),
            Self.left("corpus step", 16) + groups.map { _ in " | " + names }.joined(),
        ]
        var missed: [String] = []
        for ours in rows where ours.tool == Tool.Kind.holdfast.rawValue {
            let restic = peer(.restic, ours)
            let borg = peer(.borg, ours)
            lines.append(
                Self.left("\(Self.left(ours.corpus, 5)) \(ours.step)", 16)
                    + Self.group(ours, restic, borg, \.cpuSeconds, digits: 2)
                    + Self.group(ours, restic, borg, \.wallSeconds, digits: 2)
                    + Self.group(ours, restic, borg, \.peakMebibytes, digits: 0)
                    + Self.group(ours, restic, borg, \.repositoryMegabytes, digits: 1))
            if let restic { missed += Target.missed(ours, restic: restic, borg: borg) }
        }
        lines += limits.map { limit in
            "limit \(Self.left(limit.corpus.rawValue, 6))\(Self.left(limit.limit, 11)) "
                + "\(Self.right(Self.format(limit.cpuSeconds, 2), 6)) CPU s "
                + "\(Self.right(Self.format(limit.wallSeconds, 2), 6)) wall s "
                + "\(Self.right(Self.format(limit.megabytesPerCPUSecond, 0), 6)) MB per CPU s"
        }
        if !missed.isEmpty { lines += ["Missed:"] + missed.map { "  " + $0 } }
        return lines.joined(separator: "\n") + "\n"
    }

    private func peer(_ tool: Tool.Kind, _ ours: Row) -> Row? {
        rows.first { $0.tool == tool.rawValue && $0.corpus == ours.corpus && $0.step == ours.step }
    }

    private static func group(
        _ ours: Row, _ restic: Row?, _ borg: Row?, _ value: KeyPath<Row, Double>, digits: Int
    ) -> String {
        func shown(_ row: Row?) -> String { row.map { format($0[keyPath: value], digits) } ?? "-" }
        let base = restic.map { $0[keyPath: value] } ?? 0
        let ratio = base > 0 ? format(ours[keyPath: value] / base, 2) : "-"
        return " | " + right(shown(ours), 8) + right(shown(restic), 8) + right(shown(borg), 8) + right(ratio, 7)
    }

    private static func format(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    private static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
    }
}

/// What the engine is to reach, as a part of what restic needs.
enum Target {
    private static let cpu: [CorpusKind: [Step: Double]] = [
        .files: [.first: 0.5, .unchanged: 0.25, .changed: 0.3, .restore: 0.6, .check: 0.5],
        .db: [.first: 0.5, .unchanged: 0.5, .changed: 0.5, .restore: 0.5, .check: 0.5],
        .big: [.first: 0.5, .unchanged: 0.5, .changed: 0.5, .restore: 0.5, .check: 0.5],
    ]
    private static let peak = 1.0
    private static let size = 1.03

    /// Sentences for people.
    static func missed(_ ours: Row, restic: Row, borg: Row?) -> [String] {
        guard let corpus = CorpusKind(rawValue: ours.corpus), let step = Step(rawValue: ours.step) else { return [] }
        var missed: [String] = []
        func compare(_ what: String, _ mine: Double, _ theirs: Double, _ target: Double?) {
            guard let target, theirs > 0, mine / theirs > target else { return }
            let ratio = String(format: "%.2f", mine / theirs)
            missed.append(
                "\(ours.corpus) \(ours.step): \(what) is \(ratio) of restic's, and should be at most \(target)")
        }
        compare("CPU", ours.cpuSeconds, restic.cpuSeconds, cpu[corpus]?[step])
        compare("peak memory", ours.peakMebibytes, restic.peakMebibytes, corpus == .files ? peak : nil)
        compare("the repository", ours.repositoryMegabytes, restic.repositoryMegabytes, step == .open ? nil : size)
        if let borg, corpus == .big, step == .first, ours.cpuSeconds > borg.cpuSeconds {
            missed.append("big first: CPU is above borg's")
        }
        return missed
    }
}

extension LimitRow {
    fileprivate mutating func round() {
        wallSeconds = (wallSeconds * 1000).rounded() / 1000
        cpuSeconds = (cpuSeconds * 1000).rounded() / 1000
        megabytes = (megabytes * 10).rounded() / 10
        megabytesPerCPUSecond = megabytesPerCPUSecond.rounded()
    }
}

extension Row {
    /// To what means something: milliseconds, tenths of a MiB, kilobytes.
    fileprivate mutating func round() {
        wallSeconds = (wallSeconds * 1000).rounded() / 1000
        cpuSeconds = (cpuSeconds * 1000).rounded() / 1000
        peakMebibytes = (peakMebibytes * 10).rounded() / 10
        repositoryMegabytes = (repositoryMegabytes * 1000).rounded() / 1000
    }
}

/// What it was measured on.
struct Machine: Codable, Sendable {
    let cpu: String
    let cores: Int
    let memoryMebibytes: Int
    let kernel: String

    init() {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        cpu = line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
        cores = ProcessInfo.processInfo.activeProcessorCount
        memoryMebibytes = Int(ProcessInfo.processInfo.physicalMemory >> 20)
        kernel =
            (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8))?
            .trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
    }

    var text: String { "\(cores) cores of \(cpu), \(memoryMebibytes) MiB" }

    private enum CodingKeys: String, CodingKey {
        case cpu, cores, kernel
        case memoryMebibytes = "memory_mib"
    }
}
