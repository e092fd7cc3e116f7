import Foundation
import HoldfastModel

/// One line of what Git tells a receive hook: a reference moves.
package struct GitReferenceUpdate: Sendable, Hashable {
    /// 40 hexadecimal digits; nil if the reference is new.
    package var old: String?
    /// nil if the reference is deleted.
    package var new: String?
    package var reference: String

    package init(old: String?, new: String?, reference: String) {
        self.old = old
        self.new = new
        self.reference = reference
    }

    /// The branch; nil for tags and anything else.
    package var branch: String? {
        reference.hasPrefix("refs/heads/") ? String(reference.dropFirst("refs/heads/".count)) : nil
    }

    /// Reads what a receive hook gets on its input.
    ///
    /// - Throws: `invalidInput` if a line is not `OLD NEW REFERENCE`.
    package static func parse(_ text: String) throws -> [GitReferenceUpdate] {
        try text.split(separator: "\n").map { line in
            let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
            guard parts.count == 3, GitNames.isCommit(parts[0]), GitNames.isCommit(parts[1]),
                parts[2].hasPrefix("refs/")
            else {
                throw HoldfastError(.invalidInput, "'\(line.prefix(200))' is not a line of a Git hook")
            }
            let none = String(repeating: "0", count: 40)
            return GitReferenceUpdate(
                old: parts[0] == none ? nil : parts[0], new: parts[1] == none ? nil : parts[1], reference: parts[2])
        }
    }
}

/// Judges a push before Git accepts it.
package struct GitPushCheck: Sendable {
    private let repository: GitRepository
    private let types: InstalledTypes

    package init(repository: GitRepository, types: InstalledTypes) {
        self.repository = repository
        self.types = types
    }

    /// Reads and checks the configuration of every branch that is pushed.
    ///
    /// - Returns: lines for whoever pushes: the warnings.
    /// - Throws: the first branch's faults. Git then refuses the push as a whole.
    package func check(_ updates: [GitReferenceUpdate]) throws -> [String] {
        var lines: [String] = []
        for update in updates {
            guard update.reference.hasPrefix("refs/heads/") || update.reference.hasPrefix("refs/tags/") else {
                throw HoldfastError(
                    .invalidInput, "'\(update.reference.prefix(200))' is neither a branch nor a tag",
                    hint: "Push to refs/heads/ or refs/tags/")
            }
            guard let branch = update.branch, let commit = update.new else { continue }
            try GitNames.check(branch: branch)
            let configuration = try repository.configuration(at: commit)
            _ = try configuration.parsed.resolveTypes(types)
            lines += configuration.parsed.warnings.map { "warning: \($0)" }
        }
        return lines
    }
}

extension GitRepository {
    /// The configuration of a commit: its text, and what it says.
    ///
    /// - Throws: `notFound` if the commit has none, `invalidInput` that lists its faults.
    package func configuration(at commit: String) throws -> (text: String, parsed: EnvironmentConfiguration) {
        let path = EnvironmentConfiguration.path
        guard let bytes = try file(path, at: commit, limit: EnvironmentConfiguration.maximumBytes) else {
            throw HoldfastError(
                .notFound, "commit \(commit.prefix(12)) has no '\(path)'",
                hint: "Add the file: it says which applications and services the environment has")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw HoldfastError(.invalidInput, "\(path) is not UTF-8 text", hint: "Save the file as UTF-8")
        }
        return (text, try EnvironmentConfiguration.parse(text, file: path))
    }

    /// Installs the hooks that make a push a deployment.
    ///
    /// - Parameter command: program and arguments; the hook's name (`pre-receive`, `post-receive`) comes behind them.
    ///   The program gets the hook's input, and its output goes to whoever pushes.
    package func installHooks(command: [String]) throws {
        guard let program = command.first, program.hasPrefix("/"), !command.contains(where: { $0.utf8.contains(0) })
        else {
            throw HoldfastError(.invalidInput, "a Git hook needs the absolute path of a program")
        }
        try EnvironmentLayout.makeDirectory("\(path)/hooks", mode: 0o700)
        for name in ["pre-receive", "post-receive"] {
            let words = (command + [name]).map(ShellText.quote).joined(separator: " ")
            let script = "#!/bin/sh\n# Written by Holdfast, and again at each of its starts.\nexec \(words)\n"
            try DurableFile.write(Array(script.utf8), to: "\(path)/hooks/\(name)", mode: 0o700)
        }
    }
}

/// Text for `/bin/sh`.
enum ShellText {
    /// One word that the shell takes as it is.
    static func quote(_ text: String) -> String { "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'" }
}
