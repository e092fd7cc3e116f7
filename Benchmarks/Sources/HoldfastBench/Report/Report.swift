import Foundation

/// The table for people and the file for machines.
struct Report {
    let rows: [Row]
    let machine: Machine
    let options: Options

    private struct File: Encodable {
        var machine: Machine
        var files: Int
        var mebibytes: Int
        var seed: UInt64
        var rows: [Row]
    }

    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let size = options.size
        var rows = rows
        for index in rows.indices { rows[index].round() }
        return try encoder.encode(
            File(machine: machine, files: size.files, mebibytes: size.mebibytes, seed: size.seed, rows: rows))
    }

    /// Ours, restic's, and ours divided by restic's.
    var table: String {
        var lines = [
            "corpus  step     | CPU s  restic  ratio | wall s  restic  ratio | MiB peak  restic  ratio "
                + "| repo MB  restic  ratio"
        ]
        for ours in rows where ours.tool == Tool.Kind.holdfast.rawValue {
            let peer = rows.first {
                $0.tool == Tool.Kind.restic.rawValue && $0.corpus == ours.corpus && $0.step == ours.step
            }
            guard let peer else { continue }
            lines.append(
                Self.left(ours.corpus, 8) + Self.left(ours.step, 9)
                    + "|" + Self.triple(ours.cpuSeconds, peer.cpuSeconds, digits: 2, widths: (6, 7, 6))
                    + "|" + Self.triple(ours.wallSeconds, peer.wallSeconds, digits: 2, widths: (7, 7, 6))
                    + "|" + Self.triple(ours.peakMebibytes, peer.peakMebibytes, digits: 0, widths: (9, 7, 6))
                    + "|"
                    + Self.triple(ours.repositoryMegabytes, peer.repositoryMegabytes, digits: 1, widths: (8, 7, 6)))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func triple(_ ours: Double, _ theirs: Double, digits: Int, widths: (Int, Int, Int)) -> String {
        right(format(ours, digits), widths.0) + " " + right(format(theirs, digits), widths.1) + " "
            + right(theirs > 0 ? format(ours / theirs, 2) : "-", widths.2) + " "
    }

    private static func format(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    private static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
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
