import Foundation

/// Reads the text of a `config` file of Git (git-config(1), "Syntax"): section, subsection, key, value.
struct GitConfiguration: Sendable {
    struct Entry: Sendable, Equatable {
        /// Lower case.
        var section: String
        var subsection: String
        /// Lower case.
        var key: String
        var value: String
    }

    private(set) var entries: [Entry] = []

    init(_ text: String) {
        var section = ""
        var subsection = ""
        for line in Self.logicalLines(text) {
            var rest = line.trimmingCharacters(in: .whitespaces)[...]
            if rest.first == "[" {
                guard let header = Self.header(&rest) else { continue }
                (section, subsection) = header
                rest = rest.drop(while: \.isWhitespace)
            }
            guard let first = rest.first, first != "#", first != ";" else { continue }
            let key = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
            guard !key.isEmpty else { continue }
            rest = rest.dropFirst(key.count).drop(while: \.isWhitespace)
            let value = rest.first == "=" ? Self.value(rest.dropFirst()) : "true"
            entries.append(Entry(section: section, subsection: subsection, key: key.lowercased(), value: value))
        }
    }

    /// The last value, which is the one that counts.
    func value(_ section: String, _ subsection: String, _ key: String) -> String? {
        entries.last { $0.section == section && $0.subsection == subsection && $0.key == key }?.value
    }

    /// A backslash at the end of a line joins it with the next one.
    private static func logicalLines(_ text: String) -> [String] {
        var lines: [String] = []
        var open = ""
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            let slashes = line.reversed().prefix { $0 == "\\" }.count
            if slashes % 2 == 1 {
                open += line.dropLast()
            } else {
                lines.append(open + line)
                open = ""
            }
        }
        return open.isEmpty ? lines : lines + [open]
    }

    /// `[section]`, `[section.sub]` or `[section "sub"]`; leaves what stands behind it.
    private static func header(_ rest: inout Substring) -> (String, String)? {
        rest = rest.dropFirst()
        let name = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." }
        rest = rest.dropFirst(name.count).drop(while: \.isWhitespace)
        var subsection = ""
        if rest.first == "\"" {
            rest = rest.dropFirst()
            while let character = rest.popFirst(), character != "\"" {
                if character == "\\", let escaped = rest.popFirst() {
                    subsection.append(escaped)
                } else {
                    subsection.append(character)
                }
            }
        }
        guard rest.popFirst() == "]" else { return nil }
        let parts = name.split(separator: ".", maxSplits: 1)
        guard let section = parts.first else { return nil }
        return (section.lowercased(), parts.count > 1 ? parts[1].lowercased() : subsection)
    }

    private static func value(_ text: Substring) -> String {
        var result = ""
        var isQuoted = false
        /// How much of the result a trailing blank may not be cut from.
        var kept = 0
        var rest = text.drop(while: \.isWhitespace)
        while let character = rest.popFirst() {
            switch character {
            case "\"":
                isQuoted.toggle()
                kept = result.count
            case "\\":
                let escaped = rest.popFirst() ?? "\\"
                result.append(escaped == "n" ? "\n" : escaped == "t" ? "\t" : escaped)
                kept = result.count
            case "#" where !isQuoted, ";" where !isQuoted:
                rest = ""
            default:
                result.append(character)
                if isQuoted || !character.isWhitespace { kept = result.count }
            }
        }
        return String(result.prefix(kept))
    }
}
