import Foundation
import HoldfastModel

/// An address as SMTP takes it: never anything that could end a line or an argument.
enum MailAddress {
    static func isValid(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, text.utf8.count <= 254 else { return false }
        let banned = Set("<>()[],;:\\\" ".unicodeScalars)
        return text.unicodeScalars.allSatisfy { $0.isPrintable && !banned.contains($0) }
    }
}

/// A notice as a mail: ASCII lines, whatever projects and environments are called.
///
/// Sources: RFC 5322 for the form, RFC 2047 for the subject, RFC 2045 for the body, RFC 3834 for `Auto-Submitted`.
struct MailMessage: Sendable {
    let from: String
    let to: [String]
    /// Without the line ends, as they are before SMTP doubles full stops.
    let lines: [String]

    /// - Parameters:
    ///   - from: a valid address.
    ///   - to: valid addresses.
    init(notice: Notice, from: String, to: [String]) {
        self.from = from
        self.to = to
        let text = NoticeText(notice: notice)
        let domain = from.split(separator: "@").last ?? "localhost"
        var lines = ["Date: \(Self.date(notice.at))", "From: Holdfast <\(from)>"]
        lines += Self.folded("To", to.map { "<\($0)>" })
        lines += Self.subject(text.subject)
        lines += [
            "Message-ID: <\(notice.id)@\(domain)>", "Auto-Submitted: auto-generated", "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "",
        ]
        lines += Self.base64(Data(text.body.utf8), width: 76)
        self.lines = lines
    }

    private static func folded(_ name: String, _ values: [String]) -> [String] {
        values.enumerated().map { index, value in
            let end = index == values.count - 1 ? "" : ","
            return (index == 0 ? "\(name): " : " ") + value + end
        }
    }

    /// Encoded words of at most 75 characters, one on each line; none ends within a code point. Control characters
    /// become spaces.
    private static func subject(_ whole: String) -> [String] {
        let scalars = whole.unicodeScalars.prefix(200).map { scalar in
            CharacterSet.controlCharacters.contains(scalar) ? " " : scalar
        }
        let text = String(String.UnicodeScalarView(scalars))
        let isPlain = text.count <= 60 && text.unicodeScalars.allSatisfy(\.isPrintable) && !text.contains("=?")
        if isPlain { return ["Subject: \(text)"] }
        var words: [String] = []
        var piece = ""
        for scalar in text.unicodeScalars {
            if piece.utf8.count + String(scalar).utf8.count > 42 {
                words.append(word(piece))
                piece = ""
            }
            piece.unicodeScalars.append(scalar)
        }
        if !piece.isEmpty { words.append(word(piece)) }
        return words.enumerated().map { $0 == 0 ? "Subject: \($1)" : " \($1)" }
    }

    private static func word(_ text: String) -> String { "=?utf-8?B?\(Data(text.utf8).base64EncodedString())?=" }

    private static func base64(_ data: Data, width: Int) -> [String] {
        let text = Array(data.base64EncodedString().utf8)
        return stride(from: 0, to: text.count, by: width).map {
            String(decoding: text[$0..<min($0 + width, text.count)], as: UTF8.self)
        }
    }

    /// Such as `Mon, 02 Mar 2026 04:05:06 +0000`.
    static func date(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss '+0000'"
        return formatter.string(from: date)
    }
}
