import Foundation
import Glibc

/// Writes JSON into one growing buffer, in the form of Go's `encoding/json`, so that equal trees have equal ids
/// whichever program wrote them.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    /// Text that is JSON already.
    mutating func literal(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func string(_ text: String) {
        var copy = text
        copy.withUTF8 { string($0) }
    }

    mutating func string(_ text: [UInt8]) { text.withUnsafeBufferPointer { string($0) } }

    /// Quotes text as Go does: `<`, `>`, `&`, U+2028 and U+2029 are escaped; bytes that are not UTF-8 become U+FFFD.
    mutating func string(_ text: UnsafeBufferPointer<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        var plain = 0
        for byte in text {
            guard byte < 128, !Self.needsEscape(byte) else { break }
            plain += 1
        }
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[..<plain]))
        if plain < text.count {
            let rest = UnsafeBufferPointer(rebasing: text[plain...])
            for scalar in String(decoding: rest, as: UTF8.self).unicodeScalars { escaped(scalar) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func number(_ value: some BinaryInteger) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = UInt64(value.magnitude)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var index = 20
            repeat {
                index -= 1
                digits[index] = UInt8(48 + rest % 10)
                rest /= 10
            } while rest > 0
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: digits[index..<20]))
        }
    }

    mutating func base64(_ value: [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: Data(value).base64EncodedData())
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func time(_ time: Timestamp) {
        bytes.append(UInt8(ascii: "\""))
        time.append(to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func objectID(_ id: ObjectID) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 66) { buffer in
            guard let base = buffer.baseAddress else { return }
            base[0] = UInt8(ascii: "\"")
            id.storeHex(to: base + 1)
            base[65] = UInt8(ascii: "\"")
            bytes.append(contentsOf: buffer)
        }
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case 0..<32, UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
            true
        default: false
        }
    }

    private mutating func escaped(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": literal("\\\"")
        case "\\": literal("\\\\")
        case "\n": literal("\\n")
        case "\r": literal("\\r")
        case "\t": literal("\\t")
        case "<", ">", "&", "\u{2028}", "\u{2029}", "\u{0}"..."\u{1F}":
            literal("\\u")
            for shift in [12, 8, 4, 0] { bytes.append(hexDigit(UInt8(scalar.value >> UInt32(shift) & 15))) }
        default: bytes.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
        }
    }
}
