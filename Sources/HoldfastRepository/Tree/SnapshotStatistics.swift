import HoldfastModel

/// What `stats` counts; the names are restic's.
package enum StatisticsMode: String, Sendable, CaseIterable {
    /// What a restore of each snapshot writes; hard links of a snapshot count once.
    case restoreSize = "restore-size"
    /// Files of different content, each once.
    case filesByContents = "files-by-contents"
    /// Chunks of each file of different content; a chunk counts once for each file.
    case blobsPerFile = "blobs-per-file"
    /// Chunks and trees as they lie in the repository, each once.
    case rawData = "raw-data"
}

/// What some snapshots amount to.
package struct SnapshotStatistics: Sendable, Hashable {
    package internal(set) var bytes: UInt64 = 0
    /// Of raw data: before compression and sealing.
    package internal(set) var plainBytes: UInt64 = 0
    /// Entries of any type in the mode `restoreSize`.
    package internal(set) var files = 0
    package internal(set) var blobs = 0
    package internal(set) var snapshots = 0
}

extension Repository {
    /// Counts what some snapshots need.
    ///
    /// - Throws: `damaged` if a tree cannot be read, or a blob is in no pack.
    package func statistics(of snapshots: [SnapshotID], _ mode: StatisticsMode) throws -> SnapshotStatistics {
        let trees = try snapshots.map { try snapshot($0).treeID }
        let index = try currentIndex()
        var counter = StatisticsCounter(mode: mode, index: index, reader: try reader(index))
        if mode == .rawData {
            try counter.countBlobs(usedBlobs(of: snapshots.map(\.object), index))
        } else {
            for tree in trees { try counter.count(tree) }
        }
        counter.statistics.snapshots = snapshots.count
        return counter.statistics
    }
}

private struct StatisticsCounter {
    private struct LinkedFile: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private struct FileBlob: Hashable {
        let path: String
        let blob: ObjectID
    }

    let mode: StatisticsMode
    let index: BlobIndex
    let reader: BlobReader
    var statistics = SnapshotStatistics()
    private var contents: Set<Content> = []
    private var paths: Set<String> = []
    private var fileBlobs: Set<FileBlob> = []
    private var seenTrees: Set<ObjectID> = []

    init(mode: StatisticsMode, index: BlobIndex, reader: BlobReader) {
        self.mode = mode
        self.index = index
        self.reader = reader
    }

    mutating func countBlobs(_ blobs: Set<BlobKey>) throws {
        for blob in blobs {
            guard let (location, _) = index.locate(blob.id, blob.type) else {
                throw HoldfastError(.damaged, "\(blob.type.name) blob \(blob.id) is not in the repository")
            }
            statistics.bytes += UInt64(location.range.count)
            statistics.plainBytes += UInt64(location.plainLength)
            statistics.blobs += 1
        }
    }

    mutating func count(_ root: ObjectID) throws {
        var linked: Set<LinkedFile> = []
        var open = [(tree: root, path: "")]
        while let (tree, path) = open.popLast() {
            // Other paths to the same tree hold no other contents.
            if mode != .restoreSize && !seenTrees.insert(tree).inserted { continue }
            var inner: [(ObjectID, String)] = []
            for node in try reader.tree(tree) {
                let place = path + "/" + display(node.name)
                if let subtree = node.subtree { inner.append((subtree, place)) }
                if mode == .restoreSize {
                    statistics.files += 1
                    // Only files with several names: the inode of another one may be taken on another file system.
                    let isCounted =
                        node.links < 2 || node.inode == 0
                        || linked.insert(LinkedFile(device: node.device, inode: node.inode)).inserted
                    if isCounted { statistics.bytes += node.size }
                } else {
                    try count(node, at: place)
                }
            }
            open += inner.reversed()
        }
    }

    private mutating func count(_ node: Node, at path: String) throws {
        guard contents.insert(node.content).inserted else { return }
        guard mode == .blobsPerFile else {
            statistics.files += 1
            statistics.bytes += node.size
            return
        }
        for id in node.content.ids {
            if paths.insert(path).inserted { statistics.files += 1 }
            guard fileBlobs.insert(FileBlob(path: path, blob: id)).inserted else { continue }
            guard let (location, _) = index.locate(id, .data) else {
                throw HoldfastError(.damaged, "data blob \(id) is not in the repository")
            }
            statistics.bytes += UInt64(location.plainLength)
            statistics.blobs += 1
        }
    }
}
