import HoldfastModel

extension Repository {
    /// Hands over the bytes of one file of a snapshot, chunk by chunk, in order; every byte is verified before.
    ///
    /// - Throws: `notFound`, `damaged`, and what `write` throws.
    package func dump(
        _ snapshot: SnapshotID, path: String, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let names = try treeComponents(path)
        let missing = HoldfastError(.notFound, "there is no file '\(path)' in snapshot \(snapshot)")
        guard let name = names.last else { throw missing }
        let (reader, tree) = try openTree(snapshot, names.dropLast(), path: path)
        guard let node = try reader.tree(tree).first(where: { $0.name == name }) else { throw missing }
        guard node.type == .file else {
            throw HoldfastError(.invalidInput, "'\(path)' is a \(node.type.name), not a file")
        }
        for id in node.content.ids { try write(reader.read(id, .data)) }
    }

    /// What lies at a path of a snapshot; nil if nothing does. The root is a directory.
    package func entryType(_ snapshot: SnapshotID, path: String) throws -> TreeEntryType? {
        let names = try treeComponents(path)
        guard let name = names.last else { return .directory }
        do {
            let (reader, tree) = try openTree(snapshot, names.dropLast(), path: path)
            return try reader.tree(tree).first { $0.name == name }.map { TreeEntryType($0.type) }
        } catch let error as HoldfastError where error.code == .notFound {
            return nil
        }
    }

    /// Hands over a directory of a snapshot as a tar archive (POSIX.1-2001, pax), chunk by chunk.
    ///
    /// Names are as restic gives them: from the snapshot's root, without the first `/`. Hard links become files of
    /// their own; sockets are left out, as tar has none.
    ///
    /// - Throws: `notFound`, `damaged`, and what `write` throws.
    package func dumpTar(
        _ snapshot: SnapshotID, path: String, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let names = try treeComponents(path)
        let (reader, tree) = try openTree(snapshot, names, path: path)
        var open = [(node: Node, path: [UInt8])]()
        func push(_ tree: ObjectID, _ prefix: [UInt8]) throws {
            open += try reader.tree(tree).reversed().map { ($0, prefix.isEmpty ? $0.name : prefix + [47] + $0.name) }
        }
        try push(tree, Array(names.joined(separator: [47])))
        while let (node, path) = open.popLast() {
            guard isPlainName(node.name) else {
                throw HoldfastError(.damaged, "'\(display(path))' cannot be a name")
            }
            guard node.type != .socket, node.type != .other else { continue }
            try TarHeader.bytes(node, path: path).withUnsafeBytes { try write($0) }
            if node.type == .file {
                var count: UInt64 = 0
                for id in node.content.ids {
                    let bytes = try reader.read(id, .data)
                    count += UInt64(bytes.count)
                    try write(bytes)
                }
                guard count == node.size else {
                    throw HoldfastError(.damaged, "'\(display(path))' has \(count) bytes, and should have \(node.size)")
                }
                try [UInt8](repeating: 0, count: Int((512 - count % 512) % 512)).withUnsafeBytes { try write($0) }
            }
            if let subtree = node.subtree { try push(subtree, path) }
        }
        try [UInt8](repeating: 0, count: 1024).withUnsafeBytes { try write($0) }
    }
}

