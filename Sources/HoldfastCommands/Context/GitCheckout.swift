import Foundation

/// What a Git checkout says of itself, read from its files: running `git` in somebody else's checkout is refused by
/// Git, and reading two files is not.
package struct GitCheckout: Sendable {
    package struct Remote: Sendable, Equatable {
        package var name: String
        package var url: String
    }

    /// Where the checkout begins.
    package let root: String
    /// In the order of the configuration.
    package let remotes: [Remote]
    /// The branch one is on; nil if HEAD is detached.
    package let branch: String?
    /// Remote and branch there that the branch follows.
    package let upstream: (remote: String, branch: String)?

    /// The checkout that a directory lies in; nil if it lies in none.
    package init?(containing directory: String) {
        var current = URL(fileURLWithPath: directory).standardizedFileURL
        while true {
            let mark = current.appendingPathComponent(".git").path
            if let folder = Self.gitDirectory(mark, root: current) {
                self.init(root: current.path, gitDirectory: folder)
                return
            }
            if current.path == "/" { return nil }
            current = current.deletingLastPathComponent().standardizedFileURL
        }
    }

    private init(root: String, gitDirectory: String) {
        let configuration = GitConfiguration(Self.read("\(Self.commonDirectory(gitDirectory))/config") ?? "")
        let head = Self.read("\(gitDirectory)/HEAD") ?? ""
        let prefix = "ref: refs/heads/"
        let name = head.hasPrefix(prefix) ? String(head.dropFirst(prefix.count)) : nil
        self.root = root
        remotes = configuration.entries.filter { $0.section == "remote" && $0.key == "url" }
            .map { Remote(name: $0.subsection, url: $0.value) }
        branch = name == ".invalid" ? nil : name
        if let name, let remote = configuration.value("branch", name, "remote"),
            let merge = configuration.value("branch", name, "merge"), merge.hasPrefix("refs/heads/")
        {
            upstream = (remote, String(merge.dropFirst("refs/heads/".count)))
        } else {
            upstream = nil
        }
    }

    /// `.git` is a directory, or a file that names one (worktrees, submodules).
    private static func gitDirectory(_ mark: String, root: URL) -> String? {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: mark, isDirectory: &isDirectory) else { return nil }
        if isDirectory.boolValue {
            return FileManager.default.fileExists(atPath: mark + "/HEAD") ? mark : nil
        }
        guard let text = read(mark), text.hasPrefix("gitdir: ") else { return nil }
        return URL(fileURLWithPath: String(text.dropFirst("gitdir: ".count)), relativeTo: root).standardizedFileURL.path
    }

    /// Worktrees share the configuration of the repository they belong to.
    private static func commonDirectory(_ gitDirectory: String) -> String {
        guard let text = read("\(gitDirectory)/commondir") else { return gitDirectory }
        let base = URL(fileURLWithPath: gitDirectory, isDirectory: true)
        return URL(fileURLWithPath: text, relativeTo: base).standardizedFileURL.path
    }

    private static func read(_ path: String) -> String? {
        (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
