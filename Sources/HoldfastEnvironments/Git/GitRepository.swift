import Foundation
import HoldfastModel

/// A project's bare Git repository, through the `git` program.
///
/// Nothing of our own environment or of the machine's Git configuration reaches it: no hooks, filters, pagers or
/// credentials of whoever runs us. Branches and commits are checked before they become arguments.
package struct GitRepository: Sendable {
    /// Absolute path of the bare repository.
    package let path: String
    private let quarantine: GitQuarantine?

    /// - Parameter quarantine: where the objects of a push that is being judged lie.
    package init(path: String, quarantine: GitQuarantine? = nil) {
        self.path = path
        self.quarantine = quarantine
    }

    /// Makes an empty repository.
    ///
    /// - Throws: `conflict` if something lies at the path, `invalidInput` for a branch name that Git does not allow.
    package static func create(path: String, defaultBranch: String) throws -> GitRepository {
        try GitNames.check(branch: defaultBranch)
        guard FileTree.kind(of: path) == nil else {
            throw HoldfastError(.conflict, "'\(path)' exists already")
        }
        let temporary = "\(path).\(getpid()).new"
        try FileTree.remove(temporary)
        try EnvironmentLayout.makeDirectory((path as NSString).deletingLastPathComponent, mode: 0o711)
        let new = GitRepository(path: temporary)
        do {
            try new.git(
                ["init", "--quiet", "--bare", "--template=", "--initial-branch=\(defaultBranch)", temporary],
                inRepository: false)
            guard chmod(temporary, 0o700) == 0 else { throw SystemFailure.error("set the mode of '\(temporary)'") }
            try DurableFile.write(Array("[safe]\n\tdirectory = *\n".utf8), to: "\(temporary)/\(globalConfiguration)")
            let config = try DurableFile.read("\(temporary)/config") ?? []
            try DurableFile.write(config + Array(settings.utf8), to: "\(temporary)/config", mode: 0o600)
            try FileTree.sync(temporary)
            guard rename(temporary, path) == 0 else { throw SystemFailure.error("create '\(path)'") }
        } catch {
            try? FileTree.remove(temporary)
            throw error
        }
        try DurableFile.syncDirectory((path as NSString).deletingLastPathComponent)
        return GitRepository(path: path)
    }

    /// Broken or hostile objects are refused when they come in; our own references are not shown, and not written, to.
    private static let settings = """
        [transfer]
        \tfsckObjects = true
        \thideRefs = refs/holdfast
        [receive]
        \tdenyDeleteCurrent = true
        \tdenyCurrentBranch = ignore
        [core]
        \tlogAllRefUpdates = true
        \tfsync = all
        [gc]
        \tautoDetach = false

        """

    /// Stands for the user's own Git configuration. Other ways to say `safe.directory` do not reach the process that
    /// serves a fetch from a repository of another user.
    private static let globalConfiguration = "holdfast-global.config"

    /// For `GIT_CONFIG_GLOBAL` of whatever serves that repository.
    static func globalConfiguration(of repository: String) -> String {
        let file = "\(repository)/\(globalConfiguration)"
        return FileTree.kind(of: file) == .file ? file : "/dev/null"
    }

    // MARK: Branches and commits

    /// Branch -> commit.
    package func branches() throws -> [String: String] {
        let outcome = try git(
            ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"], outputLimit: 64 << 20)
        var branches: [String: String] = [:]
        for line in outcome.text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[1].hasPrefix("refs/heads/") else { continue }
            branches[String(parts[1].dropFirst("refs/heads/".count))] = String(parts[0])
        }
        return branches
    }

    /// The commit that a branch points to; nil if there is no such branch.
    package func head(_ branch: String) throws -> String? {
        try GitNames.check(branch: branch)
        let outcome = try run(["rev-parse", "--verify", "--quiet", "--end-of-options", "refs/heads/\(branch)^{commit}"])
        let text = outcome.text.trimmingCharacters(in: .whitespacesAndNewlines)
        return outcome.isSuccess && GitNames.isCommit(text) ? text : nil
    }

    package func commitExists(_ commit: String) throws -> Bool {
        try GitNames.check(commit: commit)
        return try run(["cat-file", "-e", "\(commit)^{commit}"]).isSuccess
    }

    /// What people know a commit by.
    package func describe(_ commit: String) throws -> GitCommit {
        try check(existing: commit)
        let format = "--format=%an%x00%ae%x00%at%x00%s"
        let text = try git(["log", "-1", "--no-show-signature", "-z", format, "--end-of-options", commit]).text
        let parts = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 4 else { throw HoldfastError(.damaged, "commit \(commit) cannot be read") }
        return GitCommit(
            id: commit, author: parts[0], email: parts[1],
            date: Date(timeIntervalSince1970: Double(parts[2]) ?? 0), subject: parts[3])
    }

    // MARK: Content

    /// A file of a commit; nil if the commit has nothing there.
    ///
    /// - Throws: `invalidInput` if it is no regular file or longer than `limit` bytes, `notFound` for an unknown
    ///   commit.
    package func file(_ file: String, at commit: String, limit: Int) throws -> [UInt8]? {
        try check(existing: commit)
        guard let entry = try entry(file, at: commit, options: ["-l"]) else { return nil }
        guard entry.mode == "100644" || entry.mode == "100755" else {
            let what = entry.mode == "120000" ? "a symbolic link" : "no file"
            throw HoldfastError(
                .invalidInput, "'\(file)' of commit \(commit.prefix(12)) is \(what)", hint: "Commit a plain file")
        }
        guard let size = entry.size, size <= limit else {
            throw HoldfastError(
                .invalidInput,
                "'\(file)' of commit \(commit.prefix(12)) has \(entry.size ?? 0) bytes; at most \(limit) are read")
        }
        return try git(["cat-file", "blob", entry.object], outputLimit: 2 * limit + 2).output
    }

    /// Puts the files of a commit's folder into an empty directory of ours.
    ///
    /// Git itself refuses names such as `..` or `.git` and never writes through a link that the commit brings along.
    ///
    /// - Parameters:
    ///   - folder: a folder of the commit; empty for all of it.
    ///   - directory: absolute path; made if it is missing.
    /// - Returns: paths of submodules: they are empty directories.
    /// - Throws: `notFound` for an unknown commit or folder.
    package func checkOut(_ commit: String, folder: String = "", to directory: String) throws -> [String] {
        try check(existing: commit)
        let tree: String
        if folder.isEmpty {
            tree = try git(["rev-parse", "--verify", "\(commit)^{tree}"]).text.trimmingCharacters(in: .newlines)
        } else if let entry = try entry(folder, at: commit, options: []), entry.type == "tree" {
            tree = entry.object
        } else {
            throw HoldfastError(
                .notFound, "commit \(commit.prefix(12)) has no folder '\(folder)'",
                hint: "Correct source.root, or commit the folder")
        }
        try EnvironmentLayout.makeDirectory(directory, mode: 0o700)
        guard try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty else {
            throw HoldfastError(.conflict, "'\(directory)' is not empty")
        }
        let index = "\(directory).index"
        defer {
            unlink(index)
            unlink("\(index).lock")
        }
        unlink(index)
        let extra = ["GIT_INDEX_FILE": index]
        try git(["read-tree", tree], extra: extra)
        try git(["--work-tree=\(directory)", "checkout-index", "--all", "--quiet"], extra: extra, directory: directory)
        var submodules: [String] = []
        let collect: (String) -> Void = { line in
            guard line.hasPrefix("160000 "), let tab = line.firstIndex(of: "\t") else { return }
            submodules.append(String(line[line.index(after: tab)...]))
        }
        try git(["ls-tree", "-r", tree], onLine: collect)
        return submodules
    }

    // MARK: Moving commits

    /// Writes a bundle of a commit with all its history.
    ///
    /// A bundle needs a reference: `refs/holdfast/backups/<commit>`, which stays, so that the commit stays as well.
    package func bundle(_ commit: String, to file: String) throws {
        try check(existing: commit)
        let reference = Self.backupReference(commit)
        try git(["update-ref", reference, commit])
        try git(["bundle", "create", "--quiet", file, reference])
    }

    /// Lets go of what `bundle` held on to.
    package func dropBackupReference(_ commit: String) throws {
        try GitNames.check(commit: commit)
        try git(["update-ref", "-d", Self.backupReference(commit)])
    }

    /// Takes a commit in from a bundle that `bundle` wrote. No branch moves.
    ///
    /// - Throws: `damaged` if the bundle is not whole or holds another commit.
    package func fetch(bundle file: String, commit: String) throws {
        try GitNames.check(commit: commit)
        let reference = Self.backupReference(commit)
        let outcome = try run(
            [
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", file,
                "\(reference):\(reference)",
            ])
        guard outcome.isSuccess, try commitExists(commit) else {
            throw HoldfastError(
                .damaged, "'\(file)' holds no whole bundle of commit \(commit): \(outcome.errorText.suffix(300))")
        }
    }

    /// Takes a branch in from a repository on this machine, as a push would.
    ///
    /// - Parameter directory: absolute path of a repository or of a checkout.
    /// - Returns: the commit that the branch points to now.
    package func fetch(from directory: String, branch: String, as name: String) throws -> String {
        try GitNames.check(branch: branch)
        try GitNames.check(branch: name)
        guard directory.hasPrefix("/"), FileTree.kind(of: directory) == .directory else {
            throw HoldfastError(.notFound, "there is no repository '\(directory)'")
        }
        try git([
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", directory,
            "+refs/heads/\(branch):refs/heads/\(name)",
        ])
        guard let commit = try head(name) else { throw HoldfastError(.notFound, "there is no branch '\(branch)'") }
        return commit
    }

    /// Points a branch to a commit that is there, whatever it pointed to before.
    ///
    /// - Throws: `notFound` for an unknown commit, `invalidInput` for a name that is none.
    package func setBranch(_ branch: String, to commit: String) throws {
        try GitNames.check(branch: branch)
        try check(existing: commit)
        try git(["update-ref", "refs/heads/\(branch)", commit])
    }

    private static func backupReference(_ commit: String) -> String { "refs/holdfast/backups/\(commit)" }

    // MARK: git

    private struct Entry {
        let mode: String
        let type: String
        let object: String
        let size: Int?
    }

    private func entry(_ path: String, at commit: String, options: [String]) throws -> Entry? {
        let text = try git(["ls-tree", "-z"] + options + [commit, "--", path]).text
        let line = text.split(separator: "\0").first { $0.hasSuffix("\t\(path)") }
        guard let fields = line?.split(separator: "\t", maxSplits: 1).first?.split(separator: " "), fields.count >= 3
        else { return nil }
        return Entry(
            mode: String(fields[0]), type: String(fields[1]), object: String(fields[2]),
            size: fields.count > 3 ? Int(fields[3]) : nil)
    }

    private func check(existing commit: String) throws {
        guard try commitExists(commit) else {
            throw HoldfastError(
                .notFound, "the repository has no commit \(commit)", hint: "Push the commit, or name one that is there")
        }
    }

    /// Runs git and fails if it does.
    @discardableResult
    private func git(
        _ arguments: [String], extra: [String: String] = [:], directory: String? = nil, inRepository: Bool = true,
        outputLimit: Int = 1 << 20, onLine: ((String) -> Void)? = nil
    ) throws -> ProcessOutcome {
        let outcome = try run(
            arguments, extra: extra, directory: directory, inRepository: inRepository, outputLimit: outputLimit,
            onLine: onLine)
        guard outcome.isSuccess else {
            let verb = arguments.first { !$0.hasPrefix("-") } ?? ""
            let reason = outcome.timedOut ? "it took too long" : String(outcome.errorText.suffix(500))
            throw HoldfastError(
                reason.contains("No space left on device") ? .noSpace : .system,
                "git \(verb) failed in '\(path)': \(reason)")
        }
        return outcome
    }

    private func run(
        _ arguments: [String], extra: [String: String] = [:], directory: String? = nil, inRepository: Bool = true,
        outputLimit: Int = 1 << 20, onLine: ((String) -> Void)? = nil
    ) throws -> ProcessOutcome {
        var environment = GitRepository.environment
        environment.merge(quarantine?.environment ?? [:]) { _, new in new }
        environment.merge(extra) { _, new in new }
        if inRepository { environment["GIT_CONFIG_GLOBAL"] = Self.globalConfiguration(of: path) }
        let place = inRepository ? ["--git-dir=\(path)"] : []
        let specification = ProcessSpecification(
            executable: "git", arguments: ["-c", "core.hooksPath=/dev/null"] + place + arguments,
            environment: environment, directory: directory ?? "/")
        let options = ProcessOptions(timeout: .seconds(900), outputLimit: outputLimit, onLine: onLine)
        return try ProcessRunner().run(specification, options: options)
    }

    /// `safe.directory`: the repository may belong to another user than the one who serves it.
    private static let environment = [
        "PATH": InstalledTypes.systemPath, "LC_ALL": "C", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_KEY_1": "core.attributesFile", "GIT_CONFIG_VALUE_1": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_AUTHOR_NAME": "Holdfast", "GIT_AUTHOR_EMAIL": "holdfast@localhost",
        "GIT_COMMITTER_NAME": "Holdfast", "GIT_COMMITTER_EMAIL": "holdfast@localhost",
    ]
}

