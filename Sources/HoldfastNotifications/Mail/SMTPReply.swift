import HoldfastModel

/// An answer of a mail server: a code, and its lines without the code.
struct SMTPReply: Sendable, Hashable {
    var code: Int
    var lines: [String]

    /// For people: printable, and short.
    var text: String {
        let shown = lines.joined(separator: " ").unicodeScalars.filter(\.isPrintable).prefix(200)
        return "\(code) " + String(String.UnicodeScalarView(shown))
    }

    /// Whether the same will fail in the same way again: 5xx.
    var isPermanent: Bool { (500..<600).contains(code) }
}

/// Takes the bytes of a server apart.
///
/// Source: RFC 5321, section 4.2.
struct SMTPReader {
    /// Bytes of a line, and lines of an answer, at most.
    static let longestLine = 4096
    static let mostLines = 200

    private var line: [UInt8] = []
    private var lines: [String] = []
    private var code: Int?

    /// Something of an answer that has not ended is there.
    var isInside: Bool { !line.isEmpty || !lines.isEmpty }

    /// - Returns: the answers that are complete with these bytes.
    /// - Throws: `damaged` if that is not how a mail server speaks.
    mutating func take(_ bytes: some Sequence<UInt8>) throws -> [SMTPReply] {
        var replies: [SMTPReply] = []
        for byte in bytes {
            guard byte == 10 else {
                line.append(byte)
                if line.count > Self.longestLine { throw fault("a line of more than \(Self.longestLine) bytes") }
                continue
            }
            if line.last == 13 { line.removeLast() }
            if let reply = try endLine() { replies.append(reply) }
        }
        return replies
    }

    private mutating func endLine() throws -> SMTPReply? {
        let digits = line.prefix(3)
        guard digits.count == 3, digits.allSatisfy({ (48...57).contains($0) }),
            let number = Int(String(decoding: digits, as: UTF8.self)), code == nil || code == number
        else { throw fault("a line without a code") }
        let mark = line.count > 3 ? line[3] : 32
        guard mark == 32 || mark == 45 else { throw fault("a line without a code") }
        lines.append(String(decoding: line.dropFirst(4), as: UTF8.self))
        guard lines.count <= Self.mostLines else { throw fault("an answer of more than \(Self.mostLines) lines") }
        line = []
        code = number
        guard mark == 32 else { return nil }
        defer { (code, lines) = (nil, []) }
        return SMTPReply(code: number, lines: lines)
    }

    private func fault(_ what: String) -> HoldfastError {
        HoldfastError(.damaged, "the mail server sends \(what)", hint: "Look whether host, port and security are right")
    }
}
