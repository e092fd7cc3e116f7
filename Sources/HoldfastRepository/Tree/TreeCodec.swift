import HoldfastModel

/// The JSON of trees, as restic writes and reads it.
///
/// Source: restic's design document, "Trees and Data".
enum TreeCodec {
    /// Appends one node; the writer holds the text before it.
    static func append(_ node: Node, to writer: inout JSONWriter) {
        writer.literal("{\"name\":")
        writer.string(GoQuoting.quote(node.name))
        writer.literal(",\"type\":\"")
        writer.literal(node.type.name)
        writer.literal("\"")
        let mode = goMode(node)
        if mode != 0 {
            writer.literal(",\"mode\":")
            writer.number(mode)
        }
        writer.literal(",\"mtime\":")
        writer.time(node.modified)
        // As restic by default, the time of the last access is not kept: it would change trees that nobody changed.
        writer.literal(",\"atime\":")
        writer.time(node.modified)
        writer.literal(",\"ctime\":")
        writer.time(node.changed)
        writer.literal(",\"uid\":")
        writer.number(node.userID)
        writer.literal(",\"gid\":")
        writer.number(node.groupID)
        if !node.user.isEmpty {
            writer.literal(",\"user\":")
            writer.string(node.user)
        }
        if !node.group.isEmpty {
            writer.literal(",\"group\":")
            writer.string(node.group)
        }
        number(node.inode, ",\"inode\":", &writer)
        if node.links > 1 { number(node.device, ",\"device_id\":", &writer) }
        number(node.size, ",\"size\":", &writer)
        number(node.links, ",\"links\":", &writer)
        appendVariable(node, &writer)
        writer.literal("}")
    }

    private static func appendVariable(_ node: Node, _ writer: inout JSONWriter) {
        if !node.target.isEmpty {
            writer.literal(",\"linktarget\":")
            writer.string(node.target)
            if !isUTF8(node.target) {
                writer.literal(",\"linktarget_raw\":")
                writer.base64(node.target)
            }
        }
        if !node.attributes.isEmpty {
            writer.literal(",\"extended_attributes\":[")
            for (index, attribute) in node.attributes.enumerated() {
                writer.literal(index == 0 ? "{\"name\":" : ",{\"name\":")
                writer.string(attribute.name)
                writer.literal(",\"value\":")
                writer.base64(attribute.value)
                writer.literal("}")
            }
            writer.literal("]")
        }
        number(node.deviceNumber, ",\"device\":", &writer)
        if node.type == .file {
            writer.literal(",\"content\":[")
            switch node.content {
            case .none: break
            case .one(let id): writer.objectID(id)
            case .many(let ids):
                for (index, id) in ids.enumerated() {
                    if index > 0 { writer.literal(",") }
                    writer.objectID(id)
                }
            }
            writer.literal("]")
        } else {
            writer.literal(",\"content\":null")
        }
        if let subtree = node.subtree {
            writer.literal(",\"subtree\":")
            writer.objectID(subtree)
        }
    }

    private static func number(_ value: UInt64, _ key: StaticString, _ writer: inout JSONWriter) {
        guard value != 0 else { return }
        writer.literal(key)
        writer.number(value)
    }

    private static func isUTF8(_ bytes: [UInt8]) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    /// The mode as Go's `os.FileMode` packs it.
    static func goMode(_ node: Node) -> UInt32 {
        var mode = node.permissions & 0o777 | node.type.modeBits
        if node.permissions & 0o4000 != 0 { mode |= 1 << 23 }
        if node.permissions & 0o2000 != 0 { mode |= 1 << 22 }
        if node.permissions & 0o1000 != 0 { mode |= 1 << 20 }
        return mode
    }

    private static func permissions(goMode mode: UInt32) -> UInt32 {
        var permissions = mode & 0o777
        if mode & 1 << 23 != 0 { permissions |= 0o4000 }
        if mode & 1 << 22 != 0 { permissions |= 0o2000 }
        if mode & 1 << 20 != 0 { permissions |= 0o1000 }
        return permissions
    }

    /// Reads a whole tree.
    static func decode(_ bytes: UnsafeRawBufferPointer, name: ObjectID) throws -> [Node] {
        var nodes: [Node] = []
        try JSONReader.read(bytes, what: "tree \(name)") { reader in
            try reader.object { key, reader in
                guard key == "nodes" else { return try reader.skipValue() }
                try reader.array { reader in nodes.append(try node(&reader)) }
            }
        }
        return nodes
    }

    private static func node(_ reader: inout JSONReader) throws -> Node {
        var node = Node(name: [], type: .other)
        var hasName = false
        try reader.object { key, reader in
            if key == "name" {
                guard let name = GoQuoting.unquote(try reader.string()) else { throw reader.fault("name not quoted") }
                node.name = name
                hasName = true
            } else if key == "type" {
                node.type = NodeType(name: try reader.text())
            } else if key == "mode" {
                node.permissions = permissions(goMode: try reader.unsigned32())
            } else if key == "mtime" {
                node.modified = try reader.time()
            } else if key == "ctime" {
                node.changed = try reader.time()
            } else if key == "uid" {
                node.userID = try reader.unsigned32()
            } else if key == "gid" {
                node.groupID = try reader.unsigned32()
            } else if key == "content" {
                var ids: [ObjectID] = []
                try reader.array { reader in ids.append(try reader.objectID()) }
                node.content = Content(ids)
            } else {
                try readRare(key, &node, &reader)
            }
        }
        guard hasName else { throw reader.fault("node without name") }
        return node
    }

    private static func readRare(_ key: JSONKey, _ node: inout Node, _ reader: inout JSONReader) throws {
        if key == "inode" {
            node.inode = try reader.unsigned()
        } else if key == "size" {
            node.size = try reader.unsigned()
        } else if key == "links" {
            node.links = try reader.unsigned()
        } else if key == "user" {
            node.user = try reader.text()
        } else if key == "group" {
            node.group = try reader.text()
        } else if key == "subtree" {
            node.subtree = try reader.null() ? nil : try reader.objectID()
        } else if key == "device_id" {
            node.device = try reader.unsigned()
        } else if key == "linktarget" {
            let target = try reader.string()
            if node.target.isEmpty { node.target = target }
        } else if key == "linktarget_raw" {
            node.target = try reader.base64()
        } else if key == "device" {
            node.deviceNumber = try reader.unsigned()
        } else if key == "extended_attributes" {
            try reader.array { reader in node.attributes.append(try attribute(&reader)) }
        } else {
            try reader.skipValue()
        }
    }

    private static func attribute(_ reader: inout JSONReader) throws -> ExtendedAttribute {
        var attribute = ExtendedAttribute(name: [], value: [])
        try reader.object { key, reader in
            if key == "name" {
                attribute.name = try reader.string()
            } else if key == "value" {
                attribute.value = try reader.base64()
            } else {
                try reader.skipValue()
            }
        }
        return attribute
    }
}
