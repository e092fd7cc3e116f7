import NIOCore

/// The head of a request or a response, as it came: order and spelling of the fields are kept.
///
/// Bytes above 127 are kept too: texts here hold one Unicode scalar per byte (ISO 8859-1), and are written the same
/// way. That is why this is not the parser of NIOHTTP1, which replaces what is not UTF-8, knows a fixed set of
/// methods, and hides how a body was framed, which is what request smuggling is about.
package struct HTTPFields: Sendable, Equatable {
    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    package var list: [Field] = []

    package init() {}

    package subscript(name: String) -> [String] {
        list.filter { HTTPText.equal($0.name, name) }.map(\.value)
    }

    package func first(_ name: String) -> String? { list.first { HTTPText.equal($0.name, name) }?.value }

    package mutating func add(_ name: String, _ value: String) { list.append(Field(name: name, value: value)) }

    package mutating func remove(_ name: String) { list.removeAll { HTTPText.equal($0.name, name) } }

    package mutating func replace(_ name: String, _ value: String) {
        remove(name)
        add(name, value)
    }

    /// The members of a comma-separated list over all fields of that name, in lower case.
    package func tokens(_ name: String) -> [String] {
        self[name].flatMap { $0.split(separator: ",") }
            .map { HTTPText.trim($0).lowercased() }
            .filter { !$0.isEmpty }
    }
}

package struct HTTPRequestHead: Sendable, Equatable {
    package var method: String
    /// As it came: `/path?query`, an absolute URL, or `*`.
    package var target: String
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    package var minorVersion: Int
    package var fields: HTTPFields

    /// Whether the client wants to go on with this connection.
    package var wantsKeepAlive: Bool { HTTPText.keepsAlive(minorVersion, fields) }

    /// The target without its query.
    package var path: String {
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return target }
        return String(target[..<mark])
    }
}

package struct HTTPResponseHead: Sendable, Equatable {
    package var status: Int
    package var reason: String
    package var minorVersion: Int
    package var fields: HTTPFields

    package init(status: Int, reason: String, minorVersion: Int, fields: HTTPFields) {
        self.status = status
        self.reason = reason
        self.minorVersion = minorVersion
        self.fields = fields
    }

    package var wantsKeepAlive: Bool { HTTPText.keepsAlive(minorVersion, fields) }
    package var isInformational: Bool { status / 100 == 1 && status != 101 }
}

package enum HTTPText {
    /// Equal but for the case of ASCII letters.
    package static func equal(_ left: String, _ right: String) -> Bool {
        let left = left.utf8
        let right = right.utf8
        return left.count == right.count && zip(left, right).allSatisfy { lower($0) == lower($1) }
    }

    package static func trim(_ text: Substring) -> Substring {
        var text = text
        while let first = text.unicodeScalars.first, first == " " || first == "\t" { text.unicodeScalars.removeFirst() }
        while let last = text.unicodeScalars.last, last == " " || last == "\t" { text.unicodeScalars.removeLast() }
        return text
    }

    /// One scalar per byte.
    package static func text(_ bytes: some Collection<UInt8>) -> String {
        if bytes.allSatisfy({ $0 < 0x80 }) { return String(decoding: bytes, as: UTF8.self) }
        var scalars = String.UnicodeScalarView()
        for byte in bytes { scalars.append(Unicode.Scalar(byte)) }
        return String(scalars)
    }

    package static func keepsAlive(_ minorVersion: Int, _ fields: HTTPFields) -> Bool {
        let connection = fields.tokens("connection")
        if connection.contains("close") { return false }
        return minorVersion >= 1 || connection.contains("keep-alive")
    }

    /// tchar of RFC 9110, 5.6.2.
    package static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}

extension ByteBuffer {
    /// Writes a text of `HTTPText.text`: one byte per scalar.
    package mutating func writeHTTP(_ text: String) {
        if text.utf8.allSatisfy({ $0 < 0x80 }) {
            writeString(text)
        } else {
            writeBytes(text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) })
        }
    }

    package mutating func write(_ fields: HTTPFields) {
        for field in fields.list {
            writeHTTP(field.name)
            writeStaticString(": ")
            writeHTTP(field.value)
            writeStaticString("\r\n")
        }
        writeStaticString("\r\n")
    }

    package mutating func write(_ head: HTTPRequestHead) {
        writeHTTP(head.method)
        writeStaticString(" ")
        writeHTTP(head.target)
        writeStaticString(" HTTP/1.1\r\n")
        write(head.fields)
    }

    package mutating func write(_ head: HTTPResponseHead) {
        writeStaticString("HTTP/1.1 ")
        writeString(String(head.status))
        writeStaticString(" ")
        writeHTTP(head.reason)
        writeStaticString("\r\n")
        write(head.fields)
    }
}
