import HoldfastModel

/// A leaf of a tree in the making.
struct CapturedLeaf {
    var node: Node
    /// The content may change without the time stamps telling: it was read too soon after a change, or changed
    /// meanwhile. Such a file is read again next time.
    var isUnsettled = false
    /// Number of the staged file whose content this will be.
    var staged: Int?
    /// Dropped when the work on it is done: it vanished.
    var isGone = false
}

enum CapturedEntry {
    case leaf(CapturedLeaf)
    case directory(CapturedDirectory)

    var name: [UInt8] {
        switch self {
        case .leaf(let leaf): leaf.node.name
        case .directory(let directory): directory.node.name
        }
    }
}

/// A directory of a tree in the making; used by the session's thread only.
final class CapturedDirectory {
    var node: Node
    /// Sorted by name.
    var entries: [CapturedEntry] = []
    /// How a watch calls it; nil if none watches it.
    var watchNumber: Int?

    init(node: Node) { self.node = node }

    /// A directory that exists only in the backup. Its times are always the same: a tree that changes with every backup
    /// would be stored with every backup.
    static func made(name: [UInt8]) -> CapturedDirectory {
        var node = Node(name: name, type: .directory)
        node.permissions = 0o755
        return CapturedDirectory(node: node)
    }

    /// Position of the entry of that name, or where it belongs.
    func position(of name: [UInt8]) -> (index: Int, isPresent: Bool) {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(entries[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return (low, low < entries.count && entries[low].name == name)
    }

    func entry(_ name: [UInt8]) -> CapturedEntry? {
        let (index, isPresent) = position(of: name)
        return isPresent ? entries[index] : nil
    }

    /// Puts an entry in its place; one of the same name is replaced.
    func put(_ entry: CapturedEntry) {
        let (index, isPresent) = position(of: entry.name)
        if isPresent { entries[index] = entry } else { entries.insert(entry, at: index) }
    }

    /// Drops the entry of that name, if there is one.
    func remove(_ name: [UInt8]) {
        let (index, isPresent) = position(of: name)
        if isPresent { entries.remove(at: index) }
    }

    /// The directory at a path below this one; missing ones are made.
    func directory(at names: some Sequence<[UInt8]>) throws -> CapturedDirectory {
        var current = self
        for name in names {
            switch current.entry(name) {
            case .directory(let next): current = next
            case .leaf:
                throw HoldfastError(.conflict, "'\(display(name))' is a file in this backup, not a directory")
            case nil:
                let made = Self.made(name: name)
                current.put(.directory(made))
                current = made
            }
        }
        return current
    }
}

/// Finds nodes of the parent snapshot's trees by name.
struct ParentDirectory {
    let nodes: [Node]

    static let none = ParentDirectory(nodes: [])

    func node(_ name: [UInt8]) -> Node? {
        var low = 0
        var high = nodes.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(nodes[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return low < nodes.count && nodes[low].name == name ? nodes[low] : nil
    }
}

extension Node {
    /// Whether nothing tells that the file behind `other` was changed since this node was stored.
    func isUnchanged(_ other: Node) -> Bool {
        type == .file && other.type == .file && size == other.size && modified == other.modified
            && changed == other.changed && inode == other.inode
    }
}
