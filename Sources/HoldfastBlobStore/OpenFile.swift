import Glibc
import HoldfastModel

/// An object's file, open for reading. Whoever opens it closes it.
struct OpenFile {
    let path: String
    private let descriptor: Int32

    /// Opens a regular file, without following a link at its end and without waiting for a pipe's other side.
    ///
    /// - Returns: nil if there is no such file.
    /// - Throws: `damaged` if something else than a file lies there; `unavailable`, `system`.
    init?(reading path: String) throws {
        let flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        let descriptor = uninterrupted { open(path, flags) }
        guard descriptor >= 0 else {
            let number = errno
            if number == ENOENT || number == ENOTDIR { return nil }
            if number == ELOOP || number == ENXIO { throw Self.notAFile(path) }
            throw systemError(number, "cannot open \(path)")
        }
        self.path = path
        self.descriptor = descriptor
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close()
            throw Self.notAFile(path)
        }
    }

    private static func notAFile(_ path: String) -> HoldfastError {
        HoldfastError(.damaged, "\(path) is not a file", hint: "Remove it, and repair the repository from another site")
    }

    func size() throws -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw systemError(errno, "cannot inspect \(path)") }
        return Int(status.st_size)
    }

    /// Exactly the bytes of the range.
    ///
    /// - Throws: `damaged` if the file ends before.
    func read(_ range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            try fill(UnsafeMutableRawBufferPointer(buffer), from: range.lowerBound)
            count = range.count
        }
    }

    /// Whether the file's bytes are exactly these.
    func holds(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
        guard try size() == bytes.count else { return false }
        let step = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(step, bytes.count), alignment: 16)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < bytes.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(step, bytes.count - offset)])
            try fill(part, from: offset)
            guard let mine = part.baseAddress, let other = bytes.baseAddress,
                memcmp(mine, other + offset, part.count) == 0
            else { return false }
            offset += part.count
        }
        return true
    }

    func sync(_ hook: FileHook?) throws {
        try hook?(.sync(path: path))
        guard uninterrupted({ fsync(descriptor) }) == 0 else { throw systemError(errno, "cannot sync \(path)") }
    }

    func close() { _ = Glibc.close(descriptor) }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer, from start: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = uninterrupted { pread(descriptor, rest.baseAddress, rest.count, off_t(start + done)) }
            guard count >= 0 else { throw systemError(errno, "cannot read \(path)") }
            guard count > 0 else {
                throw HoldfastError(.damaged, "\(path) ends at byte \(start + done), before what was asked for")
            }
            done += count
        }
    }
}

/// A folder being listed. Whoever opens it closes it.
struct OpenDirectory {
    private let path: String
    private let stream: OpaquePointer

    /// - Returns: nil if there is no such folder.
    init?(_ path: String) throws {
        guard let stream = opendir(path) else {
            let number = errno
            if number == ENOENT || number == ENOTDIR { return nil }
            throw systemError(number, "cannot list \(path)")
        }
        self.path = path
        self.stream = stream
    }

    /// The next name, without `.` and `..`; nil at the end.
    func next() throws -> String? {
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw systemError(errno, "cannot list \(path)") }
                return nil
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { return name }
        }
    }

    /// Size of a regular file in it; nil if the file is gone by now, or is none.
    func sizeOfFile(_ name: String) throws -> Int? {
        var status = stat()
        guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            guard errno == ENOENT else { throw systemError(errno, "cannot inspect \(path)/\(name)") }
            return nil
        }
        return status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
    }

    func close() { closedir(stream) }
}
