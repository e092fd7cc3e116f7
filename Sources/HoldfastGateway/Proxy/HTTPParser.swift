import NIOCore

/// Why bytes are not HTTP/1.1 that may be passed on, with the status to answer.
package struct HTTPProblem: Error, Equatable {
    package var status: Int
    package var text: String

    package init(_ status: Int, _ text: String) {
        self.status = status
        self.text = text
    }
}

/// Takes heads off a buffer. Strict: what two programs could read differently is refused (RFC 9112, 11.2).
package struct HTTPHeadParser {
    package var limits: Limits
    /// How far the buffer was searched for the head's end, so that a slow sender does not make it quadratic.
    private var searched = 0

    package struct Limits: Sendable {
        package var headBytes: Int
        package var targetBytes: Int
        package var fields: Int

        package init(headBytes: Int, targetBytes: Int, fields: Int) {
            self.headBytes = headBytes
            self.targetBytes = targetBytes
            self.fields = fields
        }

        package static let response = Limits(headBytes: 256 << 10, targetBytes: 0, fields: 512)
    }

    package init(limits: Limits) { self.limits = limits }

    /// The next request, or nil if it is not complete yet.
    package mutating func request(from buffer: inout ByteBuffer) throws -> HTTPRequestHead? {
        if searched == 0 {
            Self.skipEmptyLines(&buffer)
            // Half an empty line: what it is the next byte says.
            if buffer.readableBytes == 1, buffer.readableBytesView.first == 13 { return nil }
        }
        guard let bytes = try takeHead(from: &buffer, 431) else {
            try checkTargetOfPart(buffer)
            return nil
        }
        var lines = Lines(bytes)
        let first = lines.next() ?? []
        let parts = first.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].count <= 64, parts[0].allSatisfy(HTTPText.isToken) else {
            throw HTTPProblem(400, "the request line is not one of HTTP/1.1")
        }
        guard parts[1].count <= limits.targetBytes else { throw HTTPProblem(414, "the address is too long") }
        guard !parts[1].isEmpty, parts[1].allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw HTTPProblem(400, "the address has characters that are not allowed")
        }
        return HTTPRequestHead(
            method: HTTPText.text(parts[0]), target: HTTPText.text(parts[1]),
            minorVersion: try Self.minorVersion(parts[2]), fields: try fields(&lines))
    }

    /// The next response, or nil if it is not complete yet.
    package mutating func response(from buffer: inout ByteBuffer) throws -> HTTPResponseHead? {
        guard let bytes = try takeHead(from: &buffer, 502) else { return nil }
        var lines = Lines(bytes)
        let first = lines.next() ?? []
        let parts = first.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[1].count == 3, let status = Int(String(decoding: parts[1], as: UTF8.self)),
            (100...999).contains(status)
        else { throw HTTPProblem(502, "the status line is not one of HTTP/1.1") }
        let reason = parts.count == 3 ? parts[2] : []
        guard reason.allSatisfy(Self.isText) else { throw HTTPProblem(502, "the reason has control characters") }
        return HTTPResponseHead(
            status: status, reason: HTTPText.text(reason), minorVersion: try Self.minorVersion(parts[0]),
            fields: try fields(&lines))
    }

    /// Trailer fields up to the empty line; nil if they are not complete yet.
    package mutating func trailers(from buffer: inout ByteBuffer) throws -> HTTPFields? {
        if buffer.readableBytesView.starts(with: [13, 10]) {
            buffer.moveReaderIndex(forwardBy: 2)
            return HTTPFields()
        }
        guard let bytes = try takeHead(from: &buffer, 431) else { return nil }
        var lines = Lines(bytes)
        return try fields(&lines)
    }

    /// The bytes up to the empty line, which is taken off with them.
    private mutating func takeHead(from buffer: inout ByteBuffer, _ overflow: Int) throws -> ArraySlice<UInt8>? {
        let view = buffer.readableBytesView
        var index = view.startIndex + max(0, searched - 3)
        while index + 3 < view.endIndex {
            if view[index + 3] > 13 {
                index += 4
            } else if view[index] == 13, view[index + 1] == 10, view[index + 2] == 13, view[index + 3] == 10 {
                let length = index - view.startIndex
                guard length <= limits.headBytes else { throw HTTPProblem(overflow, "the head is too large") }
                searched = 0
                let bytes = buffer.readBytes(length: length + 4) ?? []
                return bytes.dropLast(4)
            } else {
                index += 1
            }
        }
        searched = view.count
        guard view.count <= limits.headBytes else { throw HTTPProblem(overflow, "the head is too large") }
        return nil
    }

    /// A target that is too long is refused before the whole of it has come.
    private func checkTargetOfPart(_ buffer: ByteBuffer) throws {
        let start = buffer.readableBytesView.prefix(limits.targetBytes + 80)
        if start.count == limits.targetBytes + 80, !start.contains(13) {
            throw HTTPProblem(414, "the address is too long")
        }
    }

    private func fields(_ lines: inout Lines) throws -> HTTPFields {
        var fields = HTTPFields()
        while let line = lines.next() {
            guard fields.list.count < limits.fields else { throw HTTPProblem(431, "there are too many header fields") }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                line[..<colon].allSatisfy(HTTPText.isToken)
            else { throw HTTPProblem(400, "a header field has no valid name") }
            var value = line[(colon + 1)...]
            while let byte = value.first, byte == 0x20 || byte == 0x09 { value.removeFirst() }
            while let byte = value.last, byte == 0x20 || byte == 0x09 { value.removeLast() }
            guard value.allSatisfy(Self.isText) else {
                throw HTTPProblem(400, "a header field has control characters")
            }
            fields.add(HTTPText.text(line[..<colon]), HTTPText.text(value))
        }
        return fields
    }

    /// Empty lines before a request are left over from a sloppy one before it (RFC 9112, 2.2).
    private static func skipEmptyLines(_ buffer: inout ByteBuffer) {
        while buffer.readableBytesView.starts(with: [13, 10]) { buffer.moveReaderIndex(forwardBy: 2) }
    }

    private static func minorVersion(_ text: ArraySlice<UInt8>) throws -> Int {
        guard text.count == 8, text.starts(with: "HTTP/".utf8), let minor = text.last,
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(minor)
        else { throw HTTPProblem(400, "the protocol is not HTTP/1.1") }
        guard text.dropFirst(5).starts(with: "1.".utf8) else { throw HTTPProblem(505, "only HTTP/1 is spoken here") }
        return minor == UInt8(ascii: "0") ? 0 : 1
    }

    private static func isText(_ byte: UInt8) -> Bool { byte == 0x09 || (byte >= 0x20 && byte != 0x7f) }

    /// Lines that end with CR LF. A lone CR or LF stays in its line, where the checks of the characters find it.
    private struct Lines {
        private var rest: ArraySlice<UInt8>
        private var isDone = false

        init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

        mutating func next() -> ArraySlice<UInt8>? {
            guard !isDone else { return nil }
            var index = rest.startIndex
            while index + 1 < rest.endIndex {
                if rest[index] == 13, rest[index + 1] == 10 {
                    defer { rest = rest[(index + 2)...] }
                    return rest[..<index]
                }
                index += 1
            }
            isDone = true
            return rest
        }
    }
}
