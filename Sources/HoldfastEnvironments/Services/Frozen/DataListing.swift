import CHoldfastFiles
import Foundation
import HoldfastModel

/// What lies in a data directory, with what tells that a file has changed.
struct DataListing {
    /// Everything that a change of a file changes at least one of.
    struct Key: Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var modified: [Int]
        var changed: [Int]
        var mode: UInt32
        /// Bytes that a copy takes at least: without holes. Not compared: a file system may find room for a file later.
        var occupied: Int64

        static func == (left: Key, right: Key) -> Bool {
            (left.device, left.inode, left.size, left.mode) == (right.device, right.inode, right.size, right.mode)
                && left.modified == right.modified && left.changed == right.changed
        }

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
            changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
            mode = UInt32(status.st_mode) & 0o7777
            occupied = min(size, Int64(status.st_blocks) * 512)
        }
    }

    /// A change this soon before a listing may be followed by another in the same tick of the file system's clock.
    private static let unsettledSeconds = 2
    private static let deepest = 64

    /// Regular files by their path relative to the data directory.
    private(set) var files: [String: Key] = [:]
    /// Directories below it: path -> permission bits.
    private(set) var directories: [String: UInt32] = [:]
    /// Files that changed at this second or later may have changed again without a trace.
    let settledBefore: Int

    /// Lists a directory.
    ///
    /// - Parameters:
    ///   - began: wall-clock seconds at which whatever made earlier changes visible was begun.
    ///   - standsStill: nothing may vanish; else a name that cannot be looked up is a file that has just gone.
    /// - Throws: `unsupported` for links and for names that are not UTF-8.
    init(
        _ directory: GuardedDirectory, began: Int, standsStill: Bool = false, skips: (String) -> Bool
    ) throws {
        settledBefore = began - Self.unsettledSeconds
        try list(directory, "", standsStill: standsStill, skips: skips, depth: 0)
    }

    private mutating func list(
        _ directory: GuardedDirectory, _ prefix: String, standsStill: Bool, skips: (String) -> Bool, depth: Int
    ) throws {
        guard depth < Self.deepest else {
            throw HoldfastError(
                .unsupported, "directories are nested more than \(Self.deepest) deep at '\(directory.path)'")
        }
        for name in try directory.names() {
            let path = prefix + name
            if skips(path) { continue }
            guard let status = try directory.status(name) else {
                guard standsStill else { continue }
                throw HoldfastError(
                    .unsupported, "'\(directory.path)/\(name)' has a name that is not UTF-8",
                    hint: "Rename it, or leave it out")
            }
            switch status.st_mode & S_IFMT {
            case S_IFDIR:
                do {
                    let inner = try directory.directory(name)
                    directories[path] = UInt32(status.st_mode) & 0o7777
                    try list(inner, path + "/", standsStill: standsStill, skips: skips, depth: depth + 1)
                } catch let error as HoldfastError where error.code == .notFound && !standsStill {
                    directories[path] = nil
                }
            case S_IFREG: files[path] = Key(status)
            case S_IFSOCK: continue
            default:
                throw HoldfastError(
                    .unsupported, "'\(directory.path)/\(name)' is neither a file nor a directory",
                    hint: "Replace it: data that lies elsewhere would be missing from the backup")
            }
        }
    }

    /// Paths of files that are not, or may not be, what they were in an earlier listing; sorted.
    ///
    /// - Parameter mapped: files that processes write to through memory, which leaves their times as they are.
    func changed(since earlier: DataListing, mapped: Set<MappedFile>) -> [String] {
        files.filter { path, key in
            guard let known = earlier.files[path], known == key else { return true }
            return known.changed[0] >= earlier.settledBefore || known.modified[0] >= earlier.settledBefore
                || mapped.contains(MappedFile(inode: key.inode))
        }.keys.sorted()
    }
}

