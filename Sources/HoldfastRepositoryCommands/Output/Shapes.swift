import Foundation
import HoldfastCommands
import HoldfastRepository

/// A snapshot as restic's JSON has it.
struct SnapshotShape: Encodable {
    let time: String
    let parent: String?
    let tree: String
    let paths: [String]
    let hostname: String
    let username: String
    let uid: UInt32?
    let gid: UInt32?
    let excludes: [String]?
    let tags: [String]?
    let original: String?
    let program_version: String?
    let id: String
    let short_id: String
    var struct_type: String?
    var message_type: String?

    init(_ record: SnapshotRecord) {
        let info = record.snapshot.info
        time = record.timeText
        parent = record.snapshot.parent?.description
        tree = record.tree
        paths = info.paths
        hostname = info.hostname
        username = info.username
        uid = record.userID == 0 ? nil : record.userID
        gid = record.groupID == 0 ? nil : record.groupID
        excludes = record.excludes.isEmpty ? nil : record.excludes
        tags = info.tags.isEmpty ? nil : info.tags
        original = record.original?.description
        program_version = record.programVersion.isEmpty ? nil : record.programVersion
        id = record.id.description
        short_id = record.shortID
    }
}

/// An entry of a tree as restic's `ls --json` has it.
struct NodeShape: Encodable {
    let name: String
    let type: String
    let path: String
    let uid: UInt32
    let gid: UInt32
    let size: UInt64?
    let mode: UInt32
    let permissions: String
    let mtime: String
    let atime: String
    let ctime: String
    var struct_type = "node"

    init(_ entry: EntryDetails) {
        name = entry.name
        type = entry.typeName
        path = entry.path
        uid = entry.userID
        gid = entry.groupID
        size = entry.size == 0 ? nil : entry.size
        mode = entry.goMode
        permissions = entry.modeText
        mtime = entry.modified.text
        atime = entry.accessed.text
        ctime = entry.changed.text
    }
}

/// An entry as restic's `find --json` has it.
struct MatchShape: Encodable {
    let path: String
    let permissions: String
    let type: String
    let mode: UInt32
    let mtime: String
    let atime: String
    let ctime: String
    let uid: UInt32
    let gid: UInt32
    let user: String?
    let group: String?
    let device_id: UInt64?
    let size: UInt64?
    let links: UInt64?
    let linktarget: String?

    init(_ entry: EntryDetails) {
        path = entry.path
        permissions = entry.modeText
        type = entry.typeName
        mode = entry.goMode
        mtime = entry.modified.text
        atime = entry.accessed.text
        ctime = entry.changed.text
        uid = entry.userID
        gid = entry.groupID
        user = entry.user.isEmpty ? nil : entry.user
        group = entry.group.isEmpty ? nil : entry.group
        device_id = entry.device == 0 ? nil : entry.device
        size = entry.size == 0 ? nil : entry.size
        links = entry.links == 0 ? nil : entry.links
        linktarget = entry.target.isEmpty ? nil : entry.target
    }
}

extension VerbContext {
    /// One JSON value on a line of its own.
    func write(json value: some Encodable) throws { output.out(try JSONText.line(value)) }
}

enum JSONText {
    static func line(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    }
}

/// Columns of text, each as wide as its widest cell.
enum Columns {
    static func text(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let widths = header.indices.map { index in all.map { TextWidth.of($0[index]) }.max() ?? 0 }
        return all.map { row in
            var line = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: max(0, width - TextWidth.of(cell)))
            }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

/// Times as people read them, on the wall clock where the verb runs.
struct PlainTime {
    private let formatter: DateFormatter

    init(_ surroundings: Surroundings) {
        formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = surroundings.timeZone
        formatter.dateFormat = "yyyy-MM-dd HH:mm:ss"
    }

    func text(_ time: Timestamp) -> String { formatter.string(from: time.date) }

    /// A line of a long listing.
    func line(_ entry: EntryDetails) -> String {
        let size = String(entry.size)
        let padded = String(repeating: " ", count: max(0, 6 - size.count)) + size
        let target = entry.target.isEmpty ? "" : " -> " + PlainText.name(entry.target)
        let owner = "\(entry.userID) \(entry.groupID)"
        return "\(entry.modeText) \(owner) \(padded) \(text(entry.modified)) \(PlainText.name(entry.path))\(target)"
    }
}
