import Glibc
import HoldfastModel
import Synchronization

/// What a comparison of restored files with their snapshot found.
package struct VerifyReport: Sendable {
    package internal(set) var files = 0
    package internal(set) var bytes: Int64 = 0
    /// Files that are not there, or have another content. Sorted by path.
    package internal(set) var problems: [RestoreProblem] = []
}

extension Repository {
    /// Reads restored files again, and compares each chunk with what the snapshot says.
    ///
    /// - Parameters:
    ///   - source: what was restored.
    ///   - directory: where to.
    ///   - excludes: as it was restored.
    package func verify(
        _ source: TreePath, in directory: String, meter: ProgressMeter? = nil,
        excludes: @escaping @Sendable (String) -> Bool
    ) throws -> VerifyReport {
        let names = try treeComponents(source.path)
        let index = try currentIndex()
        let (reader, root) = try openTree(source.snapshot, names, path: source.path)
        var files: [ExpectedFile] = []
        var open = [(tree: root, names: [[UInt8]](), path: "")]
        while let (tree, names, path) = open.popLast() {
            for node in try reader.tree(tree) where isPlainName(node.name) {
                let place = Walk.join(path, node.name)
                if excludes(place) { continue }
                if let subtree = node.subtree { open.append((subtree, names + [node.name], place)) }
                if node.type == .file {
                    files.append(ExpectedFile(names: names + [node.name], path: place, node: node))
                }
            }
        }
        meter?.expect(items: files.count, bytes: files.reduce(0) { $0 + Int64(clamping: $1.node.size) })
        let target = try Descriptor.directory(directory)
        let report = Mutex(VerifyReport())
        try forEachInParallel(files, "holdfast-verify") {
            let buffer = try RawBuffer(capacity: Chunker.largest)
            let digest = try DigestContext()
            return { file in
                let fault = try file.fault(in: target, index, buffer, digest)
                meter?.add(items: 1, bytes: Int(clamping: file.node.size))
                report.withLock {
                    $0.files += 1
                    $0.bytes += Int64(clamping: file.node.size)
                    if let fault { $0.problems.append(RestoreProblem(path: file.path, reason: fault)) }
                }
            }
        }
        var result = report.withLock { $0 }
        result.problems.sort { $0.path < $1.path }
        return result
    }
}

/// A file that a restore has made.
private struct ExpectedFile: Sendable {
    let names: [[UInt8]]
    let path: String
    let node: Node

    /// What is wrong with it; nil if it has the bytes that it should have.
    func fault(in target: Descriptor, _ index: BlobIndex, _ buffer: RawBuffer, _ digest: DigestContext) throws
        -> String?
    {
        var directory = target
        for name in names.dropLast() {
            guard let inner = directory.child(name) else { return "its directory is not there" }
            directory = inner
        }
        let raw = withCName(node.name) { openat(directory.raw, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) }
        guard raw >= 0 else { return "it cannot be opened: \(String(cString: strerror(errno)))" }
        let file = Descriptor(raw)
        var status = stat()
        guard fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return "it is not a file" }
        guard UInt64(status.st_size) == node.size else {
            return "it has \(status.st_size) bytes, and should have \(node.size)"
        }
        var offset = 0
        for id in node.content.ids {
            guard let (location, _) = index.locate(id, .data) else { return "its blob \(id) is not in the repository" }
            let length = location.plainLength
            try buffer.reserve(length)
            var count = 0
            while count < length {
                let size = pread(file.raw, buffer.base + count, length - count, off_t(offset + count))
                if size < 0 && errno == EINTR { continue }
                guard size > 0 else { return "it cannot be read at byte \(offset + count)" }
                count += size
            }
            guard try digest.digest(buffer.bytes(0..<length)) == id else {
                return "its bytes from \(offset) to \(offset + length) are not those of the snapshot"
            }
            offset += length
        }
        return nil
    }
}
