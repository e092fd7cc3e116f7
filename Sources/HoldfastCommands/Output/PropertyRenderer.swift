import Foundation
import HoldfastAPI
import HoldfastModel

/// Shows one object: as YAML, as JSON, or one property of it.
package enum PropertyRenderer {
    /// Sorted keys, two spaces, a newline at the end.
    package static func json(_ value: JSONValue) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try String(decoding: encoder.encode(value), as: UTF8.self) + "\n"
    }

    /// The property at a dotted path.
    ///
    /// - Throws: `invalidInput` naming the path, and what there is.
    package static func property(_ path: String, of properties: [String: JSONValue]) throws -> JSONValue {
        var current = JSONValue.object(properties)
        for key in path.split(separator: ".", omittingEmptySubsequences: false).map(String.init) {
            if case .array(let items) = current, let index = Int(key), items.indices.contains(index) {
                current = items[index]
            } else if let next = current[key] {
                current = next
            } else {
                throw HoldfastError(
                    .invalidInput, "property '\(path)' does not exist",
                    hint: "Choose among \(properties.keys.sorted().joined(separator: ", "))")
            }
        }
        return current
    }

    /// A single value as it is, a nested one as YAML; with a newline at the end.
    package static func text(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text + "\n"
        case .object, .array: yaml(value)
        default: scalar(value) + "\n"
        }
    }

    /// Block style.
    package static func yaml(_ value: JSONValue) -> String {
        switch value {
        case .object(let properties) where !properties.isEmpty: mapping(properties, indent: "")
        case .array(let items) where !items.isEmpty: sequence(items, indent: "")
        default: scalar(value) + "\n"
        }
    }

    /// `id` first, the others in the order of the alphabet.
    package static func orderedKeys(_ properties: [String: JSONValue]) -> [String] {
        let others = properties.keys.filter { $0 != "id" }.sorted()
        return (properties["id"] == nil ? [] : ["id"]) + others
    }

    private static func mapping(_ properties: [String: JSONValue], indent: String) -> String {
        orderedKeys(properties).map { key in
            indent + scalar(.string(key)) + ":" + nested(properties[key] ?? .null, indent: indent)
        }.joined()
    }

    private static func sequence(_ items: [JSONValue], indent: String) -> String {
        items.map { item in
            if case .object(let properties) = item, !properties.isEmpty {
                let block = mapping(properties, indent: indent + "  ")
                return indent + "- " + block.dropFirst(indent.count + 2)
            }
            return indent + "-" + nested(item, indent: indent)
        }.joined()
    }

    private static func nested(_ value: JSONValue, indent: String) -> String {
        switch value {
        case .object(let properties) where !properties.isEmpty: "\n" + mapping(properties, indent: indent + "  ")
        case .array(let items) where !items.isEmpty: "\n" + sequence(items, indent: indent + "  ")
        default: " " + scalar(value) + "\n"
        }
    }

    private static func scalar(_ value: JSONValue) -> String {
        switch value {
        case .null: "null"
        case .bool(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .string(let text): needsQuotes(text) ? quoted(text) : text
        case .array: "[]"
        case .object: "{}"
        }
    }

    /// Texts that YAML would read as something else than this text.
    private static func needsQuotes(_ text: String) -> Bool {
        let words: Set = ["null", "~", "true", "false", "yes", "no", "on", "off", ""]
        guard let first = text.first, let last = text.last, !words.contains(text.lowercased()) else { return true }
        if first.isNumber || "-+.?:,[]{}#&*!|>'\"%@`= ".contains(first) || last == " " || last == ":" { return true }
        return text.contains(": ") || text.contains(" #") || text.contains { $0.isNewline || $0 == "\t" }
    }

    private static func quoted(_ text: String) -> String {
        guard text.contains(where: { $0.isNewline || $0 == "\t" }) else {
            return "'" + text.replacingOccurrences(of: "'", with: "''") + "'"
        }
        let escapes = [("\\", "\\\\"), ("\"", "\\\""), ("\r", "\\r"), ("\n", "\\n"), ("\t", "\\t")]
        return "\"" + escapes.reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1) } + "\""
    }
}
