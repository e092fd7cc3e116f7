import CHoldfastFiles
import Glibc
import HoldfastModel

/// A copy in the staging directory that waits to be stored.
struct StagedFile {
    let path: String
    /// Of the original, when it was copied.
    let status: stat
    let attributes: [ExtendedAttribute]
    let stagedAt: Timestamp
    let isUnstable: Bool
}

/// The second walk over a captured directory, in the hold: compares, and copies aside what changed.
///
/// It only looks at inodes and copies; it neither hashes nor stores. What it builds is the tree of this instant.
struct StageWalk {
    let filter: CaptureFilter
    let source: String
    let staging: String
    let time: any TimeSource

    private(set) var statistics = StageStatistics()
    private(set) var staged: [StagedFile]
    private var mayClone = true
    private var mayCopyRange = true

    /// - Parameter staged: what other walks have staged already; numbers go on after them.
    init(filter: CaptureFilter, source: String, staging: String, staged: [StagedFile], time: any TimeSource) {
        self.filter = filter
        self.source = source
        self.staging = staging
        self.staged = staged
        self.time = time
    }

    mutating func run(_ earlier: CapturedDirectory, owners: inout OwnerNames) throws -> CapturedDirectory {
        let stagingDescriptor = try makeStaging()
        let descriptor = try Walk.root(source)
        let root = try directory(descriptor, earlier, name: earlier.node.name, path: source, owners: &owners)
        var frames = [try frame(root, descriptor, path: "", earlier: earlier)]
        while let top = frames.last {
            guard top.next < top.names.count else {
                statistics.removed += Self.removedCount(top)
                frames.removeLast()
                continue
            }
            frames[frames.count - 1].next += 1
            let name = top.names[top.next]
            let path = Walk.join(top.path, name)
            if filter.excludes(path) { continue }
            guard let status = try Walk.status(top.descriptor, name, path: path) else { continue }
            // Whoever listens on a socket makes it anew; restic leaves sockets out as well.
            if NodeType(mode: status.st_mode) == .socket { continue }
            statistics.entries += 1
            let known = top.earlier?.entry(name)
            if NodeType(mode: status.st_mode) == .directory {
                try Walk.refuseDepth(frames.count, path)
                guard let inner = top.descriptor.child(name) else {
                    if errno == ENOENT { continue }
                    throw systemError("open the directory", path)
                }
                var knownDirectory: CapturedDirectory?
                if case .directory(let found) = known { knownDirectory = found }
                let child = try directory(inner, knownDirectory, name: name, path: path, owners: &owners)
                top.directory.entries.append(.directory(child))
                frames.append(try frame(child, inner, path: path, earlier: knownDirectory))
            } else {
                var knownLeaf: CapturedLeaf?
                if case .leaf(let found) = known { knownLeaf = found }
                let leaf = try leaf(
                    name, status, knownLeaf, in: (top.descriptor, stagingDescriptor), path: path, owners: &owners)
                if let leaf { top.directory.entries.append(.leaf(leaf)) }
            }
        }
        return root
    }

    private func makeStaging() throws -> Descriptor {
        if mkdir(staging, 0o700) != 0 && errno != EEXIST { throw systemError("make the directory", staging) }
        return try Descriptor.directory(staging)
    }

    private func directory(
        _ descriptor: Descriptor, _ earlier: CapturedDirectory?, name: [UInt8], path: String, owners: inout OwnerNames
    ) throws -> CapturedDirectory {
        var node = Node(name: name, status: try Walk.status(descriptor, path: path), owners: &owners)
        if let earlier, earlier.node.changed == node.changed, earlier.node.inode == node.inode {
            node.attributes = earlier.node.attributes
        } else {
            node.attributes = readAttributes(descriptor)
        }
        return CapturedDirectory(node: node)
    }

    private func frame(
        _ directory: CapturedDirectory, _ descriptor: Descriptor, path: String, earlier: CapturedDirectory?
    ) throws -> WalkFrame {
        let names = try directoryNames(descriptor, path: path)
        directory.entries.reserveCapacity(names.count)
        return WalkFrame(
            directory: directory, descriptor: descriptor, names: names, path: path, parent: .none, earlier: earlier)
    }

    private static func removedCount(_ frame: WalkFrame) -> Int {
        guard let earlier = frame.earlier else { return 0 }
        return earlier.entries.count { frame.directory.entry($0.name) == nil }
    }

