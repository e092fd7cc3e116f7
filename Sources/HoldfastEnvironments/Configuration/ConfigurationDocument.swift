import Foundation
import HoldfastModel
import Yams

/// One value of the file with the line it stands on. Aliases and merge keys are already resolved.
struct ConfigurationNode {
    struct Entry {
        let key: String
        let line: Int
        let value: ConfigurationNode
    }

    enum Content {
        case null
        case bool(Bool)
        /// An integer or floating point number, as it is written.
        case number(String)
        case string(String)
        case list([ConfigurationNode])
        case map([Entry])
    }

    let line: Int
    let content: Content
}

/// Reads YAML that may be hostile: bounded in bytes, depth, and in nodes after aliases are resolved.
struct ConfigurationDocument {
    static let maximumDepth = 32
    static let maximumNodes = 20_000
    /// Keys that are maps or aliases are hashed by the parser, and an alias may stand for exponentially much.
    static let maximumAliasesWithComplexKeys = 6

    private let problems: ConfigurationProblems
    private var nodes = 0
    private var isOverBudget = false

    /// Reads the one document of a text.
    ///
    /// - Throws: `invalidInput` if the text is no YAML, or passes a bound. Faults of single values are recorded.
    static func read(_ yaml: String, problems: ConfigurationProblems) throws -> ConfigurationNode {
        let size = yaml.utf8.count
        guard size <= EnvironmentConfiguration.maximumBytes else {
            throw HoldfastError(
                .invalidInput,
                "\(problems.file) has \(size) bytes; at most \(EnvironmentConfiguration.maximumBytes) are read",
                hint: "Move what is long (scripts, data) into files of its own")
        }
        try refuseBombs(yaml, problems: problems)
        let root: Node?
        do {
            // An invalid anchor position or a lone surrogate is libYAML's to find; it reports line and column.
            root = try Yams.compose(yaml: yaml)
        } catch let error as YamlError {
            throw explain(error, problems: problems)
        }
        var document = ConfigurationDocument(problems: problems)
        guard let root else { return ConfigurationNode(line: 1, content: .null) }
        let node = document.convert(root, line: 1, depth: 0)
        if document.isOverBudget { try problems.throwIfAny() }
        return node
    }

    private init(problems: ConfigurationProblems) { self.problems = problems }

    private mutating func convert(_ node: Node, line: Int, depth: Int) -> ConfigurationNode {
        let line = node.mark?.line ?? line
        nodes += 1
        guard nodes <= Self.maximumNodes, depth <= Self.maximumDepth else {
            if !isOverBudget {
                let what = depth > Self.maximumDepth ? "more than \(Self.maximumDepth) levels" : "too many values"
                problems.fault(
                    line: line, path: "", found: what,
                    expected: "at most \(Self.maximumDepth) levels and \(Self.maximumNodes) values with all aliases")
            }
            isOverBudget = true
            return ConfigurationNode(line: line, content: .null)
        }
        guard node.tag.rawValue.hasPrefix("tag:yaml.org,2002:") else {
            problems.fault(
                line: line, path: "", found: "the tag \(ConfigurationProblems.quote(node.tag.rawValue))",
                expected: "a value without a tag")
            return ConfigurationNode(line: line, content: .null)
        }
        switch node {
        case .scalar(let scalar):
            return ConfigurationNode(line: line, content: content(of: scalar, tag: node.tag))
        case .sequence(let sequence):
            let values = sequence.map { isOverBudget ? nil : convert($0, line: line, depth: depth + 1) }
            return ConfigurationNode(line: line, content: .list(values.compactMap { $0 }))
        case .mapping(let mapping):
            return ConfigurationNode(line: line, content: .map(entries(of: mapping, line: line, depth: depth)))
        case .alias:
            return ConfigurationNode(line: line, content: .null)
        }
    }

    private func content(of scalar: Node.Scalar, tag: Tag) -> ConfigurationNode.Content {
        switch tag.rawValue {
        case "tag:yaml.org,2002:null": .null
        case "tag:yaml.org,2002:bool":
            .bool(["true", "yes", "on", "y"].contains(scalar.string.lowercased()))
        case "tag:yaml.org,2002:int", "tag:yaml.org,2002:float": .number(scalar.string)
        default: .string(scalar.string)
        }
    }

