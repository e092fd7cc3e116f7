import HoldfastModel

/// A snapshot object with everything that restic keeps in it; `Snapshot` holds what Holdfast itself needs.
package struct SnapshotRecord: Sendable, Identifiable {
    package let id: SnapshotID
    package let snapshot: Snapshot
    /// As it is in the object, with the offset of whoever wrote it.
    package let timeText: String
    package let time: Timestamp
    /// Seconds to add to UTC for the writer's wall clock: his days and hours are what a forget policy counts.
    package let offsetSeconds: Int64
    /// The snapshot that this one is a copy of, perhaps in another repository.
    package let original: SnapshotID?
    package let userID: UInt32
    package let groupID: UInt32
    package let excludes: [String]
    package let programVersion: String

    package var tree: String { snapshot.tree }
    package var shortID: String { String(id.description.prefix(8)) }

    init(decoding bytes: [UInt8], id: ObjectID) throws {
        snapshot = try Snapshot(decoding: bytes, id: id)
        self.id = SnapshotID(id)
        var timeText = ""
        var original: SnapshotID?
        var userID: UInt32 = 0
        var groupID: UInt32 = 0
        var excludes: [String] = []
        var programVersion = ""
        try JSONReader.read(bytes, what: "snapshot \(id)") { reader in
            try reader.object { key, reader in
                if key == "time" {
                    timeText = try reader.text()
                } else if key == "original" {
                    original = try reader.null() ? nil : SnapshotID(try reader.objectID())
                } else if key == "uid" {
                    userID = try reader.unsigned32()
                } else if key == "gid" {
                    groupID = try reader.unsigned32()
                } else if key == "excludes" {
                    try reader.array { reader in excludes.append(try reader.text()) }
                } else if key == "program_version" {
                    programVersion = try reader.text()
                } else {
                    try reader.skipValue()
                }
            }
        }
        guard let time = Timestamp(rfc3339Text: timeText) else {
            throw HoldfastError(.damaged, "snapshot \(id) has no time")
        }
        self.timeText = timeText
        self.time = time
        offsetSeconds = Self.offset(of: timeText)
        self.original = original
        self.userID = userID
        self.groupID = groupID
        self.excludes = excludes
        self.programVersion = programVersion
    }

    /// The offset at the end of a time, such as `+02:00`.
    private static func offset(of text: String) -> Int64 {
        let tail = Array(text.utf8.suffix(6))
        guard tail.count == 6, tail[3] == UInt8(ascii: ":"),
            tail[0] == UInt8(ascii: "+") || tail[0] == UInt8(ascii: "-")
        else { return 0 }
        func digits(_ at: Int) -> Int64 { Int64(tail[at] &- 48) * 10 + Int64(tail[at + 1] &- 48) }
        return (digits(1) * 3600 + digits(4) * 60) * (tail[0] == UInt8(ascii: "-") ? -1 : 1)
    }

    /// The object of a copy in another repository: without a parent, and with `original`.
    func encodedCopy() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"time\":")
        writer.string(timeText)
        writer.literal(",\"tree\":")
        writer.objectID(snapshot.treeID)
        writer.literal(",\"paths\":")
        Self.append(snapshot.info.paths, to: &writer)
        writer.literal(",\"hostname\":")
        writer.string(snapshot.info.hostname)
        writer.literal(",\"username\":")
        writer.string(snapshot.info.username)
        if userID != 0 {
            writer.literal(",\"uid\":")
            writer.number(userID)
        }
        if groupID != 0 {
            writer.literal(",\"gid\":")
            writer.number(groupID)
        }
        if !excludes.isEmpty {
            writer.literal(",\"excludes\":")
            Self.append(excludes, to: &writer)
        }
        if !snapshot.info.tags.isEmpty {
            writer.literal(",\"tags\":")
            Self.append(snapshot.info.tags, to: &writer)
        }
        writer.literal(",\"original\":")
        writer.objectID((original ?? id).object)
        if !programVersion.isEmpty {
            writer.literal(",\"program_version\":")
            writer.string(programVersion)
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

    /// Whether another snapshot says the same of the same files: then it is a copy.
    func isCopy(of other: SnapshotRecord) -> Bool {
        time == other.time && tree == other.tree && snapshot.info.hostname == other.snapshot.info.hostname
            && snapshot.info.username == other.snapshot.info.username && userID == other.userID
            && groupID == other.groupID && snapshot.info.paths == other.snapshot.info.paths
            && Set(snapshot.info.tags) == Set(other.snapshot.info.tags) && excludes == other.excludes
    }
}

