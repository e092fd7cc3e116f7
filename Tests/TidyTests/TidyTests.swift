import Foundation
import Testing

/// What a machine can check of the house style, a machine checks.
struct Tidy {
    /// Level of each target: an import may only lead to a lower one. `docs/architecture.md` draws it.
    static let levels: [String: Int] = [
        "CHoldfastSystem": 0, "CHoldfastFiles": 0, "CHoldfastHash": 0, "CLibPQ": 0, "CMariaDB": 0, "COpenSSL": 0,
        "CZstd": 0,
        "HoldfastModel": 0,
        "HoldfastControl": 1,
        "HoldfastAPI": 2, "HoldfastBlobStore": 2, "HoldfastCatalogue": 2, "HoldfastEnvironments": 2,
        "HoldfastGateway": 2, "HoldfastRetention": 2,
        "HoldfastClient": 3, "HoldfastRepository": 3,
        "HoldfastBackup": 4, "HoldfastCommands": 4,
        "HoldfastDemo": 5, "HoldfastDoctor": 5, "HoldfastNotifications": 5, "HoldfastRepositoryCommands": 5,
        "HoldfastScheduler": 5, "HoldfastServer": 5,
        "HoldfastProof": 6, "holdfast": 6,
        "HoldfastTestSupport": 4,
    ]

    /// Each heavy package has one importing target; named exceptions are the modules that many may use.
    static let importers: [String: Set<String>] = [
        "ArgumentParser": ["HoldfastCommands", "HoldfastRepositoryCommands", "holdfast"],
        "AsyncHTTPClient": ["HoldfastClient"],
        "GRDB": ["HoldfastCatalogue"],
        "Hummingbird": ["HoldfastServer"],
        "HummingbirdTLS": ["HoldfastServer"],
        "NIOPosix": ["HoldfastGateway", "HoldfastNotifications"],
        "NIOSSL": ["HoldfastNotifications"],
        "Yams": ["HoldfastEnvironments"],
        "CLibPQ": ["HoldfastEnvironments"],
        "CMariaDB": ["HoldfastEnvironments"],
        "COpenSSL": ["HoldfastCatalogue", "HoldfastEnvironments", "HoldfastNotifications", "HoldfastRepository"],
        "CZstd": ["HoldfastRepository"],
    ]

    @Test func `imports between our targets point down`() {
        for file in SourceTree.sources {
            guard let level = Self.levels[file.target] else {
                Issue.record("\(file.path): target \(file.target) has no level in this test")
                continue
            }
            for module in file.imports {
                guard let other = Self.levels[module] else { continue }
                #expect(other < level, "\(file.path) imports \(module), which does not lie below \(file.target)")
            }
        }
    }

    @Test func `every import is declared in the manifest`() throws {
        let declared = try Manifest.dependencies()
        for file in SourceTree.files {
            guard let dependencies = declared[file.target] else {
                Issue.record("\(file.path): target \(file.target) is not in Package.swift")
                continue
            }
            let ours = file.imports.filter { Self.levels[$0] != nil || Self.importers[$0] != nil }
            for module in ours {
                #expect(
                    dependencies.contains(module), "\(file.path) imports \(module), which Package.swift does not say")
            }
        }
    }

    @Test func `each heavy package has one importing target`() {
        for file in SourceTree.sources {
            for module in file.imports {
                guard let allowed = Self.importers[module] else { continue }
                #expect(allowed.contains(file.target), "\(file.path) imports \(module)")
            }
        }
    }

    @Test func `files, functions, lines and parameters keep their budgets`() {
        for file in SourceTree.files {
            let limit = file.isTest ? 800 : 500
            #expect(file.lines.count <= limit + 1, "\(file.path) has \(file.lines.count) lines")
            for (index, line) in file.lines.enumerated() where line.count > 120 {
                Issue.record("\(file.path):\(index + 1): \(line.count) characters")
            }
            for span in FunctionSpan.all(in: file) {
                #expect(span.length <= 70, "\(file.path):\(span.first): \(span.length) lines in \(span.name)")
                if !span.name.contains("init("), !file.isTest {
                    #expect(span.parameters <= 6, "\(file.path):\(span.first): \(span.parameters) parameters")
                }
            }
        }
    }

    @Test(arguments: Banned.all) func `banned calls are not made`(rule: Banned) {
        for file in SourceTree.sources where !rule.allowedIn.contains(where: { file.path.hasPrefix($0) }) {
            for (index, line) in file.lines.enumerated() {
                let code = line.trimmingCharacters(in: .whitespaces)
                guard !code.hasPrefix("//"), code.contains(rule.text) else { continue }
                if rule.exceptions.contains(where: { code.contains($0) }) { continue }
                Issue.record("\(file.path):\(index + 1): '\(rule.text)': \(rule.reason)")
            }
        }
    }

    @Test func `nothing is left over`() {
        let markers = ["TO" + "DO", "FIX" + "ME", "XX" + "X:"]
        for file in SourceTree.files where !file.path.hasPrefix("Tests/TidyTests/") {
            for (index, line) in file.lines.enumerated() {
                for marker in markers where line.contains(marker) {
                    Issue.record("\(file.path):\(index + 1): \(marker)")
                }
            }
        }
    }

    @Test func `the walks in the architecture document name files and functions that exist`() throws {
        let text = try SourceTree.text("docs/architecture.md")
        var checked = 0
        for line in text.components(separatedBy: "\n") {
            // Written as `path/File.swift: function` in backquotes.
            for part in line.components(separatedBy: "`") where part.contains(".swift: ") {
                let pieces = part.components(separatedBy: ": ")
                guard pieces.count == 2 else { continue }
                let file = SourceTree.files.first { $0.path.hasSuffix("/" + pieces[0]) || $0.path == pieces[0] }
                let name = pieces[1].replacingOccurrences(of: "()", with: "")
                #expect(file != nil, "docs/architecture.md names \(pieces[0])")
                let found = file?.lines.contains { $0.contains("func \(name)") || $0.contains("\(name)") } ?? false
                #expect(found, "docs/architecture.md: \(pieces[0]) has no \(name)")
                checked += 1
            }
        }
        #expect(checked >= 20, "only \(checked) steps of the walks were found")
    }
}

