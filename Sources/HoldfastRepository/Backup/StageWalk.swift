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
    /// It changed while it was copied, or may change without its time stamps telling.
    let isUnsettled: Bool
}

/// The second walk over a captured directory, in the hold: compares, and copies aside what changed.
///
/// It only looks at inodes and copies; it neither hashes nor stores. What it builds is the tree of this instant.
struct StageWalk {
    /// A directory of the tree, and where it is.
    struct Place {
        let directory: CapturedDirectory
        let descriptor: Descriptor
        let staging: Descriptor
        /// Relative to the captured directory; empty there.
        let path: String
        let depth: Int

        func child(_ directory: CapturedDirectory, _ descriptor: Descriptor, path: String) -> Place {
            Place(directory: directory, descriptor: descriptor, staging: staging, path: path, depth: depth + 1)
        }
    }

    let filter: CaptureFilter
    let source: String
    let staging: String
    let time: any TimeSource
    /// Files whose time stamps need not tell.
    var inUse = FilesInUse.none
    /// What is found new is watched as well; nil if nothing is.
    var tree: WatchedTree?

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
        let staging = try makeStaging()
        let descriptor = try Walk.root(source)
        let root = CapturedDirectory(node: earlier.node)
        tree?.register(root, descriptor, in: nil)
        let place = Place(directory: root, descriptor: descriptor, staging: staging, path: "", depth: 0)
        try refreshMetadata(of: place, owners: &owners)
        try descend(into: place, earlier, owners: &owners)
        return root
    }

    /// Looks at one entry, and brings it into the tree as it is now.
    ///
    /// - Parameter isReplaced: of a directory look at all that is in it; else what is in it is looked at by itself.
    mutating func refresh(
        _ name: [UInt8], isReplaced: Bool, in place: Place, owners: inout OwnerNames
    ) throws {
        let path = Walk.join(place.path, name)
        if filter.excludes(path) { return }
        let known = place.directory.entry(name)
        guard let status = try look(name, path, in: place) else {
            if known != nil { statistics.removed += 1 }
            return place.directory.remove(name)
        }
        if NodeType(mode: status.st_mode) == .directory {
            if !isReplaced, case .directory(let found)? = known, found.node.inode == UInt64(status.st_ino) { return }
            var earlier: CapturedDirectory?
            if case .directory(let found)? = known { earlier = found }
            guard let inner = try enter(name, path, in: place, known: earlier, owners: &owners) else {
                return place.directory.remove(name)
            }
            place.directory.put(.directory(inner.directory))
            try descend(into: inner, earlier, owners: &owners)
        } else if let leaf = try leaf(name, status, in: place, known, path: path, owners: &owners) {
            place.directory.put(.leaf(leaf))
        } else {
            place.directory.remove(name)
        }
    }

    /// Takes over what the directory itself is now.
    func refreshMetadata(of place: Place, owners: inout OwnerNames) throws {
        let earlier = place.directory.node
        let status = try Walk.status(place.descriptor, path: place.path.isEmpty ? source : place.path)
        var node = Node(name: earlier.name, status: status, owners: &owners)
        let isSame = earlier.changed == node.changed && earlier.inode == node.inode
        node.attributes = isSame ? earlier.attributes : readAttributes(place.descriptor)
        place.directory.node = node
    }

    private mutating func descend(
        into place: Place, _ earlier: CapturedDirectory?, owners: inout OwnerNames
    ) throws {
        var frames = [(place: place, walk: try frame(place, earlier))]
        while let (place, top) = frames.last {
            guard top.next < top.names.count else {
                statistics.removed += Self.removedCount(top)
                frames.removeLast()
                continue
            }
            frames[frames.count - 1].walk.next += 1
            let name = top.names[top.next]
            let path = Walk.join(top.path, name)
            if filter.excludes(path) { continue }
            guard let status = try look(name, path, in: place) else { continue }
            let known = top.earlier?.entry(name)
            if NodeType(mode: status.st_mode) == .directory {
                var knownDirectory: CapturedDirectory?
                if case .directory(let found)? = known { knownDirectory = found }
                guard let inner = try enter(name, path, in: place, known: knownDirectory, owners: &owners) else {
                    continue
                }
                top.directory.entries.append(.directory(inner.directory))
                frames.append((inner, try frame(inner, knownDirectory)))
            } else if let leaf = try leaf(name, status, in: place, known, path: path, owners: &owners) {
                top.directory.entries.append(.leaf(leaf))
            }
        }
    }

    /// What lies at a name; nil if it is gone, or a socket: whoever listens on one makes it anew, and restic leaves
    /// sockets out as well.
    private mutating func look(_ name: [UInt8], _ path: String, in place: Place) throws -> stat? {
        guard let status = try Walk.status(place.descriptor, name, path: path),
            NodeType(mode: status.st_mode) != .socket
        else { return nil }
        statistics.entries += 1
        return status
    }

    /// Opens a directory and makes it known before its names are read; nil if it is gone.
    private func enter(
        _ name: [UInt8], _ path: String, in place: Place, known: CapturedDirectory?, owners: inout OwnerNames
    ) throws -> Place? {
        try Walk.refuseDepth(place.depth + 1, path)
        guard let descriptor = place.descriptor.child(name) else {
            if errno == ENOENT { return nil }
            throw systemError("open the directory", path)
        }
        let directory = CapturedDirectory(node: known?.node ?? Node(name: name, type: .directory))
        tree?.register(directory, descriptor, in: place.directory)
        let inner = place.child(directory, descriptor, path: path)
        try refreshMetadata(of: inner, owners: &owners)
        return inner
    }

    func makeStaging() throws -> Descriptor {
        if mkdir(staging, 0o700) != 0 && errno != EEXIST { throw systemError("make the directory", staging) }
        return try Descriptor.directory(staging)
    }

    private func frame(_ place: Place, _ earlier: CapturedDirectory?) throws -> WalkFrame {
        let names = try directoryNames(place.descriptor, path: place.path)
        place.directory.entries.reserveCapacity(names.count)
        return WalkFrame(
            directory: place.directory, descriptor: place.descriptor, names: names, path: place.path, parent: .none,
            earlier: earlier)
    }

    private static func removedCount(_ frame: WalkFrame) -> Int {
        guard let earlier = frame.earlier else { return 0 }
        return earlier.entries.count { frame.directory.entry($0.name) == nil }
    }

    /// - Returns: nil if it went away in this moment.
    private mutating func leaf(
        _ name: [UInt8], _ status: stat, in place: Place, _ known: CapturedEntry?, path: String,
        owners: inout OwnerNames
    ) throws -> CapturedLeaf? {
        var node = Node(name: name, status: status, owners: &owners)
        tree?.note(node, in: place.directory)
        if node.type == .file {
            if case .leaf(let known)? = known, !known.isUnsettled, known.staged == nil, known.node.isUnchanged(node),
                !inUse.mapped.contains(node.inode)
            {
                return known
            }
            return try stage(name, in: (place.descriptor, place.staging), path: path, owners: &owners)
        }
        if node.type == .symlink {
            guard let target = Walk.target(place.descriptor, name) else { return nil }
            node.target = target
        }
        node.attributes = readAttributes(in: place.descriptor, name: name)
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
                stagedAt: Timestamp(time.now()),
                isUnsettled: isUnstable || inUse.mapped.contains(UInt64(before.st_ino))))
        statistics.filesStaged += 1
        statistics.bytesStaged += Int64(before.st_size)
        if !mayClone { statistics.bytesCopied += min(Int64(before.st_size), Int64(before.st_blocks) * 512) }
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
