import Foundation
import HoldfastModel

/// Makes an app's mounts appear in its directory: relative symbolic links to where `current.json` says they are.
///
/// The directory belongs to the environment's user, who may have put anything anywhere in it; the supervisor may be
/// root. So every folder is opened below the last one without following links, and only links that point to mounts
/// of this environment are ever replaced.
package struct MountLinks {
    private let layout: EnvironmentLayout
    private let user: ProcessUser
    private let app: String
    /// Relative to the environment's directory, such as `apps/ledger/3`.
    private let appDirectory: String
    /// Path in the app -> directory, such as `mounts/ledger/files/1`.
    private let mounts: [String: String]

    package init(
        layout: EnvironmentLayout, user: ProcessUser, app: String, appDirectory: String, mounts: [String: String]
    ) {
        self.layout = layout
        self.user = user
        self.app = app
        self.appDirectory = appDirectory
        self.mounts = mounts
    }

    /// - Throws: `invalidInput` for a path that leads out of the app or a place that is taken.
    package func make() throws {
        let absolute = try layout.absolute(appDirectory)
        let root = open(absolute, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard root >= 0 else { throw SystemFailure.error("open the app's directory '\(absolute)'") }
        defer { close(root) }
        for (path, directory) in mounts.sorted(by: { $0.key < $1.key }) {
            let components = try Self.components(path)
            try makeTarget(directory)
            let parent = try openParent(of: components, in: root)
            defer { if parent != root { close(parent) } }
            try link(components, in: parent, to: directory)
        }
    }

    /// The parts of a mount's path; refuses what could lead anywhere else.
    private static func components(_ path: String) throws -> [String] {
        let normal: String
        do {
            normal = try MountPath.mount(path)
        } catch {
            throw HoldfastError(
                .invalidInput, "'\(path.prefix(200))' is not the path of a mount inside of an app", cause: error)
        }
        guard normal == path else {
            throw HoldfastError(.invalidInput, "'\(path.prefix(200))' is not a plain path of a mount")
        }
        return path.split(separator: "/").map(String.init)
    }

    /// The text of the link, from the folder that it lies in.
    private func target(_ components: [String], _ directory: String) -> String {
        let depth = appDirectory.split(separator: "/").count + components.count - 1
        return String(repeating: "../", count: depth) + directory
    }

    private func makeTarget(_ directory: String) throws {
        guard directory.hasPrefix("mounts/") else {
            throw HoldfastError(.invalidInput, "'\(directory.prefix(200))' is not the directory of a mount")
        }
        let absolute = try layout.absolute(directory)
        if mkdir(absolute, 0o755) == 0 {
            try user.own(absolute)
        } else if errno == ENOENT {
            try EnvironmentLayout.makeDirectory(
                (absolute as NSString).deletingLastPathComponent, mode: geteuid() == 0 ? 0o711 : 0o700)
            guard mkdir(absolute, 0o755) == 0 else { throw SystemFailure.error("make the mount '\(absolute)'") }
            try user.own(absolute)
        } else if errno != EEXIST {
            throw SystemFailure.error("make the mount '\(absolute)'")
        }
        var status = stat()
        guard lstat(absolute, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw HoldfastError(.damaged, "the mount '\(absolute)' is not a folder")
        }
    }

    /// The folder that the link goes into; folders on the way are made.
    private func openParent(of components: [String], in root: Int32) throws -> Int32 {
        var current = root
        for component in components.dropLast() {
            let isMade = mkdirat(current, component, 0o755) == 0
            let next = openat(current, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if current != root { close(current) }
            guard next >= 0 else {
                throw refusal(components, "'\(component)' on the way to it is a link or not a folder")
            }
            if isMade, geteuid() == 0 { _ = fchown(next, user.uid, user.gid) }
            current = next
        }
        return current
    }

    private func link(_ components: [String], in parent: Int32, to directory: String) throws {
        guard let name = components.last else { return }
        let target = target(components, directory)
        var status = stat()
        if fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 {
            switch status.st_mode & S_IFMT {
            case S_IFLNK:
                let old = Self.readLink(name, in: parent)
                if old == target { return }
                guard isOurs(old) else { throw refusal(components, "a link to somewhere else lies there") }
            case S_IFDIR:
                guard unlinkat(parent, name, Int32(AT_REMOVEDIR)) == 0 else {
                    throw refusal(components, "the app has a folder with files there")
                }
            default:
                throw refusal(components, "the app has a file there")
            }
        } else if errno != ENOENT {
            throw SystemFailure.error("look at the mount '\(components.joined(separator: "/"))' of \(app)")
        }
        let temporary = ".holdfast-\(UInt64.random(in: 0...UInt64.max))"
        guard symlinkat(target, parent, temporary) == 0 else {
            throw SystemFailure.error("make the mount '\(components.joined(separator: "/"))' of \(app)")
        }
        if geteuid() == 0 { _ = fchownat(parent, temporary, user.uid, user.gid, AT_SYMLINK_NOFOLLOW) }
        guard renameat(parent, temporary, parent, name) == 0 else {
            let failure = SystemFailure.error("make the mount '\(components.joined(separator: "/"))' of \(app)")
            unlinkat(parent, temporary, 0)
            throw failure
        }
    }

    /// Whether a link looks like one that was made here before: for older data of a mount, or by a restored app.
    private func isOurs(_ target: String?) -> Bool {
        guard let target else { return false }
        let parts = target.split(separator: "/", omittingEmptySubsequences: false)
        let rest = parts.drop { $0 == ".." }
        return rest.count < parts.count && rest.first == "mounts" && rest.count >= 4 && !rest.contains("..")
    }

    private static func readLink(_ name: String, in parent: Int32) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4097)
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { readlinkat(parent, name, $0, 4096) } ?? -1
            }
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    private func refusal(_ components: [String], _ why: String) -> HoldfastError {
        HoldfastError(
            .invalidInput, "the mount '\(components.joined(separator: "/"))' of app '\(app)' cannot be made: \(why)",
            hint: "Remove it from the repository and from what the build hook makes, or mount at another path")
    }
}
