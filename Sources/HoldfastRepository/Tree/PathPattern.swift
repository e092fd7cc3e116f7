import HoldfastModel

/// A list of patterns for paths, in restic's semantics, for excludes, includes and searches.
///
/// A pattern that begins with `/` fits from the root on, any other one at every depth. What lies below a fitting
/// directory fits too. `*`, `?` and `[a-z]` stand for parts of one name, `**` for any number of names. A pattern that
/// begins with `!` takes back what earlier ones found. Source: restic's manual, "Excluding files".
package struct PathPatterns: Sendable {
    private struct Pattern: Sendable {
        var isNegated: Bool
        var isAbsolute: Bool
        var parts: [NamePattern]
    }

    private let patterns: [Pattern]
    private let ignoresCase: Bool

    package var isEmpty: Bool { patterns.isEmpty }

    /// - Throws: `invalidInput` naming a pattern that is none.
    package init(_ texts: [String], ignoresCase: Bool = false) throws {
        self.ignoresCase = ignoresCase
        patterns = try texts.filter { !$0.isEmpty }.map { text in
            let isNegated = text.hasPrefix("!")
            var body = isNegated ? String(text.dropFirst()) : text
            if ignoresCase { body = body.lowercased() }
            let parts = try body.split(separator: "/").filter { $0 != "." }.map { try NamePattern(String($0)) }
            guard !parts.isEmpty || body.hasPrefix("/") else {
                throw HoldfastError(.invalidInput, "'\(text)' is not a pattern for paths")
            }
            return Pattern(isNegated: isNegated, isAbsolute: body.hasPrefix("/"), parts: parts)
        }
    }

    /// Whether the patterns mean the entry at this path.
    package func match(_ path: String) -> Bool {
        let names = Self.names(path, ignoresCase)
        var found = false
        for pattern in patterns {
            if pattern.isNegated {
                if found { found = !Self.fits(pattern.parts[...], names[...], pattern.isAbsolute) }
            } else if !found {
                found = Self.fits(pattern.parts[...], names[...], pattern.isAbsolute)
            }
        }
        return found
    }

    /// Whether the patterns may mean something below the directory at this path.
    package func mayMatch(below path: String) -> Bool {
        let names = Self.names(path, ignoresCase)
        return patterns.contains { pattern in
            guard !pattern.isNegated else { return false }
            guard pattern.isAbsolute else { return true }
            for (part, name) in zip(pattern.parts, names) {
                if part.isAnyDepth { return true }
                if !part.matches(name) { return false }
            }
            return true
        }
    }

    private static func names(_ path: String, _ ignoresCase: Bool) -> [[Unicode.Scalar]] {
        path.split(separator: "/").map { Array((ignoresCase ? $0.lowercased() : String($0)).unicodeScalars) }
    }

    /// Whether the pattern fits names somewhere, or only from the first one on; further names may follow.
    private static func fits(
        _ parts: ArraySlice<NamePattern>, _ names: ArraySlice<[Unicode.Scalar]>, _ isAnchored: Bool
    ) -> Bool {
        if fitsHere(parts, names) { return true }
        guard !isAnchored else { return false }
        return names.indices.dropFirst().contains { fitsHere(parts, names[$0...]) }
    }

    private static func fitsHere(_ parts: ArraySlice<NamePattern>, _ names: ArraySlice<[Unicode.Scalar]>) -> Bool {
        guard let part = parts.first else { return true }
        if part.isAnyDepth {
            if parts.count == 1 { return !names.isEmpty }
            return (names.startIndex...names.endIndex).contains { fitsHere(parts.dropFirst(), names[$0...]) }
        }
        guard let name = names.first, part.matches(name) else { return false }
        return fitsHere(parts.dropFirst(), names.dropFirst())
    }
}

/// A pattern for one name: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a character that stands for itself.
struct NamePattern: Sendable {
    private enum Part: Sendable {
        case one(Unicode.Scalar)
        case any
        case many
        case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)

        func matches(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .one(let own): own == scalar
            case .any: true
            case .many: false
            case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
            }
        }
    }

    /// `**`: any number of names.
    let isAnyDepth: Bool
    private let parts: [Part]

    init(_ text: String) throws {
        isAnyDepth = text == "**"
        var parts: [Part] = []
        var rest = Array(text.unicodeScalars)[...]
        let wrong = HoldfastError(.invalidInput, "'\(text)' is not a pattern for names", hint: "Close the bracket")
        while let next = rest.popFirst() {
            switch next {
            case "*": parts.append(.many)
            case "?": parts.append(.any)
            case "\\":
                guard let escaped = rest.popFirst() else { throw wrong }
                parts.append(.one(escaped))
            case "[":
                let isNegated = rest.first == "^"
                if isNegated { rest = rest.dropFirst() }
                var ranges: [ClosedRange<Unicode.Scalar>] = []
                while rest.first != "]" || ranges.isEmpty {
                    let low = try Self.member(&rest, wrong)
                    var high = low
                    if rest.first == "-" {
                        rest = rest.dropFirst()
                        high = try Self.member(&rest, wrong)
                    }
                    ranges.append(low <= high ? low...high : high...high)
                }
                rest = rest.dropFirst()
                parts.append(.set(ranges, isNegated: isNegated))
            default: parts.append(.one(next))
            }
        }
        self.parts = parts
    }

    private static func member(
        _ rest: inout ArraySlice<Unicode.Scalar>, _ wrong: HoldfastError
    ) throws -> Unicode.Scalar {
        guard let next = rest.popFirst() else { throw wrong }
        guard next == "\\" else { return next }
        guard let escaped = rest.popFirst() else { throw wrong }
        return escaped
    }

    /// Takes no more steps than the product of both lengths.
    func matches(_ name: [Unicode.Scalar]) -> Bool {
        var part = 0
        var position = 0
        var retry: (part: Int, position: Int)?
        while position < name.count {
            if part < parts.count, case .many = parts[part] {
                retry = (part + 1, position)
                part += 1
            } else if part < parts.count, parts[part].matches(name[position]) {
                part += 1
                position += 1
            } else if let last = retry {
                retry = (last.part, last.position + 1)
                part = last.part
                position = last.position + 1
            } else {
                return false
            }
        }
        return parts[part...].allSatisfy { if case .many = $0 { true } else { false } }
    }
}
