import CHoldfastFiles
import Glibc
import HoldfastModel

/// An object being written: a file whose name no listing shows, locked for as long as its writer lives.
///
/// Legal moves: written, then renamed or linked, then closed; or discarded at any time before that.
struct TemporaryFile {
    private static let suffix = ".holdfast-tmp"
    private let path: String
    private let descriptor: Int32
    private let hook: FileHook?

    /// Makes the file, with mode 0600.
    ///
    /// - Returns: nil if the folder does not exist.
    init?(in folder: String, for name: String, _ hook: FileHook?) throws {
        self.hook = hook
        while true {
            let path = "\(folder)/.\(name)-\(String(UInt64.random(in: .min ... .max), radix: 16))\(Self.suffix)"
            try hook?(.create(path: path))
            let descriptor = uninterrupted { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
            guard descriptor >= 0 else {
                let number = errno
                if number == ENOENT || number == ENOTDIR { return nil }
                throw systemError(number, "cannot create a file in \(folder)")
            }
            // Between creating and locking, somebody may have taken it for a leftover and removed it.
            _ = uninterrupted { flock(descriptor, LOCK_EX) }
            var status = stat()
            if fstat(descriptor, &status) == 0, status.st_nlink > 0 {
                self.path = path
                self.descriptor = descriptor
                return
            }
            _ = Glibc.close(descriptor)
        }
    }

    /// Writes all bytes and makes them durable.
    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try hook?(.write(path: path, descriptor: descriptor, bytes: bytes))
        var done = writeDirectly(bytes)
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = uninterrupted { Glibc.write(descriptor, rest.baseAddress, rest.count) }
            guard count >= 0 else { throw systemError(errno, "cannot write \(path)") }
            done += count
        }
        try hook?(.sync(path: path))
        guard uninterrupted({ fsync(descriptor) }) == 0 else { throw systemError(errno, "cannot sync \(path)") }
    }

    /// Writes what is large past the page cache, where there is room then for what running services read: nobody is
    /// going to read a pack soon, and it would be synced at once anyway.
    ///
    /// - Returns: how many bytes are written; fewer than all, or none, where the file system or the memory's alignment
    ///   does not allow it. Writing the rest tells what is wrong, if something is.
    private func writeDirectly(_ bytes: UnsafeRawBufferPointer) -> Int {
        let block = 4096
        guard bytes.count >= 1 << 20, let start = bytes.baseAddress, UInt(bitPattern: start) % UInt(block) == 0,
            holdfast_set_direct(descriptor, 1) == 0
        else { return 0 }
        defer { _ = holdfast_set_direct(descriptor, 0) }
        let length = bytes.count / block * block
        var done = 0
        while done < length && done % block == 0 {
            let count = uninterrupted { Glibc.write(descriptor, start + done, length - done) }
            guard count > 0 else { break }
            done += count
        }
        return done
    }

    func rename(to target: String) throws {
        try hook?(.rename(path: path, target: target))
        guard Glibc.rename(path, target) == 0 else { throw systemError(errno, "cannot rename \(path) to \(target)") }
    }

    /// Gives it a name only if nothing has that name.
    ///
    /// - Returns: false if something has; the temporary file is gone then.
    func link(as target: String) throws -> Bool {
        try hook?(.link(path: path, target: target))
        if Glibc.link(path, target) == 0 {
            discardName()
            return true
        }
        let number = errno
        if number == EEXIST {
            discardName()
            return false
        }
        // File systems without hard links. The caller has looked a moment ago.
        guard number == EPERM || number == EOPNOTSUPP || number == ENOSYS else {
            throw systemError(number, "cannot link \(path) to \(target)")
        }
        try rename(to: target)
        return true
    }

    func close() { _ = Glibc.close(descriptor) }

    func discard() {
        discardName()
        close()
    }

    private func discardName() {
        guard (try? hook?(.unlink(path: path))) != nil || hook == nil else { return }
        unlink(path)
    }

    /// Whether a name in a folder is that of a file being written, or left behind, by Holdfast.
    static func isTemporary(_ name: String) -> Bool { name.hasPrefix(".") && name.hasSuffix(suffix) }

    /// Removes a temporary file whose writer is gone.
    @discardableResult
    static func removeIfAbandoned(_ path: String, _ hook: FileHook?) throws -> Bool {
        let descriptor = uninterrupted { open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) }
        guard descriptor >= 0 else { return false }
        defer { _ = Glibc.close(descriptor) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return false }
        try hook?(.unlink(path: path))
        return unlink(path) == 0
    }
}
