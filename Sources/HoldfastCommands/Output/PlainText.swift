/// Texts of others on a terminal: names of files, hosts, tags, users.
///
/// What would move the cursor, change colours, end a line or turn the direction of writing is shown as Go's
/// `strconv.Quote` writes it, such as `\x1b`, `\n` and `\u202e`. JSON is for whoever needs the exact text.
package enum PlainText {
    /// A name or a path: as it is if all of it can be shown, else escaped and in quotes, as restic does.
    ///
    /// A name that begins with a quote is in quotes too, so that no two names look the same.
    package static func name(_ name: String) -> String {
        if isPlain(name), !name.hasPrefix("\"") { return name }
        return "\"" + escaped(name) { $0 == "\"" || $0 == "\\" ? "\\\($0)" : nil } + "\""
    }

    /// Names as `[a, b]`.
    package static func list(_ names: [String]) -> String { "[" + names.map(name).joined(separator: ", ") + "]" }

    /// A sentence that may have somebody's words in it, as one line.
    package static func line(_ text: String) -> String {
        isPlain(text) ? text : escaped(text) { _ in nil }
    }

    /// As `line`, and line breaks and tabs stay what they are.
    package static func lines(_ text: String) -> String {
        isPlain(text) ? text : escaped(text) { $0 == "\n" || $0 == "\t" ? String($0) : nil }
    }

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.allSatisfy { (32..<127).contains($0) } || text.unicodeScalars.allSatisfy(isPrintable)
    }

    /// - Parameter special: what to write for a character instead; nil for the usual.
    private static func escaped(_ text: String, _ special: (Unicode.Scalar) -> String?) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if let own = special(scalar) {
                result += own
            } else if isPrintable(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += escape(scalar)
            }
        }
        return result
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        default: break
        }
        let digits = String(scalar.value, radix: 16)
        func padded(_ count: Int) -> String { String(repeating: "0", count: max(0, count - digits.count)) + digits }
        if scalar.value < 0x80 { return "\\x" + padded(2) }
        return scalar.value < 0x10000 ? "\\u" + padded(4) : "\\U" + padded(8)
    }

    /// Letters, marks, numbers, punctuation, symbols and the ASCII space; no controls, no formats such as the marks
    /// that turn the direction of writing, no other blanks.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }
}
