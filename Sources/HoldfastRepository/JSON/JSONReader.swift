import Foundation
import Glibc
import HoldfastModel

/// A member's name, compared with literals without making a string of it.
struct JSONKey {
    let bytes: UnsafeRawBufferPointer

    static func == (key: JSONKey, literal: StaticString) -> Bool {
        guard key.bytes.count == literal.utf8CodeUnitCount, let base = key.bytes.baseAddress else { return false }
        return memcmp(base, literal.utf8Start, key.bytes.count) == 0
    }
}

/// Reads JSON from memory, member by member, without building a document: trees and indexes are large.
///
/// Anything that is not JSON, or not of the expected type, throws `damaged` naming the object and the offset.
struct JSONReader {
    private let bytes: UnsafeRawBufferPointer
    private let what: String
    private(set) var position = 0

    /// Reads one value that must be the whole text.
    ///
    /// - Parameter what: names the object in errors, such as `index 3f2a…`.
    static func read(
        _ bytes: UnsafeRawBufferPointer, what: String, _ body: (inout JSONReader) throws -> Void
    ) throws {
        var reader = JSONReader(bytes: bytes, what: what)
        try body(&reader)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.fault("text after the end") }
    }

    static func read(_ bytes: [UInt8], what: String, _ body: (inout JSONReader) throws -> Void) throws {
        try bytes.withUnsafeBytes { try read($0, what: what, body) }
    }

    private init(bytes: UnsafeRawBufferPointer, what: String) {
        self.bytes = bytes
        self.what = what
    }

    func fault(_ reason: String) -> HoldfastError {
        HoldfastError(.damaged, "\(what) is not as expected: \(reason) at byte \(position)")
    }

    /// Calls `member` for each member; it must consume the value. `null` counts as an empty object.
    mutating func object(_ member: (JSONKey, inout JSONReader) throws -> Void) throws {
        if try null() { return }
        try expect(UInt8(ascii: "{"))
        if accept(UInt8(ascii: "}")) { return }
        repeat {
            skipSpace()
            let key = try rawString()
            try expect(UInt8(ascii: ":"))
            try member(JSONKey(bytes: key.bytes), &self)
        } while accept(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    /// Calls `element` for each element; it must consume the value. `null` counts as an empty array.
    mutating func array(_ element: (inout JSONReader) throws -> Void) throws {
        if try null() { return }
        try expect(UInt8(ascii: "["))
        if accept(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while accept(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"))
    }

    /// The bytes of a string, unescaped.
    mutating func string() throws -> [UInt8] {
        skipSpace()
        let raw = try rawString()
        guard raw.hasEscapes else { return [UInt8](raw.bytes) }
        return try unescape(raw.bytes)
    }

    mutating func text() throws -> String { String(decoding: try string(), as: UTF8.self) }

    mutating func objectID() throws -> ObjectID {
        skipSpace()
        let raw = try rawString()
        guard let id = ObjectID(hex: raw.bytes) else { throw fault("not an id") }
        return id
    }

    mutating func base64() throws -> [UInt8] {
        if try null() { return [] }
        guard let data = Data(base64Encoded: Data(try string())) else { throw fault("not base64") }
        return [UInt8](data)
    }

    mutating func time() throws -> Timestamp {
        skipSpace()
        let raw = try rawString()
        guard let time = Timestamp(rfc3339: raw.bytes) else { throw fault("not a time") }
        return time
    }

    mutating func unsigned() throws -> UInt64 {
        skipSpace()
        var value: UInt64 = 0
        let start = position
        while position < bytes.count, case let digit = bytes[position], (48...57).contains(digit) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit - 48))
            if overflow || carry { throw fault("number too large") }
            value = sum
            position += 1
        }
        guard position > start else { throw fault("not a whole number") }
        return value
    }

    mutating func unsigned32() throws -> UInt32 {
        guard let value = UInt32(exactly: try unsigned()) else { throw fault("number too large") }
        return value
    }

    mutating func integer() throws -> Int {
        skipSpace()
        let isNegative = accept(UInt8(ascii: "-"))
        guard let value = Int(exactly: try unsigned()) else { throw fault("number too large") }
        return isNegative ? -value : value
    }

    mutating func boolean() throws -> Bool {
        if consume("true") { return true }
        if consume("false") { return false }
        throw fault("not true or false")
    }

    /// Consumes `null` if it is next.
    mutating func null() throws -> Bool { consume("null") }

    /// Skips any one value; nesting is counted, not recursed into.
    mutating func skipValue() throws {
        var depth = 0
        repeat {
            skipSpace()
            guard position < bytes.count else { throw fault("end of text") }
            switch bytes[position] {
            case UInt8(ascii: "\""): _ = try rawString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                position += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw fault("value expected") }
                position += 1
            default: skipScalar()
            }
        } while depth > 0
        guard depth == 0 else { throw fault("value expected") }
    }

    private mutating func skipScalar() {
        while position < bytes.count {
            switch bytes[position] {
            case 44, 58, 93, 125, 32, 9, 10, 13: return
            default: position += 1
            }
        }
    }

    mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 32, 9, 10, 13: position += 1
            default: return
            }
        }
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws {
        guard accept(byte) else { throw fault("'\(Character(UnicodeScalar(byte)))' expected") }
    }

    private mutating func consume(_ word: StaticString) -> Bool {
        skipSpace()
        let length = word.utf8CodeUnitCount
        guard position + length <= bytes.count, let base = bytes.baseAddress,
            memcmp(base + position, word.utf8Start, length) == 0
        else { return false }
        position += length
        return true
    }

    private mutating func rawString() throws -> (bytes: UnsafeRawBufferPointer, hasEscapes: Bool) {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw fault("string expected") }
        position += 1
        let start = position
        var hasEscapes = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let slice = UnsafeRawBufferPointer(rebasing: bytes[start..<position])
                position += 1
                return (slice, hasEscapes)
            }
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                position += 1
            }
            position += 1
        }
        throw fault("string without end")
    }

    private func unescape(_ raw: UnsafeRawBufferPointer) throws -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(raw.count)
        var index = 0
        while index < raw.count {
            let byte = raw[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            guard index < raw.count else { throw fault("escape without end") }
            let kind = raw[index]
            index += 1
            switch kind {
            case UInt8(ascii: "n"): result.append(10)
            case UInt8(ascii: "t"): result.append(9)
            case UInt8(ascii: "r"): result.append(13)
            case UInt8(ascii: "b"): result.append(8)
            case UInt8(ascii: "f"): result.append(12)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(kind)
            case UInt8(ascii: "u"):
                let scalar = try escapedScalar(raw, &index)
                result.append(contentsOf: String(Character(scalar)).utf8)
            default: throw fault("unknown escape")
            }
        }
        return result
    }

    /// The scalar whose four hexadecimal digits are at `index`, with the second half of its surrogate pair behind them
    /// if it has one; half a pair becomes U+FFFD.
    private func escapedScalar(_ raw: UnsafeRawBufferPointer, _ index: inout Int) throws -> Unicode.Scalar {
        let replacement: Unicode.Scalar = "\u{FFFD}"
        guard let first = hexNumber(raw, at: index) else { throw fault("bad \\u escape") }
        index += 4
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, index + 6 <= raw.count, raw[index] == UInt8(ascii: "\\"),
            raw[index + 1] == UInt8(ascii: "u"), let second = hexNumber(raw, at: index + 2),
            (0xDC00..<0xE000).contains(second)
        else { return replacement }
        index += 6
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? replacement
    }

    private func hexNumber(_ raw: UnsafeRawBufferPointer, at index: Int) -> UInt32? {
        guard index + 4 <= raw.count else { return nil }
        var value: UInt32 = 0
        for offset in 0..<4 {
            let digit = raw[index + offset]
            guard let nibble = hexValue((65...70).contains(digit) ? digit + 32 : digit) else { return nil }
            value = value << 4 | UInt32(nibble)
        }
        return value
    }
}