/// A file that a process can change through its memory.
struct MappedFile: Hashable {
    /// Alone, because btrfs shows another device number in `/proc` than stat gives.
    let inode: UInt64

    init(inode: UInt64) { self.inode = inode }

    /// Shared, writable mappings of processes; private ones never reach the file.
    static func all(of processes: [ProcessHandle]) -> Set<MappedFile> {
        var found: Set<MappedFile> = []
        for process in processes {
            for line in (ProcessTable.read("/proc/\(process.pid)/maps") ?? "").split(separator: "\n") {
                // address, permissions, offset, device, inode, path
                let fields = line.split(separator: " ", maxSplits: 5)
                guard fields.count > 4, fields[1].hasPrefix("rw"), fields[1].hasSuffix("s"),
                    let inode = UInt64(fields[4]), inode > 0
                else { continue }
                found.insert(MappedFile(inode: inode))
            }
        }
        return found
    }
}

/// Copies of files, made as fast as the file system allows.
struct FileCloner {
    private var mayClone = true
    private var mayCopyRange = true
    private let isUnwanted: () -> Bool

    /// - Parameter isUnwanted: asked again and again while a file is copied; whether nobody wants the copies any more.
    init(isUnwanted: @escaping () -> Bool = { false }) { self.isUnwanted = isUnwanted }

    /// Copies a regular file with its permission bits.
    ///
    /// - Parameter target: absolute path, in a directory that only the control plane can write to.
    /// - Throws: `timedOut` when the deadline passes, `cancelled` when it is unwanted, `noSpace`.
    mutating func copy(
        _ name: String, of directory: GuardedDirectory, to target: String, deadline: Deadline?
    ) throws {
        if isUnwanted() { throw unwanted(name) }
        let source = try directory.openFile(name)
        defer { close(source.descriptor) }
        var status = stat()
        guard fstat(source.descriptor, &status) == 0 else { throw SystemFailure.error("look at '\(name)'") }
        let copy = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard copy >= 0 else { throw SystemFailure.error("make '\(target)'") }
        defer { close(copy) }
        guard fchmod(copy, status.st_mode & 0o777) == 0 else { throw SystemFailure.error("write '\(target)'") }
        if mayClone, source.size > 0 {
            if holdfast_clone(copy, source.descriptor) == 0 { return }
            // A file system that cannot share extents will not learn it meanwhile.
            mayClone = false
        }
        var done = 0
        while try step(source.descriptor, copy, &done, target) {
            if let deadline, deadline.hasPassed {
                throw HoldfastError(.timedOut, "'\(name)' could not be copied in time")
            }
            if isUnwanted() { throw unwanted(name) }
        }
    }

    private func unwanted(_ name: String) -> HoldfastError {
        HoldfastError(.cancelled, "the copy of '\(name)' was given up")
    }

    /// Copies a part, small enough for a slow disk to be done with it soon; false at the end.
    private mutating func step(_ source: Int32, _ target: Int32, _ done: inout Int, _ path: String) throws -> Bool {
        if mayCopyRange {
            let count = holdfast_copy_range(source, target, 8 << 20)
            if count > 0 { done += count }
            if count >= 0 { return count > 0 }
            if errno == EINTR { return true }
            guard done == 0, [EXDEV, ENOSYS, EINVAL, EOPNOTSUPP, EPERM].contains(errno) else {
                throw SystemFailure.error("write '\(path)'")
            }
            mayCopyRange = false
        }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let count = read(source, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return true }
        guard count >= 0 else { throw SystemFailure.error("read what '\(path)' is a copy of") }
        var written = 0
        // A disk that becomes full takes a part, and says why only to the next call.
        while written < count {
            let more = buffer[written..<count].withUnsafeBytes { write(target, $0.baseAddress, $0.count) }
            if more < 0 && errno == EINTR { continue }
            guard more > 0 else { throw SystemFailure.error("write '\(path)'") }
            written += more
        }
        done += count
        return count > 0
    }
}