/// The header blocks of one entry of a tar archive.
///
/// Source: POSIX.1-2001, pax Interchange Format.
enum TarHeader {
    static func bytes(_ node: Node, path: [UInt8]) -> [UInt8] {
        let isDirectory = node.type == .directory
        let name = isDirectory ? path + [47] : path
        var records: [UInt8] = []
        if name.count > 100 { append("path", name, to: &records) }
        if node.target.count > 100 { append("linkpath", node.target, to: &records) }
        let size = node.type == .file ? node.size : 0
        if size >= 1 << 33 { append("size", Array("\(size)".utf8), to: &records) }
        if node.userID >= 1 << 21 { append("uid", Array("\(node.userID)".utf8), to: &records) }
        if node.groupID >= 1 << 21 { append("gid", Array("\(node.groupID)".utf8), to: &records) }
        if node.modified.nanoseconds != 0 || node.modified.seconds < 0 || node.modified.seconds >= 1 << 33 {
            append("mtime", Array(decimal(node.modified).utf8), to: &records)
        }
        for attribute in node.attributes where !attribute.name.contains(61) {
            append("SCHILY.xattr." + display(attribute.name), attribute.value, to: &records)
        }
        var result: [UInt8] = []
        if !records.isEmpty {
            var carrier = Node(name: [], type: .file)
            carrier.permissions = 0o644
            result = block(carrier, name: Array("PaxHeaders/x".utf8), size: UInt64(records.count), kind: "x")
            result += records + [UInt8](repeating: 0, count: (512 - records.count % 512) % 512)
        }
        return result + block(node, name: name, size: size, kind: kind(node.type))
    }

    private static func kind(_ type: NodeType) -> Character {
        switch type {
        case .directory: "5"
        case .symlink: "2"
        case .characterDevice: "3"
        case .blockDevice: "4"
        case .fifo: "6"
        case .file, .socket, .other: "0"
        }
    }

    private static func decimal(_ time: Timestamp) -> String {
        let digits = String(1_000_000_000 + Int(time.nanoseconds)).dropFirst()
        guard time.seconds < 0, time.nanoseconds > 0 else { return "\(time.seconds).\(digits)" }
        // Nanoseconds count upwards; before 1970 the decimal number counts away from zero.
        return "-\(-(time.seconds + 1)).\(String(2_000_000_000 - Int(time.nanoseconds)).dropFirst())"
    }

    /// A record of a pax header: its own length in decimal, a blank, key, `=`, value, newline.
    private static func append(_ key: String, _ value: [UInt8], to records: inout [UInt8]) {
        let body = Array(" \(key)=".utf8) + value + [10]
        var length = body.count + 1
        while "\(length)".utf8.count + body.count != length { length = "\(length)".utf8.count + body.count }
        records += Array("\(length)".utf8) + body
    }

    private static func block(_ node: Node, name: [UInt8], size: UInt64, kind: Character) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Collection<UInt8>, at start: Int, _ width: Int) {
            for (index, byte) in bytes.prefix(width).enumerated() { block[start + index] = byte }
        }
        func octal(_ value: UInt64, at start: Int, _ width: Int) {
            let digits = String(min(value, (1 << UInt64(3 * (width - 1))) - 1), radix: 8)
            put((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8, at: start, width)
        }
        put(name, at: 0, 100)
        octal(UInt64(node.permissions & 0o7777), at: 100, 8)
        octal(UInt64(node.userID), at: 108, 8)
        octal(UInt64(node.groupID), at: 116, 8)
        octal(size, at: 124, 12)
        octal(UInt64(max(node.modified.seconds, 0)), at: 136, 12)
        put("\(kind)".utf8, at: 156, 1)
        put(node.target, at: 157, 100)
        put("ustar\u{0}00".utf8, at: 257, 8)
        put(node.user.utf8, at: 265, 31)
        put(node.group.utf8, at: 297, 31)
        if node.type == .blockDevice || node.type == .characterDevice {
            octal(deviceMajor(node.deviceNumber), at: 329, 8)
            octal(deviceMinor(node.deviceNumber), at: 337, 8)
        }
        put([UInt8](repeating: 32, count: 8), at: 148, 8)
        let sum = block.reduce(0) { $0 + Int($1) }
        let digits = String(sum, radix: 8)
        put((String(repeating: "0", count: 6 - digits.count) + digits).utf8 + [0, 32], at: 148, 8)
        return block
    }

    // As glibc packs device numbers.
    private static func deviceMajor(_ number: UInt64) -> UInt64 { number >> 8 & 0xFFF | number >> 32 & ~0xFFF }
    private static func deviceMinor(_ number: UInt64) -> UInt64 { number & 0xFF | number >> 12 & ~0xFF }
}
