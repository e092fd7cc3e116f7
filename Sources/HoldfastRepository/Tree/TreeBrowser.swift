import Foundation
import HoldfastModel

/// What an entry of a snapshot is.
public enum TreeEntryType: String, Sendable, Codable {
    case file, directory, symlink, fifo, blockDevice, characterDevice, socket, other

    init(_ type: NodeType) {
        switch type {
        case .file: self = .file
        case .directory: self = .directory
        case .symlink: self = .symlink
        case .fifo: self = .fifo
        case .blockDevice: self = .blockDevice
        case .characterDevice: self = .characterDevice
        case .socket: self = .socket
        case .other: self = .other
        }
    }
}

/// One entry of a snapshot's tree, for listings.
public struct TreeEntry: Sendable, Hashable {
    /// In the snapshot, beginning with `/`; bytes that are not UTF-8 are shown as replacement characters.
    public let path: String
    public let type: TreeEntryType
    /// Bytes of a file, else 0.
    public let size: Int64
    /// Permissions with setuid, setgid and sticky.
    public let permissions: UInt32
    public let modified: Date
    public let userID: UInt32
    public let groupID: UInt32
    /// Of a symbolic link.
    public let target: String?

    init(_ node: Node, path: String) {
        self.path = path
        type = TreeEntryType(node.type)
        size = Int64(clamping: node.size)
        permissions = node.permissions
        modified = node.modified.date
        userID = node.userID
        groupID = node.groupID
        target = node.type == .symlink ? display(node.target) : nil
    }
}

extension Repository {
    /// The entries of one directory of a snapshot, sorted by name.
    ///
    /// - Throws: `notFound` if the path is not there or is no directory; `damaged`.
    public func list(_ snapshot: SnapshotID, path: String = "/") throws -> [TreeEntry] {
        let names = try treeComponents(path)
        let (reader, tree) = try openTree(snapshot, names, path: path)
        let prefix = names.isEmpty ? "" : "/" + names.map(display).joined(separator: "/")
        return try reader.tree(tree).map { TreeEntry($0, path: prefix + "/" + display($0.name)) }
    }

    /// Visits everything below a directory of a snapshot, each directory before its contents.
    ///
    /// - Parameter visit: returns whether to go into a directory; ignored for anything else.
    public func walk(_ snapshot: SnapshotID, path: String = "/", _ visit: (TreeEntry) throws -> Bool) throws {
        let names = try treeComponents(path)
        let (reader, tree) = try openTree(snapshot, names, path: path)
        var open = [(path: names.isEmpty ? "" : "/" + names.map(display).joined(separator: "/"), tree: tree)]
        while let (path, tree) = open.popLast() {
            var inner: [(path: String, tree: ObjectID)] = []
            for node in try reader.tree(tree) {
                let entry = TreeEntry(node, path: path + "/" + display(node.name))
                if try visit(entry), let subtree = node.subtree { inner.append((entry.path, subtree)) }
            }
            open.append(contentsOf: inner.reversed())
        }
    }

    /// The bytes of one file of a snapshot, in memory: for small files such as the manifest.
    ///
    /// - Parameter limit: in bytes; a larger file is refused.
    /// - Throws: `notFound`, `damaged`, `unsupported` if it is larger than the limit.
    public func file(snapshot: SnapshotID, path: String, limit: Int = 64 << 20) throws -> [UInt8] {
        let names = try treeComponents(path)
        let missing = HoldfastError(.notFound, "there is no file '\(path)' in snapshot \(snapshot)")
        guard let name = names.last else { throw missing }
        let (reader, tree) = try openTree(snapshot, names.dropLast(), path: path)
        guard let node = try reader.tree(tree).first(where: { $0.name == name }), node.type == .file else {
            throw missing
        }
        guard node.size <= UInt64(limit) else {
            throw HoldfastError(.unsupported, "'\(path)' has \(node.size) bytes, at most \(limit) are read into memory")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(node.size))
        for id in node.content.ids {
            bytes.append(contentsOf: try reader.read(id, .data))
            guard bytes.count <= limit else { throw HoldfastError(.damaged, "'\(path)' is longer than it should be") }
        }
        return bytes
    }

    /// A reader, and the tree of the directory at a path.
    func openTree(
        _ snapshot: SnapshotID, _ names: some Sequence<[UInt8]>, path: String
    ) throws -> (BlobReader, ObjectID) {
        var tree = try self.snapshot(snapshot).treeID
        // The snapshot first, then the index: an index that is newer than the snapshot knows all it needs.
        let reader = try cachedReader(currentIndex())
        for name in names {
            guard let next = try reader.tree(tree).first(where: { $0.name == name })?.subtree else {
                throw HoldfastError(.notFound, "there is no directory '\(path)' in snapshot \(snapshot)")
            }
            tree = next
        }
        return (reader, tree)
    }
}
