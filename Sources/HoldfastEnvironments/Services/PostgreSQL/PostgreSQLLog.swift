import Foundation
import HoldfastModel

/// A position in the write-ahead log (LSN), written as `0/16B3748`.
package struct LogPosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let value: UInt64

    package init(_ value: UInt64) { self.value = value }

    /// - Throws: `damaged` if the text is not a position.
    package init(_ text: some StringProtocol) throws {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let high = UInt32(parts[0], radix: 16), let low = UInt32(parts[1], radix: 16) else {
            throw HoldfastError(.damaged, "'\(text.prefix(40))' is not a position in a write-ahead log")
        }
        value = UInt64(high) << 32 | UInt64(low)
    }

    package var description: String {
        String(value >> 32, radix: 16, uppercase: true) + "/"
            + String(value & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }

    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// The write-ahead log of one timeline as a row of files of one size.
///
/// Source: PostgreSQL manual, "Write-Ahead Logging: WAL Internals"; `XLogFileName` in access/xlog_internal.h.
package struct LogSegments: Sendable, Hashable {
    package let timeline: UInt32
    /// Bytes of each file; a power of two, usually 16 MiB.
    package let size: UInt64

    package init(timeline: UInt32, size: UInt64) {
        self.timeline = timeline
        self.size = size
    }

    /// Number of the file that holds the byte at a position.
    package func number(at position: LogPosition) -> UInt64 { position.value / size }

    /// Number of the file that holds the last byte before a position.
    package func number(before position: LogPosition) -> UInt64 {
        position.value == 0 ? 0 : (position.value - 1) / size
    }

    /// Bytes of that last file up to the position: 1 to `size`.
    package func length(before position: LogPosition) -> UInt64 {
        position.value - number(before: position) * size
    }

    package func name(_ number: UInt64) -> String {
        let perGroup = 0x1_0000_0000 / size
        return [UInt64(timeline), number / perGroup, number % perGroup].map { part in
            let text = String(part, radix: 16, uppercase: true)
            return String(repeating: "0", count: max(0, 8 - text.count)) + text
        }.joined()
    }

    /// The files that recovery reads from the start of a backup to its mark, in order.
    package func names(from start: LogPosition, to mark: LogPosition) -> [String] {
        let first = number(at: start)
        return (first...max(first, number(before: mark))).map(name)
    }

    /// Whether a file's name is that of a segment of any timeline: 24 upper-case hexadecimal digits.
    package static func isSegmentName(_ name: some StringProtocol) -> Bool {
        name.utf8.count == 24
            && name.utf8.allSatisfy { (48...57).contains($0) || (65...70).contains($0) }
    }
}

/// What Holdfast reads out of a `backup_label`, which itself is stored byte for byte.
package struct BackupLabel: Sendable, Hashable {
    package let start: LogPosition
    /// Name of the first log file that recovery needs.
    package let segment: String
    package let timeline: UInt32

    /// - Throws: `damaged` if the first line is not that of a label.
    package init(_ text: String) throws {
        let first = text.prefix { !$0.isNewline }
        let prefix = "START WAL LOCATION: "
        let parts = first.dropFirst(prefix.count).split(separator: " ")
        guard first.hasPrefix(prefix), parts.count == 3, parts[1] == "(file", parts[2].hasSuffix(")") else {
            throw HoldfastError(.damaged, "the backup label begins with '\(first.prefix(80))'")
        }
        segment = String(parts[2].dropLast())
        guard LogSegments.isSegmentName(segment), let timeline = UInt32(segment.prefix(8), radix: 16) else {
            throw HoldfastError(.damaged, "the backup label names '\(segment.prefix(80))' as its first log file")
        }
        start = try LogPosition(parts[0])
        self.timeline = timeline
    }
}

/// A mark as it travels in `ServiceManifest.mark`.
package struct PostgreSQLMark: Sendable, Hashable, Codable {
    /// Name of the restore point.
    package var restorePoint: String
    /// Just behind the restore point's record.
    package var position: String
    package var start: String
    package var firstSegment: String
    package var lastSegment: String
    package var timeline: UInt32
    package var systemIdentifier: String

    package init(
        restorePoint: String, range: (start: LogPosition, end: LogPosition), segments: LogSegments,
        systemIdentifier: String
    ) {
        let names = segments.names(from: range.start, to: range.end)
        self.restorePoint = restorePoint
        position = range.end.description
        start = range.start.description
        firstSegment = names[0]
        lastSegment = names[names.count - 1]
        timeline = segments.timeline
        self.systemIdentifier = systemIdentifier
    }

    package var fields: [String: String] {
        [
            "restore_point": restorePoint, "lsn": position, "start_lsn": start, "first_wal": firstSegment,
            "last_wal": lastSegment, "timeline": String(timeline), "system_identifier": systemIdentifier,
        ]
    }
}

extension PostgreSQLMark {
    /// Reads a manifest's fields, which are hostile until this returns.
    ///
    /// - Throws: `damaged` naming the first field that is missing or wrong.
    package init(fields: [String: String]) throws {
        func field(_ key: String, _ isValid: (String) -> Bool) throws -> String {
            guard let value = fields[key], isValid(value) else {
                throw HoldfastError(.damaged, "the backup's mark has no usable '\(key)'")
            }
            return value
        }
        let isPosition = { (text: String) in (try? LogPosition(text)) != nil }
        restorePoint = try field("restore_point", Self.isRestorePoint)
        position = try field("lsn", isPosition)
        start = try field("start_lsn", isPosition)
        firstSegment = try field("first_wal", LogSegments.isSegmentName)
        lastSegment = try field("last_wal", LogSegments.isSegmentName)
        timeline = UInt32(try field("timeline") { (UInt32($0) ?? 0) > 0 }) ?? 0
        systemIdentifier = try field("system_identifier") { UInt64($0) != nil }
    }

    /// Names that we give to restore points; the server allows 63 bytes of anything.
    package static func isRestorePoint(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    }
}
