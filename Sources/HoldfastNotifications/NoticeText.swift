import Foundation
import HoldfastModel

/// A notice in words and as JSON.
struct NoticeText {
    let notice: Notice

    /// One line, which may hold whatever a project is called.
    var subject: String {
        let mark =
            switch notice.change {
            case .raised: notice.kind == .test ? "test" : "PROBLEM"
            case .recovered: "recovered"
            case .ended: "ended"
            }
        return "[holdfast] \(mark): \(notice.place): \(Self.headline(notice.kind))"
    }

    /// Lines of plain text.
    var body: String {
        var lines = ["\(notice.place): \(notice.text).", ""]
        lines.append("What: \(notice.kind.rawValue), \(notice.change.rawValue)")
        lines.append("Noticed: \(notice.at.formatted(.iso8601))")
        lines.append("Since: \(notice.since.formatted(.iso8601))")
        if let project = notice.project { lines.append("Project: \(project)") }
        if let activity = notice.activity { lines.append("More: holdfast activity:log \(activity)") }
        lines.append("Notice: \(notice.id)")
        return lines.joined(separator: "\n") + "\n"
    }

    /// What programs get: sorted keys, ISO 8601 dates.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return try encoder.encode(notice)
    }

    private static func headline(_ kind: Notice.Kind) -> String {
        switch kind {
        case .backupFailed: "backup failed"
        case .backupOverdue: "backup overdue"
        case .backupDegraded: "backup not on all sites"
        case .policyFailed: "backup policy not applied"
        case .pruneFailed: "space not freed"
        case .drillFailed: "restore drill failed"
        case .clockJumped: "clock has jumped"
        case .test: "notifications arrive"
        }
    }
}