/// What people know a commit by.
package struct GitCommit: Sendable, Hashable {
    package var id: String
    package var author: String
    package var email: String
    package var date: Date
    package var subject: String
}

/// Names that may become arguments of git.
package enum GitNames {
    package static func isCommit(_ text: String) -> Bool {
        text.utf8.count == 40 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// Whether Git allows a branch of that name (git-check-ref-format(1)), and it does not look like an option.
    package static func isBranch(_ text: String) -> Bool {
        guard (1...200).contains(text.utf8.count), text.first != "-", text != "@", text != "HEAD" else { return false }
        guard !text.contains(".."), !text.contains("@{"), !text.hasSuffix(".") else { return false }
        let forbidden: Set<UInt8> = [32, 34, 42, 58, 63, 91, 92, 94, 126, 127]
        guard text.utf8.allSatisfy({ $0 > 32 && !forbidden.contains($0) }) else { return false }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && part.first != "." && !part.hasSuffix(".lock")
        }
    }

    static func check(commit: String) throws {
        guard isCommit(commit) else {
            throw HoldfastError(
                .invalidInput, "'\(commit.prefix(60))' is not a commit", hint: "Give all 40 hexadecimal digits")
        }
    }

    static func check(branch: String) throws {
        guard isBranch(branch) else {
            throw HoldfastError(
                .invalidInput, "'\(branch.prefix(60))' is not a branch name",
                hint: "Use a name that Git takes, and neither HEAD nor @")
        }
    }
}

/// Where Git keeps the objects of a push until pre-receive has accepted it. Only valid while that hook runs.
package struct GitQuarantine: Sendable {
    let environment: [String: String]

    /// - Parameter environment: of the hook.
    package init?(environment: [String: String]) {
        let names = ["GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"]
        self.environment = environment.filter { names.contains($0.key) }
        if self.environment["GIT_OBJECT_DIRECTORY"] == nil { return nil }
    }
}