    /// - Returns: nil if it went away in this moment.
    private mutating func leaf(
        _ name: [UInt8], _ status: stat, _ known: CapturedLeaf?, in place: (source: Descriptor, staging: Descriptor),
        path: String, owners: inout OwnerNames
    ) throws -> CapturedLeaf? {
        var node = Node(name: name, status: status, owners: &owners)
        if node.type == .file {
            if let known, !known.isUnsettled, known.staged == nil, known.node.isUnchanged(node) { return known }
            return try stage(name, in: place, path: path, owners: &owners)
        }
        if node.type == .symlink {
            guard let target = Walk.target(place.source, name) else { return nil }
            node.target = target
        }
        node.attributes = readAttributes(in: place.source, name: name)
        return CapturedLeaf(node: node)
    }

    private mutating func stage(
        _ name: [UInt8], in place: (source: Descriptor, staging: Descriptor), path: String, owners: inout OwnerNames
    ) throws -> CapturedLeaf? {
        let raw = withCName(name) { holdfast_open_for_reading(place.source.raw, $0) }
        if raw < 0 && errno == ENOENT { return nil }
        guard raw >= 0 else { throw systemError("open", path) }
        let original = Descriptor(raw)
        let number = staged.count
        var before = try Walk.status(original, path: path)
        var attempts = 0
        var isUnstable = true
        while isUnstable && attempts < 2 {
            attempts += 1
            try copy(original, to: "\(number)", in: place.staging, size: Int(before.st_size), path: path)
            let after = try Walk.status(original, path: path)
            isUnstable = Timestamp(after.st_ctim) != Timestamp(before.st_ctim) || after.st_size != before.st_size
            before = after
        }
        if isUnstable { statistics.unstable.append(path) }
        staged.append(
            StagedFile(
                path: "\(staging)/\(number)", status: before, attributes: readAttributes(original),
                stagedAt: Timestamp(time.now()), isUnstable: isUnstable))
        statistics.filesStaged += 1
        statistics.bytesStaged += Int64(before.st_size)
        var leaf = CapturedLeaf(node: Node(name: name, status: before, owners: &owners))
        leaf.staged = number
        return leaf
    }

    private mutating func copy(
        _ original: Descriptor, to name: String, in staging: Descriptor, size: Int, path: String
    ) throws {
        let raw = openat(staging.raw, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw systemError("make", "\(self.staging)/\(name)") }
        let target = Descriptor(raw)
        if size == 0 { return }
        if mayClone {
            if holdfast_clone(target.raw, original.raw) == 0 {
                statistics.filesCloned += 1
                return
            }
            // A file system that cannot share extents will not learn it during the hold.
            mayClone = false
        }
        if mayCopyRange, try copyRange(original, target, path: path) { return }
        try copyThroughMemory(original, target, path: path)
    }

    /// Copies inside the kernel; false if it cannot.
    private mutating func copyRange(_ original: Descriptor, _ target: Descriptor, path: String) throws -> Bool {
        lseek(original.raw, 0, SEEK_SET)
        while true {
            let count = holdfast_copy_range(original.raw, target.raw, 1 << 30)
            if count == 0 { return true }
            if count < 0 {
                if errno == EINTR { continue }
                guard [EXDEV, ENOSYS, EINVAL, EOPNOTSUPP, EPERM].contains(errno) else {
                    throw systemError("copy", path)
                }
                mayCopyRange = false
                lseek(original.raw, 0, SEEK_SET)
                lseek(target.raw, 0, SEEK_SET)
                return false
            }
        }
    }

    private func copyThroughMemory(_ original: Descriptor, _ target: Descriptor, path: String) throws {
        let buffer = try RawBuffer(capacity: 1 << 20)
        lseek(original.raw, 0, SEEK_SET)
        while true {
            let count = read(original.raw, buffer.base, buffer.capacity)
            if count == 0 { return }
            if count < 0 {
                if errno == EINTR { continue }
                throw systemError("read", path)
            }
            try writeFully(target.raw, buffer.bytes(0..<count), path: path)
        }
    }
}

/// Writes all bytes at the descriptor's position.
func writeFully(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, path: String) throws {
    var written = 0
    while written < bytes.count {
        let count = write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
        if count < 0 {
            if errno == EINTR { continue }
            throw systemError("write", path)
        }
        written += count
    }
}
