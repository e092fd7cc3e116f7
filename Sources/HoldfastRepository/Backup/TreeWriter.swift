import HoldfastModel

/// Turns the captured tree into tree blobs, leaves before roots.
struct TreeWriter {
    let writer: BlobWriter

    private(set) var files = 0
    private(set) var directories = 0
    private(set) var bytes: Int64 = 0

    init(writer: BlobWriter) { self.writer = writer }

    /// Stores a directory with everything below it. Depth is bounded by the walks.
    ///
    /// - Returns: the id of its tree.
    mutating func store(_ directory: CapturedDirectory) throws -> ObjectID {
        directories += 1
        var text = JSONWriter()
        text.reserve(512 * directory.entries.count + 32)
        text.literal("{\"nodes\":[")
        for (index, entry) in directory.entries.enumerated() {
            if index > 0 { text.literal(",") }
            switch entry {
            case .directory(let inner):
                var node = inner.node
                node.subtree = try store(inner)
                TreeCodec.append(node, to: &text)
            case .leaf(let leaf):
                guard leaf.staged == nil else {
                    throw HoldfastError(.internalFault, "'\(display(leaf.node.name))' is staged and not stored")
                }
                TreeCodec.append(recorded(leaf), to: &text)
            }
        }
        text.literal("]}\n")
        return try text.bytes.withUnsafeBytes { try writer.store($0, .tree) }
    }

    /// What the tree says of a leaf.
    ///
    /// A file that may yet change without its time stamps telling is recorded with a change time one nanosecond early:
    /// no comparison will ever find it unchanged, neither ours nor restic's, and it is read again next time.
    private mutating func recorded(_ leaf: CapturedLeaf) -> Node {
        guard leaf.node.type == .file else { return leaf.node }
        files += 1
        bytes += Int64(leaf.node.size)
        guard leaf.isUnsettled else { return leaf.node }
        var node = leaf.node
        node.changed = node.changed.previous
        return node
    }
}
