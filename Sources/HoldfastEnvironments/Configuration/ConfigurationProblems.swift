import Foundation
import HoldfastModel

/// Collects faults and warnings while a file is read, so that one push shows all of them.
final class ConfigurationProblems {
    /// More faults than this are counted, not listed.
    static let listed = 20

    let file: String
    private(set) var warnings: [ConfigurationWarning] = []
    private var unlisted = 0
    private var faults: [(line: Int, order: Int, text: String)] = []

    init(file: String) { self.file = file }

    /// Records a fault: what stands there, and what should.
    func fault(line: Int, path: String, found: String, expected: String) {
        fault(line: line, path: path, text: "found \(found), expected \(expected)")
    }

    func fault(line: Int, path: String, text: String) {
        guard faults.count < 500 else {
            unlisted += 1
            return
        }
        let place = path.isEmpty ? "" : "\(path): "
        faults.append((line, faults.count, "\(file):\(line): \(place)\(text)"))
    }

    func warn(line: Int, _ message: String) {
        guard warnings.count < 100 else { return }
        let warning = ConfigurationWarning(file: file, line: line, message: message)
        // An anchor that is used twice would say everything twice.
        if !warnings.contains(warning) { warnings.append(warning) }
    }

    /// - Throws: an error that lists the faults by line; nothing if there are none.
    func throwIfAny(
        code: HoldfastError.Code = .invalidInput, hint: String? = "Correct the file, commit and push again"
    ) throws {
        guard !faults.isEmpty else { return }
        var lines: [String] = []
        for fault in faults.sorted(by: { ($0.line, $0.order) < ($1.line, $1.order) }) {
            if !lines.contains(fault.text) { lines.append(fault.text) }
        }
        let more = max(0, lines.count - Self.listed) + unlisted
        if more > 0 {
            lines = lines.prefix(Self.listed) + ["\(file): and \(more) more fault\(more == 1 ? "" : "s")"]
        }
        throw HoldfastError(code, lines.joined(separator: "\n"), hint: hint)
    }

    /// A value as it is shown in an error: short, in quotes, on one line.
    static func quote(_ text: String) -> String {
        let visible = text.unicodeScalars.prefix(60).map { scalar -> String in
            scalar.value < 32 || scalar.value == 127 ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }
        return "'\(visible.joined())\(text.unicodeScalars.count > 60 ? "…" : "")'"
    }
}
