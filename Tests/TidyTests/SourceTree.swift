import Foundation

/// The sources of this package, as text.
struct SourceTree: Sendable {
    struct File: Sendable {
        /// Relative to the package, such as `Sources/HoldfastModel/Secret.swift`.
        let path: String
        let lines: [String]
        /// The folder below Sources or Tests.
        var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
        var isTest: Bool { path.hasPrefix("Tests/") }

        /// Modules that it imports, with or without attributes and access levels in front.
        var imports: Set<String> {
            Set(
                lines.compactMap { line in
                    let words = line.split(separator: " ")
                    guard let at = words.firstIndex(of: "import"), at < 3, words.count > at + 1,
                        words[..<at].allSatisfy({ $0.hasPrefix("@") || ["public", "package", "internal"].contains($0) })
                    else { return nil }
                    return words[at + 1].split(separator: ".").first.map(String.init)
                })
        }
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    static let files: [File] = ["Sources", "Tests"].flatMap { folder -> [File] in
        let names = FileManager.default.enumerator(atPath: "\(root)/\(folder)")?.allObjects as? [String] ?? []
        return names.filter { $0.hasSuffix(".swift") }.sorted().compactMap { name in
            guard let text = try? String(contentsOfFile: "\(root)/\(folder)/\(name)", encoding: .utf8) else {
                return nil
            }
            return File(path: "\(folder)/\(name)", lines: text.components(separatedBy: "\n"))
        }
    }

    static var sources: [File] { files.filter { !$0.isTest } }

    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
    }
}

/// A function, initializer or the like, by its first and last line, counted from 1.
struct FunctionSpan: Sendable {
    let name: String
    let first: Int
    let last: Int
    var length: Int { last - first + 1 }
    var parameters: Int

    /// Finds them by indentation, which swift-format keeps.
    static func all(in file: SourceTree.File) -> [FunctionSpan] {
        var spans: [FunctionSpan] = []
        for (index, line) in file.lines.enumerated() {
            let indent = line.prefix { $0 == " " }
            let text = line.dropFirst(indent.count)
            guard isDeclaration(text), !text.hasSuffix("}") else { continue }
            var open = index
            while open < file.lines.count, !file.lines[open].hasSuffix("{"), open - index < 12 { open += 1 }
            guard open < file.lines.count, file.lines[open].hasSuffix("{") else { continue }
            let end = file.lines[(open + 1)...].firstIndex { $0.hasPrefix(indent + "}") }
            guard let end else { continue }
            let head = file.lines[index...open].joined(separator: " ")
            spans.append(
                FunctionSpan(
                    name: String(text.prefix(60)), first: index + 1, last: end + 1, parameters: parameters(of: head)))
        }
        return spans
    }

    private static func isDeclaration(_ text: Substring) -> Bool {
        let words = text.split(separator: " ")
        let modifiers: Set<Substring> = [
            "public", "package", "internal", "private", "fileprivate", "static", "mutating", "nonisolated", "override",
            "final", "convenience", "required", "@discardableResult", "@inline(__always)", "@inlinable", "class",
        ]
        guard let first = words.first(where: { !modifiers.contains($0) }) else { return false }
        return first == "func" || first.hasPrefix("init(") || first.hasPrefix("init?(") || first == "deinit"
    }

    /// Commas at the first level of the first parentheses, plus one.
    private static func parameters(of head: String) -> Int {
        guard let start = head.firstIndex(of: "(") else { return 0 }
        var depth = 0
        var count = 0
        var sawText = false
        for character in head[start...] {
            switch character {
            case "(", "[", "<": depth += 1
            case ")", "]":
                depth -= 1
                if depth == 0 { return sawText ? count + 1 : 0 }
            case ">": depth = max(depth - 1, 1)
            case "," where depth == 1: count += 1
            case " ": break
            default: sawText = true
            }
        }
        return count
    }
}
