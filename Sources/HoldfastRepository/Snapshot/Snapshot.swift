import Foundation
import HoldfastModel

/// Name of a snapshot object: 64 lowercase hexadecimal digits.
public struct SnapshotID: Hashable, Sendable, Codable, CustomStringConvertible {
    let object: ObjectID

    init(_ object: ObjectID) { self.object = object }

    /// Nil for anything but 64 lowercase hexadecimal digits.
    public init?(_ text: String) {
        guard let object = ObjectID(hex: text) else { return nil }
        self.object = object
    }

    public var description: String { object.description }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let id = SnapshotID(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a snapshot id")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// What the repository's owner says about a snapshot when it is finished.
public struct SnapshotInfo: Sendable, Hashable {
    /// The point in time that it shows.
    public var time: Date
    /// For restic the host; for Holdfast the project's id.
    public var hostname: String
    public var tags: [String]
    /// What was backed up, such as `/`.
    public var paths: [String]
    public var username: String

    public init(time: Date, hostname: String, tags: [String], paths: [String], username: String = "holdfast") {
        self.time = time
        self.hostname = hostname
        self.tags = tags
        self.paths = paths
        self.username = username
    }
}

/// A snapshot object.
public struct Snapshot: Sendable, Hashable {
    public var info: SnapshotInfo
    public var parent: SnapshotID?
    /// SHA-256 of the root tree, 64 hexadecimal digits.
    public var tree: String { treeID.description }
    let treeID: ObjectID

    init(info: SnapshotInfo, parent: SnapshotID?, tree: ObjectID) {
        self.info = info
        self.parent = parent
        self.treeID = tree
    }

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"time\":")
        writer.time(Timestamp(info.time))
        if let parent {
            writer.literal(",\"parent\":")
            writer.objectID(parent.object)
        }
        writer.literal(",\"tree\":")
        writer.objectID(treeID)
        writer.literal(",\"paths\":")
        Self.append(info.paths, to: &writer)
        writer.literal(",\"hostname\":")
        writer.string(info.hostname)
        writer.literal(",\"username\":")
        writer.string(info.username)
        if !info.tags.isEmpty {
            writer.literal(",\"tags\":")
            Self.append(info.tags, to: &writer)
        }
        writer.literal("}")
        return writer.bytes
    }

    private static func append(_ texts: [String], to writer: inout JSONWriter) {
        writer.literal("[")
        for (index, text) in texts.enumerated() {
            if index > 0 { writer.literal(",") }
            writer.string(text)
        }
        writer.literal("]")
    }

    init(decoding bytes: [UInt8], id: ObjectID) throws {
        var time: Timestamp?
        var tree: ObjectID?
        var info = SnapshotInfo(time: .distantPast, hostname: "", tags: [], paths: [], username: "")
        var parent: SnapshotID?
        try JSONReader.read(bytes, what: "snapshot \(id)") { reader in
            try reader.object { key, reader in
                if key == "time" {
                    time = try reader.time()
                } else if key == "tree" {
                    tree = try reader.objectID()
                } else if key == "parent" {
                    parent = try reader.null() ? nil : SnapshotID(try reader.objectID())
                } else if key == "hostname" {
                    info.hostname = try reader.text()
                } else if key == "username" {
                    info.username = try reader.text()
                } else if key == "paths" {
                    try reader.array { reader in info.paths.append(try reader.text()) }
                } else if key == "tags" {
                    try reader.array { reader in info.tags.append(try reader.text()) }
                } else {
                    try reader.skipValue()
                }
            }
        }
        guard let time, let tree else {
            throw HoldfastError(.damaged, "snapshot \(id) has no time or no tree")
        }
        info.time = time.date
        self.init(info: info, parent: parent, tree: tree)
    }
}

/// One line of a listing of snapshots.
public struct SnapshotEntry: Sendable, Hashable, Identifiable {
    public let id: SnapshotID
    public let snapshot: Snapshot
}
