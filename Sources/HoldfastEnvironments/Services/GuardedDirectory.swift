import Foundation
import HoldfastModel

/// Files of a directory to which others may write, reached without ever following a symbolic link.
///
/// The control plane may be root, and a service's data belongs to the environment's user: a path below it that is
/// looked up by name could be turned into any other file of the machine between two calls. The directory's own path
/// has to lead through directories that only the control plane writes to.
package final class GuardedDirectory {
    private let descriptor: Int32
    /// For errors only.
    let path: String

    /// - Throws: `notFound` if there is none, `damaged` if it is a link or no directory.
    package convenience init(_ path: String) throws {
        try self.init(open(path, Self.directoryFlags), path: path)
    }

    private init(_ descriptor: Int32, path: String) throws {
        guard descriptor >= 0 else { throw Self.failure("open", path, errno) }
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    private static var directoryFlags: Int32 { O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC }

    package func directory(_ name: String) throws -> GuardedDirectory {
        try GuardedDirectory(openat(descriptor, try single(name), Self.directoryFlags), path: path + "/" + name)
    }

    /// Names in it, sorted.
    package func names() throws -> [String] {
        let copy = openat(descriptor, ".", Self.directoryFlags)
        guard copy >= 0, let stream = fdopendir(copy) else { throw Self.failure("read", path, errno) }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// What an entry is, without following it; nil if there is none.
    package func status(_ name: String) throws -> stat? {
        var status = stat()
        if fstatat(descriptor, try single(name), &status, AT_SYMLINK_NOFOLLOW) == 0 { return status }
        if errno == ENOENT { return nil }
        throw Self.failure("look at", path + "/" + name, errno)
    }

    /// Bytes of a regular file.
    ///
    /// - Throws: `notFound`, `damaged` if it is longer than the limit or no regular file.
    package func read(_ name: String, limit: Int) throws -> [UInt8] {
        let file = try openFile(name)
        defer { close(file.descriptor) }
        guard file.size <= limit else {
            throw HoldfastError(.damaged, "'\(path)/\(name)' has \(file.size) bytes, more than \(limit)")
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: min(limit + 1, 65536))
        while bytes.count <= limit {
            let count = Foundation.read(file.descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw Self.failure("read", path + "/" + name, errno) }
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return bytes
    }

    /// A regular file that was opened for reading; the caller closes it.
    package func openFile(_ name: String) throws -> (descriptor: Int32, size: Int) {
        let file = openat(descriptor, try single(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { throw Self.failure("open", path + "/" + name, errno) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw HoldfastError(.damaged, "'\(path)/\(name)' is not a regular file")
        }
        return (file, Int(status.st_size))
    }

    /// Writes a file anew and durably: whoever looks sees the old one or all of the new one.
    ///
    /// - Parameter owner: nil leaves it to the control plane's user.
    package func write(_ name: String, _ bytes: [UInt8], mode: mode_t, owner: ProcessUser? = nil) throws {
        let temporary = "." + name + ".new"
        unlinkat(descriptor, try single(temporary), 0)
        let file = openat(descriptor, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard file >= 0 else { throw Self.failure("create", path + "/" + name, errno) }
        defer { close(file) }
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                let rest = UnsafeRawBufferPointer(rebasing: buffer[offset...])
                return Foundation.write(file, rest.baseAddress, rest.count)
            }
            guard count > 0 else { throw Self.failure("write", path + "/" + name, errno) }
            offset += count
        }
        if let owner, geteuid() == 0, fchown(file, owner.uid, owner.gid) != 0 {
            throw Self.failure("give away", path + "/" + name, errno)
        }
        guard fchmod(file, mode) == 0, fsync(file) == 0,
            renameat(descriptor, temporary, descriptor, try single(name)) == 0, fsync(descriptor) == 0
        else { throw Self.failure("write", path + "/" + name, errno) }
    }

    /// Removes a file; none is fine.
    package func remove(_ name: String) throws {
        guard unlinkat(descriptor, try single(name), 0) == 0 || errno == ENOENT else {
            throw Self.failure("remove", path + "/" + name, errno)
        }
    }

    package func move(_ name: String, to other: GuardedDirectory) throws {
        guard renameat(descriptor, try single(name), other.descriptor, name) == 0 else {
            throw Self.failure("move", path + "/" + name, errno)
        }
    }

    package func sync() throws {
        guard fsync(descriptor) == 0 else { throw Self.failure("write", path, errno) }
    }

    /// Gives it and all in it to a user. Links are given away, what they point to is not.
    package func giveAll(to user: ProcessUser) throws {
        guard geteuid() == 0 else { return }
        try give(to: user)
        for name in try names() {
            guard let status = try status(name) else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                try directory(name).giveAll(to: user)
            } else if status.st_uid != user.uid || status.st_gid != user.gid,
                fchownat(descriptor, name, user.uid, user.gid, AT_SYMLINK_NOFOLLOW) != 0
            {
                throw Self.failure("give away", path + "/" + name, errno)
            }
        }
    }

    /// Gives it to a user, without what is in it.
    package func give(to user: ProcessUser) throws {
        guard geteuid() != 0 || fchown(descriptor, user.uid, user.gid) == 0 else {
            throw Self.failure("give away", path, errno)
        }
    }

    /// Makes the control plane its owner, without what is in it.
    package func take() throws {
        guard geteuid() != 0 || fchown(descriptor, 0, 0) == 0 else { throw Self.failure("take", path, errno) }
    }

    /// Removes an entry, and if it is a directory all that is in it; none is fine.
    package func removeAll(_ name: String) throws {
        guard let status = try status(name) else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try remove(name) }
        let inner = try directory(name)
        for entry in try inner.names() { try inner.removeAll(entry) }
        guard unlinkat(descriptor, name, AT_REMOVEDIR) == 0 else {
            throw Self.failure("remove", path + "/" + name, errno)
        }
    }

    package func makeDirectory(_ name: String, mode: mode_t) throws -> GuardedDirectory {
        guard mkdirat(descriptor, try single(name), mode) == 0 || errno == EEXIST else {
            throw Self.failure("create", path + "/" + name, errno)
        }
        let made = try directory(name)
        try made.setMode(mode)
        return made
    }

    package func rename(_ name: String, to other: String) throws {
        guard renameat(descriptor, try single(name), descriptor, try single(other)) == 0, fsync(descriptor) == 0 else {
            throw Self.failure("rename", path + "/" + name, errno)
        }
    }

    package func setMode(_ mode: mode_t) throws {
        guard fchmod(descriptor, mode) == 0 else { throw Self.failure("change", path, errno) }
    }

    /// Makes a directory of the control plane, and what is missing above it; one that is there is taken.
    package static func make(_ path: String, mode: mode_t) throws -> GuardedDirectory {
        if mkdir(path, mode) != 0, errno != EEXIST {
            let parent = (path as NSString).deletingLastPathComponent
            guard errno == ENOENT, parent != path, access(parent, F_OK) != 0 else {
                throw failure("create", path, errno)
            }
            _ = try make(parent, mode: 0o755)
            guard mkdir(path, mode) == 0 else { throw failure("create", path, errno) }
        }
        let directory = try GuardedDirectory(path)
        try directory.take()
        try directory.setMode(mode)
        return directory
    }

    private func single(_ name: String) throws -> String {
        guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), !name.utf8.contains(0) else {
            throw HoldfastError(.internalFault, "'\(name)' is not the name of one file in '\(path)'")
        }
        return name
    }

    private static func failure(_ verb: String, _ path: String, _ number: Int32) -> HoldfastError {
        let code: HoldfastError.Code =
            switch number {
            case ENOENT: .notFound
            case ENOSPC, EDQUOT: .noSpace
            case ELOOP, ENOTDIR: .damaged
            default: .system
            }
        return HoldfastError(code, "cannot \(verb) '\(path)': \(String(cString: strerror(number)))")
    }
}
