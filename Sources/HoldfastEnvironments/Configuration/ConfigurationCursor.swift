import Foundation
import HoldfastModel

/// A value of the file together with the way that led to it: what every reader works on.
struct ConfigurationCursor {
    let node: ConfigurationNode
    /// Such as `applications.ledger.mounts`.
    let path: String
    let problems: ConfigurationProblems

    var line: Int { node.line }
    var isNull: Bool { if case .null = node.content { true } else { false } }

    /// What stands here, for errors.
    var found: String {
        switch node.content {
        case .null: "nothing"
        case .bool(let value): value ? "the truth value true" : "the truth value false"
        case .number(let text): "the number \(text.prefix(40))"
        case .string(let text): text.isEmpty ? "an empty text" : ConfigurationProblems.quote(text)
        case .list: "a list"
        case .map: "a map"
        }
    }

    func fault(expected: String) {
        problems.fault(line: line, path: path, found: found, expected: expected)
    }

    /// The entries of a map; nothing and a fault if it is none. Nothing without a fault if there is no value.
    func entries(expected: String) -> [(key: String, cursor: ConfigurationCursor)] {
        switch node.content {
        case .null: return []
        case .map(let entries):
            // The key's line, not the value's: an alias stands where its anchor is, a map begins one line below.
            return entries.map { entry in
                let node = ConfigurationNode(line: entry.line, content: entry.value.content)
                return (entry.key, ConfigurationCursor(node: node, path: join(entry.key), problems: problems))
            }
        default:
            fault(expected: expected)
            return []
        }
    }

    /// The fields of a map by name. A field that is not in any of the lists is warned of.
    ///
    /// - Parameters:
    ///   - known: fields that are read.
    ///   - ignored: fields of Upsun that need nothing here, such as `disk`.
    ///   - unsupported: fields of Upsun that would change what runs, and do not here: they are warned of.
    func fields(
        _ expected: String, known: [String], ignored: [String] = [], unsupported: [String: String] = [:]
    ) -> [String: ConfigurationCursor] {
        var fields: [String: ConfigurationCursor] = [:]
        for (key, cursor) in entries(expected: expected) {
            if known.contains(key) {
                fields[key] = cursor
            } else if let reason = unsupported[key] {
                problems.warn(line: cursor.line, "\(cursor.path) has no effect: \(reason)")
            } else if !ignored.contains(key) {
                let near = Self.nearest(key, in: known + ignored).map { "did you mean '\($0)'?" }
                let list = "known here: \(known.sorted().joined(separator: ", "))"
                problems.warn(line: cursor.line, "\(cursor.path) is not known and has no effect; \(near ?? list)")
            }
        }
        return fields
    }

    /// A text; numbers and truth values count as the text they are written as.
    func text(_ expected: String, maximumBytes: Int = 65536) -> String? {
        let text: String
        switch node.content {
        case .string(let value): text = value
        case .number(let value): text = value
        case .bool(let value): text = value ? "true" : "false"
        case .null, .list, .map:
            fault(expected: expected)
            return nil
        }
        guard !text.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty else {
            fault(expected: expected)
            return nil
        }
        guard text.utf8.count <= maximumBytes, !text.utf8.contains(0) else {
            problems.fault(
                line: line, path: path, found: text.utf8.contains(0) ? "a NUL character" : "\(text.utf8.count) bytes",
                expected: "\(expected) of at most \(maximumBytes) bytes")
            return nil
        }
        return text
    }

    /// A command for `/bin/sh -c`; nil and no fault if there is none.
    func command() -> String? { isNull ? nil : text("a command") }

    func integer(in range: ClosedRange<Int>, unit: String) -> Int? {
        if case .number(let text) = node.content, let value = Int(text), range.contains(value) { return value }
        fault(expected: "a whole number of \(unit) from \(range.lowerBound) to \(range.upperBound)")
        return nil
    }

    /// The value as it stands, for parts whose shape is not ours to say.
    func value() -> ConfigurationValue { Self.value(of: node) }

    /// Whether a key is usable as a name of an app, service, worker, cron or relationship; a fault if not.
    func checkName(_ name: String, of what: String) -> Bool {
        if Self.isName(name) { return true }
        problems.fault(
            line: line, path: path, found: "the name \(ConfigurationProblems.quote(name))",
            expected: "a name of \(what) out of letters, digits, '-' and '_', at most 63, beginning with one of the "
                + "first two")
        return false
    }

    /// Names become file names, log names and parts of variables.
    static func isName(_ text: String) -> Bool {
        guard (1...63).contains(text.utf8.count), let first = text.utf8.first, first != 45, first != 95 else {
            return false
        }
        return text.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45
                || byte == 95
        }
    }

    private func join(_ key: String) -> String {
        let visible = Self.isName(key) ? key : ConfigurationProblems.quote(key)
        return path.isEmpty ? visible : "\(path).\(visible)"
    }

    private static func value(of node: ConfigurationNode) -> ConfigurationValue {
        switch node.content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .number(let text): Int(text).map { .integer($0) } ?? Double(text).map { .number($0) } ?? .string(text)
        case .string(let text): .string(text)
        case .list(let nodes): .list(nodes.map(value(of:)))
        case .map(let entries):
            .map(Dictionary(entries.map { ($0.key, value(of: $0.value)) }, uniquingKeysWith: { first, _ in first }))
        }
    }

    /// The known name that a misspelt one is at most two letters away from.
    static func nearest(_ text: String, in names: [String]) -> String? {
        guard text.utf8.count <= 40 else { return nil }
        let scored = names.map { (name: $0, distance: distance(text, $0)) }
        guard let best = scored.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
        return best.distance <= 2 && best.distance < best.name.count ? best.name : nil
    }

    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right.utf8)
        var row = Array(0...right.count)
        for (index, byte) in left.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in 0..<right.count {
                let above = row[column + 1]
                let substituted = diagonal + (right[column] == byte ? 0 : 1)
                row[column + 1] = min(above + 1, row[column] + 1, substituted)
                diagonal = above
            }
        }
        return row[right.count]
    }
}
