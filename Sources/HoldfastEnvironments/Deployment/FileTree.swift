import Foundation
import HoldfastModel

/// Trees of files that partly belong to somebody else. Symbolic links are never followed.
package enum FileTree {
    enum Kind { case file, directory, link, other }

    /// What lies at a path itself; nil for nothing.
    static func kind(of path: String) -> Kind? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .directory
        case S_IFLNK: return .link
        default: return .other
        }
    }

    /// Makes a symbolic link, or leaves it if it is right already.
    static func link(_ path: String, to target: String) throws {
        if let there = try? FileManager.default.destinationOfSymbolicLink(atPath: path), there == target { return }
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0...UInt32.max)).new"
        guard symlink(target, temporary) == 0 else { throw SystemFailure.error("link '\(temporary)'") }
        guard rename(temporary, path) == 0 else {
            let failure = SystemFailure.error("link '\(path)'")
            unlink(temporary)
            throw failure
        }
    }

    /// Makes a whole tree durable: every file, and every directory after what is in it.
    static func sync(_ path: String) throws {
        guard let kind = kind(of: path), kind == .file || kind == .directory else { return }
        if kind == .directory {
            for name in try FileManager.default.contentsOfDirectory(atPath: path) { try sync("\(path)/\(name)") }
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemFailure.error("open '\(path)'") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemFailure.error("write '\(path)'") }
    }

    /// Gives a whole tree to a user, if we are root. The directory itself comes last: until then nobody else can enter
    /// it, and change under our hands what is given away.
    static func give(_ path: String, to user: ProcessUser) throws {
        guard user.needsChange else { return }
        if kind(of: path) == .directory {
            for name in try FileManager.default.contentsOfDirectory(atPath: path) {
                try give("\(path)/\(name)", to: user)
            }
        }
        try user.own(path)
    }

    /// Removes a file or tree; harmless if there is none. By rm(1), because that cannot be led elsewhere by somebody
    /// who puts a link in the place of a directory meanwhile.
    package static func remove(_ path: String, as user: ProcessUser = .current) throws {
        guard kind(of: path) != nil else { return }
        do {
            try run("/bin/rm", ["-rf", "--one-file-system", "--", path], as: user)
        } catch {
            // Package managers like to take the write permission from their directories.
            try run("/bin/chmod", ["-R", "u+rwX", "--", path], as: user)
            try run("/bin/rm", ["-rf", "--one-file-system", "--", path], as: user)
        }
        guard kind(of: path) == nil else { throw HoldfastError(.system, "cannot remove '\(path)'") }
    }

    /// Makes a directory and those above it, as that user.
    static func makeDirectory(_ path: String, as user: ProcessUser) throws {
        try run("/bin/mkdir", ["-p", "--", path], as: user)
    }

    private static func run(_ program: String, _ arguments: [String], as user: ProcessUser) throws {
        let specification = ProcessSpecification(
            executable: program, arguments: arguments,
            environment: ["PATH": InstalledTypes.systemPath, "LC_ALL": "C"], directory: "/", user: user)
        let outcome = try ProcessRunner().run(specification, options: ProcessOptions(timeout: .seconds(600)))
        guard outcome.isSuccess else {
            throw HoldfastError(.system, "\(program) failed: \(outcome.errorText.prefix(300))")
        }
    }
}
