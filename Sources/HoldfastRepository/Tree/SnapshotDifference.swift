import HoldfastModel

/// How one path differs between two snapshots; the letters are restic's.
package struct PathChange: Sendable, Hashable {
    /// Directories end with `/`.
    package let path: String
    /// `+` added, `-` removed, `M` other content, `U` other metadata, `T` other type; perhaps two of these.
    package let modifier: String
}

/// What one side has that the other one has not.
package struct DifferenceSide: Sendable, Hashable {
    package internal(set) var files = 0
    package internal(set) var directories = 0
    package internal(set) var others = 0
    package internal(set) var dataBlobs = 0
    package internal(set) var treeBlobs = 0
    /// Of blobs, before compression.
    package internal(set) var bytes = 0

    mutating func add(_ node: Node) {
        switch node.type {
        case .file: files += 1
        case .directory: directories += 1
        default: others += 1
        }
    }
}

/// What distinguishes two snapshots, in numbers.
package struct DifferenceSummary: Sendable, Hashable {
    package internal(set) var changedFiles = 0
    package internal(set) var added = DifferenceSide()
    package internal(set) var removed = DifferenceSide()
}

extension Repository {
    /// Compares two snapshots, or directories of them.
    ///
    /// - Parameters:
    ///   - metadata: report entries of which only metadata differ.
    ///   - change: called for each path, in order of names.
    /// - Throws: `notFound`, `damaged`, and what `change` throws.
    package func difference(
        _ left: TreePath, _ right: TreePath, metadata: Bool, _ change: (PathChange) throws -> Void
    ) throws -> DifferenceSummary {
        let (_, first) = try openTree(left.snapshot, treeComponents(left.path), path: left.path)
        let (reader, second) = try openTree(right.snapshot, treeComponents(right.path), path: right.path)
        return try withoutActuallyEscaping(change) { change in
            var run = DifferenceRun(reader: reader, showsMetadata: metadata, change: change)
            run.before.insert(BlobKey(first, .tree))
            run.after.insert(BlobKey(second, .tree))
            try run.compare(first, second, prefix: "/", depth: 0)
            return try run.finish(currentIndex())
        }
    }
}

private struct DifferenceRun {
    let reader: BlobReader
    let showsMetadata: Bool
    let change: (PathChange) throws -> Void
    var before: Set<BlobKey> = []
    var after: Set<BlobKey> = []
    private var common: Set<BlobKey> = []
    private var summary = DifferenceSummary()

    init(reader: BlobReader, showsMetadata: Bool, change: @escaping (PathChange) throws -> Void) {
        self.reader = reader
        self.showsMetadata = showsMetadata
        self.change = change
    }

    mutating func compare(_ left: ObjectID, _ right: ObjectID, prefix: String, depth: Int) throws {
        guard depth < Walk.deepest * 4 else { throw HoldfastError(.damaged, "'\(prefix)' is nested too deep") }
        let old = try reader.tree(left)
        let new = try reader.tree(right)
        var one = 0
        var two = 0
        while one < old.count || two < new.count {
            if two >= new.count || (one < old.count && precedes(old[one].name, new[two].name)) {
                try single(old[one], prefix, isAdded: false)
                one += 1
            } else if one >= old.count || precedes(new[two].name, old[one].name) {
                try single(new[two], prefix, isAdded: true)
                two += 1
            } else {
                try pair(old[one], new[two], prefix, depth)
                one += 1
                two += 1
            }
        }
    }

    private mutating func pair(_ old: Node, _ new: Node, _ prefix: String, _ depth: Int) throws {
        Self.note(old, in: &before)
        Self.note(new, in: &after)
        let path = prefix + display(new.name) + (new.type == .directory ? "/" : "")
        var modifier = ""
        if old.type != new.type { modifier += "T" }
        if old.type == .file && new.type == .file && old.content != new.content {
            modifier += "M"
            summary.changedFiles += 1
        } else if showsMetadata && !Self.isEqual(old, new) {
            modifier += "U"
        }
        if !modifier.isEmpty { try change(PathChange(path: path, modifier: modifier)) }
        guard old.type == .directory, new.type == .directory, let left = old.subtree, let right = new.subtree else {
            return
        }
        if left == right { try collect(left) } else { try compare(left, right, prefix: path, depth: depth + 1) }
    }

    private mutating func single(_ node: Node, _ prefix: String, isAdded: Bool) throws {
        if isAdded { Self.note(node, in: &after) } else { Self.note(node, in: &before) }
        var open = [(node: node, path: prefix + display(node.name), isFirst: true)]
        while let (node, path, isFirst) = open.popLast() {
            let place = node.type == .directory ? path + "/" : path
            try change(PathChange(path: place, modifier: isAdded ? "+" : "-"))
            if isAdded { summary.added.add(node) } else { summary.removed.add(node) }
            if !isFirst { if isAdded { Self.note(node, in: &after) } else { Self.note(node, in: &before) } }
            guard let subtree = node.subtree else { continue }
            open += try reader.tree(subtree).reversed().map { ($0, place + display($0.name), false) }
        }
    }

    /// Notes what both sides have.
    private mutating func collect(_ tree: ObjectID) throws {
        var open = [tree]
        while let tree = open.popLast() {
            guard common.insert(BlobKey(tree, .tree)).inserted else { continue }
            for node in try reader.tree(tree) {
                Self.note(node, in: &common, files: true)
                if let subtree = node.subtree { open.append(subtree) }
            }
        }
    }

    private static func note(_ node: Node, in blobs: inout Set<BlobKey>, files: Bool = false) {
        for id in node.content.ids { blobs.insert(BlobKey(id, .data)) }
        if !files, let subtree = node.subtree { blobs.insert(BlobKey(subtree, .tree)) }
    }

    private static func isEqual(_ old: Node, _ new: Node) -> Bool {
        old.type == new.type && old.permissions == new.permissions && old.modified == new.modified
            && old.changed == new.changed && old.userID == new.userID && old.groupID == new.groupID
            && old.user == new.user && old.group == new.group && old.inode == new.inode && old.device == new.device
            && old.size == new.size && old.links == new.links && old.target == new.target
            && old.deviceNumber == new.deviceNumber && old.content == new.content && old.subtree == new.subtree
            && old.attributes == new.attributes
    }

    mutating func finish(_ index: BlobIndex) throws -> DifferenceSummary {
        let both = before.intersection(after).union(common)
        Self.count(before.subtracting(both), index, in: &summary.removed)
        Self.count(after.subtracting(both), index, in: &summary.added)
        return summary
    }

    private static func count(_ blobs: Set<BlobKey>, _ index: BlobIndex, in side: inout DifferenceSide) {
        for blob in blobs {
            if blob.type == .data { side.dataBlobs += 1 } else { side.treeBlobs += 1 }
            side.bytes += index.locate(blob.id, blob.type)?.location.plainLength ?? 0
        }
    }
}