    /// The entries of a map; those of `<<` stand behind its own, which win.
    private mutating func entries(of mapping: Node.Mapping, line: Int, depth: Int) -> [ConfigurationNode.Entry] {
        var own: [ConfigurationNode.Entry] = []
        var merged: [ConfigurationNode.Entry] = []
        var seen: Set<String> = []
        for (key, value) in mapping {
            if isOverBudget { break }
            let keyLine = key.mark?.line ?? line
            guard case .scalar(let scalar) = key else {
                problems.fault(line: keyLine, path: "", found: "a list or map as a key", expected: "a text")
                continue
            }
            if scalar.string == "<<", key.tag.rawValue == "tag:yaml.org,2002:merge" {
                merged += merge(convert(value, line: keyLine, depth: depth + 1), line: keyLine)
            } else if seen.insert(scalar.string).inserted {
                let node = convert(value, line: keyLine, depth: depth + 1)
                own.append(ConfigurationNode.Entry(key: scalar.string, line: keyLine, value: node))
            } else {
                problems.fault(
                    line: keyLine, path: "",
                    text: "the key \(ConfigurationProblems.quote(scalar.string)) is given twice in one map")
            }
        }
        return own + merged.filter { seen.insert($0.key).inserted }
    }

    private func merge(_ node: ConfigurationNode, line: Int) -> [ConfigurationNode.Entry] {
        switch node.content {
        case .map(let entries): return entries
        case .list(let nodes): return nodes.flatMap { merge($0, line: line) }
        default:
            problems.fault(line: line, path: "<<", found: "a single value", expected: "a map or a list of maps")
            return []
        }
    }

    /// Refuses before parsing what the parser itself would take exponential time for.
    private static func refuseBombs(_ yaml: String, problems: ConfigurationProblems) throws {
        var aliases = 0
        var hasComplexKey = false
        var line = 1
        var previous: UInt8 = 10
        let bytes = Array(yaml.utf8)
        for (index, byte) in bytes.enumerated() {
            if byte == 0 {
                problems.fault(line: line, path: "", found: "a NUL byte", expected: "text")
                try problems.throwIfAny()
            }
            let begins = [10, 13, 32, 9, 44, 45, 58, 63, 91, 123].contains(previous)
            if begins, byte == 42, index + 1 < bytes.count, isAnchorByte(bytes[index + 1]) {
                aliases += 1
                var end = index + 1
                while end < bytes.count, isAnchorByte(bytes[end]) { end += 1 }
                while end < bytes.count, bytes[end] == 32 || bytes[end] == 9 { end += 1 }
                if end < bytes.count, bytes[end] == 58 { hasComplexKey = true }
            } else if begins, byte == 63, index + 1 < bytes.count, [10, 13, 32, 9].contains(bytes[index + 1]) {
                hasComplexKey = true
            } else if byte == 58, [93, 125, 32, 9, 10, 13].contains(previous) {
                // `[*a, *a]: x` is a key that is a list.
                hasComplexKey = true
            }
            if byte == 10 { line += 1 }
            previous = byte
        }
        if hasComplexKey, aliases > maximumAliasesWithComplexKeys {
            throw HoldfastError(
                .invalidInput, "\(problems.file) has \(aliases) aliases together with keys that are not plain text",
                hint: "Write keys as plain text (no '? ', no alias, no blank before the colon)")
        }
    }

    private static func isAnchorByte(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45 || byte == 95
    }

    private static func explain(_ error: YamlError, problems: ConfigurationProblems) -> HoldfastError {
        let hint = "Correct the file, commit and push again"
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let before = context.map { $0.text + " " } ?? ""
            return HoldfastError(
                .invalidInput, "\(problems.file):\(mark.line): no valid YAML: \(before)\(problem)", hint: hint)
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.sorted().prefix(5).map(ConfigurationProblems.quote).joined(separator: ", ")
            return HoldfastError(
                .invalidInput,
                "\(problems.file):\(context.mark.line): \(keys): this key is given twice in one map", hint: hint)
        case .reader(let problem, _, _, _):
            return HoldfastError(.invalidInput, "\(problems.file): no valid YAML: \(problem)", hint: hint)
        default:
            return HoldfastError(.invalidInput, "\(problems.file): no valid YAML", hint: hint)
        }
    }
}
