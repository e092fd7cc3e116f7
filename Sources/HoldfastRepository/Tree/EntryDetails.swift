import HoldfastModel

/// One entry of a snapshot with all that a tree says of it.
package struct EntryDetails: Sendable {
    /// Beginning with `/`, as text; bytes that are not UTF-8 are replacement characters.
    package let path: String
    package let name: String
    package let type: TreeEntryType
    /// restic's name of the type: `file`, `dir`, `symlink`, `dev`, `chardev`, `fifo`, `socket`.
    package let typeName: String
    /// As Go's `os.FileMode` packs it.
    package let goMode: UInt32
    package let permissions: UInt32
    package let modified: Timestamp
    package let changed: Timestamp
    package let accessed: Timestamp
    package let userID: UInt32
    package let groupID: UInt32
    package let user: String
    package let group: String
    package let size: UInt64
    package let links: UInt64
    package let inode: UInt64
    package let device: UInt64
    package let target: String
    /// Ids of the chunks of a file.
    package let content: [String]
    /// Id of a directory's tree.
    package let subtree: String?

    init(_ node: Node, path: String, accessed: Timestamp) {
        self.path = path
        name = display(node.name)
        type = TreeEntryType(node.type)
        typeName = "\(node.type.name)"
        goMode = TreeCodec.goMode(node)
        permissions = node.permissions
        modified = node.modified
        changed = node.changed
        self.accessed = accessed
        userID = node.userID
        groupID = node.groupID
        user = node.user
        group = node.group
        size = node.size
        links = node.links
        inode = node.inode
        device = node.device
        target = display(node.target)
        content = node.content.ids.map(\.description)
        subtree = node.subtree?.description
    }

    /// As Go writes a mode: `drwxr-xr-x`, `Lrwxrwxrwx`.
    package var modeText: String {
        let letters = Array("dalTLDpSugct?")
        var text = ""
        for (index, letter) in letters.enumerated() where goMode & (1 << UInt32(31 - index)) != 0 {
            text.append(letter)
        }
        if text.isEmpty { text = "-" }
        for (index, letter) in "rwxrwxrwx".enumerated() {
            text.append(goMode & (1 << UInt32(8 - index)) != 0 ? letter : "-")
        }
        return text
    }
}

/// What `visit` wants of a directory that it was shown.
package enum WalkStep: Sendable {
    case enter
    case skip
}

extension Repository {
    /// Visits a directory of a snapshot in restic's order: by name, each directory directly before what is in it.
    ///
    /// - Parameters:
    ///   - path: of the directory; its own entry is not visited.
    ///   - visit: whether to go into a directory; ignored for anything else.
    /// - Throws: `notFound` if the path is no directory, `damaged`, and what `visit` throws.
    package func browse(
        _ snapshot: SnapshotID, path: String = "/", _ visit: (EntryDetails) throws -> WalkStep
    ) throws {
        let names = try treeComponents(path)
        let (reader, tree) = try openTree(snapshot, names, path: path)
        var open = [
            try BrowseFrame(tree, path: names.isEmpty ? "" : "/" + names.map(display).joined(separator: "/"), reader)
        ]
        while var top = open.popLast() {
            guard top.next < top.nodes.count else { continue }
            let node = top.nodes[top.next]
            let accessed = top.accessed[top.next]
            top.next += 1
            let entry = EntryDetails(node, path: top.path + "/" + display(node.name), accessed: accessed)
            open.append(top)
            if try visit(entry) == .enter, let subtree = node.subtree {
                guard open.count < Walk.deepest * 4 else {
                    throw HoldfastError(.damaged, "'\(entry.path)' is nested too deep")
                }
                open.append(try BrowseFrame(subtree, path: entry.path, reader))
            }
        }
    }
}

/// One directory that `browse` is in.
private struct BrowseFrame {
    let nodes: [Node]
    let accessed: [Timestamp]
    let path: String
    var next = 0

    init(_ tree: ObjectID, path: String, _ reader: BlobReader) throws {
        self.path = path
        let text = try reader.read(tree, .tree)
        nodes = try TreeCodec.decode(text, name: tree)
        // The engine has no use for the time of the last access, so nodes do not hold it.
        var accessed: [Timestamp] = []
        try JSONReader.read(text, what: "tree \(tree)") { reader in
            try reader.object { key, reader in
                guard key == "nodes" else { return try reader.skipValue() }
                try reader.array { reader in
                    var time = Timestamp.zero
                    try reader.object { key, reader in
                        if key == "atime" { time = try reader.time() } else { try reader.skipValue() }
                    }
                    accessed.append(time)
                }
            }
        }
        self.accessed = accessed
    }
}