extension Timestamp {
    package init?(rfc3339Text text: String) {
        var copy = text
        guard let time = copy.withUTF8({ Timestamp(rfc3339: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = time
    }

    /// RFC 3339 in UTC, as restic writes it.
    package var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Which snapshots are meant; with nothing set, all.
package struct SnapshotFilter: Sendable, Hashable {
    /// Any of these hosts.
    package var hosts: [String]
    /// Any of these lists; of a list all tags. An empty tag stands for snapshots without tags.
    package var tags: [[String]]
    /// All of these paths.
    package var paths: [String]

    package init(hosts: [String] = [], tags: [[String]] = [], paths: [String] = []) {
        self.hosts = hosts
        self.tags = tags
        self.paths = paths
    }

    package func includes(_ record: SnapshotRecord) -> Bool {
        let info = record.snapshot.info
        return (hosts.isEmpty || hosts.contains(info.hostname))
            && (tags.isEmpty || tags.contains { record.hasTags($0) })
            && paths.allSatisfy { info.paths.contains($0) }
    }
}

extension SnapshotRecord {
    /// Whether it has all these tags; an empty tag stands for having none.
    package func hasTags(_ wanted: [String]) -> Bool {
        let tags = snapshot.info.tags
        if wanted.contains("") && tags.isEmpty { return true }
        return wanted.allSatisfy { tags.contains($0) }
    }
}

extension Repository {
    /// All snapshots that a filter includes, oldest first.
    ///
    /// - Throws: `damaged` naming the first one that cannot be read; `check` names all.
    package func records(_ filter: SnapshotFilter = SnapshotFilter()) throws -> [SnapshotRecord] {
        var records: [SnapshotRecord] = []
        for entry in try store.list(.snapshot) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            do {
                let record = try SnapshotRecord(decoding: files.load(.snapshot, id), id: id)
                if filter.includes(record) { records.append(record) }
            } catch let error as HoldfastError where error.code == .notFound {
                continue  // forgotten meanwhile
            }
        }
        return records.sorted { ($0.time, $0.id.description) < ($1.time, $1.id.description) }
    }

    /// The snapshot that a text names: `latest`, of those that the filter includes, or the beginning of an id.
    ///
    /// - Throws: `notFound`; `invalidInput` if several ids begin so.
    package func record(_ text: String, _ filter: SnapshotFilter = SnapshotFilter()) throws -> SnapshotRecord {
        if text == "latest" {
            guard let newest = try records(filter).last else {
                throw HoldfastError(.notFound, "there is no snapshot of that host, path and tag")
            }
            return newest
        }
        let digits = text.utf8
        guard !text.isEmpty, digits.allSatisfy({ hexValue($0) != nil }) else {
            throw HoldfastError(
                .invalidInput, "'\(text)' is not the id of a snapshot", hint: "Give the beginning of an id, or 'latest'"
            )
        }
        let matching = try store.list(.snapshot).map(\.name.name).filter { $0.hasPrefix(text) }
        guard let name = matching.first, let id = ObjectID(hex: name) else {
            throw HoldfastError(.notFound, "there is no snapshot '\(text)'")
        }
        guard matching.count == 1 else {
            throw HoldfastError(
                .invalidInput, "\(matching.count) snapshots begin with '\(text)'", hint: "Give more digits of the id")
        }
        return try SnapshotRecord(decoding: files.load(.snapshot, id), id: id)
    }

    /// Runs a reading piece of work with restic's shared lock, or without one if the store cannot be written to.
    package func whileReading<Result>(_ body: () throws -> Result) throws -> Result {
        let lock = try lockForReading()
        defer { lock?.release() }
        return try body()
    }
}