/// A call that a rule of the house forbids, and that swift-format has no rule for.
struct Banned: Sendable, CustomTestStringConvertible {
    let text: String
    let reason: String
    var allowedIn: [String] = []
    var exceptions: [String] = []
    var testDescription: String { text }

    static let all = [
        Banned(text: "fatalError(", reason: "throw, or make the state impossible"),
        Banned(text: "Task {", reason: "services have run(); nothing is left behind", exceptions: ["addTask {"]),
        Banned(text: "Task.detached", reason: "services have run(); nothing is left behind"),
        Banned(
            text: "Date()", reason: "take a TimeSource", allowedIn: ["Sources/HoldfastModel/TimeSource.swift"]),
        Banned(text: "ContinuousClock", reason: "take a TimeSource"),
        Banned(text: "DispatchTime.now().uptime", reason: "take a TimeSource"),
        Banned(
            text: "print(", reason: "the one renderer writes", allowedIn: ["Sources/HoldfastCommands/"],
            exceptions: ["footprint(", "fingerprint(", "blueprint("]),
        Banned(text: "@testable", reason: "tests use package access"),
        Banned(text: "NSLog(", reason: "use the logger"),
    ]
}

/// Package.swift, read as text.
enum Manifest {
    /// Target -> names of what it declares to depend on.
    static func dependencies() throws -> [String: Set<String>] {
        let text = try SourceTree.text("Package.swift")
        let products = [
            "argumentParser": "ArgumentParser", "asyncHTTPClient": "AsyncHTTPClient", "grdb": "GRDB",
            "hummingbird": "Hummingbird", "hummingbirdTLS": "HummingbirdTLS",
            "hummingbirdTesting": "HummingbirdTesting",
            "logging": "Logging", "nioCore": "NIOCore", "nioEmbedded": "NIOEmbedded", "nioHTTP1": "NIOHTTP1",
            "nioPosix": "NIOPosix", "nioSSL": "NIOSSL", "yams": "Yams",
        ]
        var result: [String: Set<String>] = [:]
        for kind in [".target(", ".executableTarget(", ".testTarget(", ".systemLibrary("] {
            for part in text.components(separatedBy: kind).dropFirst() {
                guard let name = quoted(after: "name:", in: part) else { continue }
                let body = part.components(separatedBy: "]").first ?? ""
                let list = body.components(separatedBy: "dependencies: [").dropFirst().first ?? ""
                let words = list.components(separatedBy: CharacterSet(charactersIn: ",\n ")).filter { !$0.isEmpty }
                result[name] = Set(
                    words.map { word in
                        let bare = word.trimmingCharacters(in: CharacterSet(charactersIn: "\""))
                        return products[bare] ?? bare
                    })
            }
        }
        return result
    }

    private static func quoted(after label: String, in text: String) -> String? {
        guard let at = text.range(of: label) else { return nil }
        let parts = text[at.upperBound...].split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count > 1 ? String(parts[1]) : nil
    }
}
