/// Names in trees are quoted as by Go's `strconv.Quote` before they become JSON strings: that carries names that are
/// not UTF-8 through JSON.
package enum GoQuoting {
    /// The quoted form without the quotes around it.
    package static func quote(_ name: [UInt8]) -> [UInt8] {
        if name.allSatisfy({ (32..<127).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            return name
        }
        var result: [UInt8] = []
        result.reserveCapacity(name.count + 8)
        var index = 0
        while index < name.count {
            let (scalar, length) = decode(name, at: index)
            if let scalar {
                append(scalar, Array(name[index..<index + length]), to: &result)
            } else {
                result.append(contentsOf: "\\x".utf8)
                appendHex(UInt32(name[index]), digits: 2, to: &result)
            }
            index += length
        }
        return result
    }

    /// The name behind a quoted form; nil if it is none.
    package static func unquote(_ text: [UInt8]) -> [UInt8]? {
        guard text.contains(UInt8(ascii: "\\")) else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            guard text[index] == UInt8(ascii: "\\") else {
                result.append(text[index])
                index += 1
                continue
            }
            guard index + 1 < text.count else { return nil }
            let kind = text[index + 1]
            index += 2
            if let single = singleEscapes[kind] {
                result.append(single)
            } else if let digits = hexEscapes[kind] {
                guard let value = number(text, at: index, digits: digits, base: 16) else { return nil }
                index += digits
                if digits == 2 {
                    result.append(UInt8(value))
                } else {
                    guard let scalar = Unicode.Scalar(value) else { return nil }
                    result.append(contentsOf: String(Character(scalar)).utf8)
                }
            } else if (48...55).contains(kind) {
                guard let value = number(text, at: index - 1, digits: 3, base: 8), value < 256 else { return nil }
                result.append(UInt8(value))
                index += 2
            } else {
                return nil
            }
        }
        return result
    }

    private static let singleEscapes: [UInt8: UInt8] = [
        UInt8(ascii: "a"): 7, UInt8(ascii: "b"): 8, UInt8(ascii: "f"): 12, UInt8(ascii: "n"): 10,
        UInt8(ascii: "r"): 13, UInt8(ascii: "t"): 9, UInt8(ascii: "v"): 11, UInt8(ascii: "\\"): 92,
        UInt8(ascii: "\""): 34,
    ]
    private static let hexEscapes: [UInt8: Int] = [UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8]

    private static func append(_ scalar: Unicode.Scalar, _ encoded: [UInt8], to result: inout [UInt8]) {
        switch scalar {
        case "\u{7}": result.append(contentsOf: "\\a".utf8)
        case "\u{8}": result.append(contentsOf: "\\b".utf8)
        case "\u{C}": result.append(contentsOf: "\\f".utf8)
        case "\n": result.append(contentsOf: "\\n".utf8)
        case "\r": result.append(contentsOf: "\\r".utf8)
        case "\t": result.append(contentsOf: "\\t".utf8)
        case "\u{B}": result.append(contentsOf: "\\v".utf8)
        case "\"": result.append(contentsOf: "\\\"".utf8)
        case "\\": result.append(contentsOf: "\\\\".utf8)
        default:
            if isPrintable(scalar) {
                result.append(contentsOf: encoded)
            } else if scalar.value < 0x80 {
                result.append(contentsOf: "\\x".utf8)
                appendHex(scalar.value, digits: 2, to: &result)
            } else if scalar.value < 0x10000 {
                result.append(contentsOf: "\\u".utf8)
                appendHex(scalar.value, digits: 4, to: &result)
            } else {
                result.append(contentsOf: "\\U".utf8)
                appendHex(scalar.value, digits: 8, to: &result)
            }
        }
    }

    /// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    /// The scalar at `index` and its length; nil and one byte if there is no valid UTF-8.
    private static func decode(_ name: [UInt8], at index: Int) -> (Unicode.Scalar?, Int) {
        let lead = name[index]
        let length: Int
        switch lead {
        case 0..<0x80: return (Unicode.Scalar(lead), 1)
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF: length = 3
        case 0xF0...0xF4: length = 4
        default: return (nil, 1)
        }
        guard index + length <= name.count else { return (nil, 1) }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for byte in name[index + 1..<index + length] {
            guard byte & 0xC0 == 0x80 else { return (nil, 1) }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        let smallest: UInt32 = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000
        guard value >= smallest, let scalar = Unicode.Scalar(value) else { return (nil, 1) }
        return (scalar, length)
    }

    private static func appendHex(_ value: UInt32, digits: Int, to result: inout [UInt8]) {
        for position in stride(from: digits - 1, through: 0, by: -1) {
            result.append(hexDigit(UInt8(value >> UInt32(4 * position) & 15)))
        }
    }

    private static func number(_ text: [UInt8], at index: Int, digits: Int, base: UInt32) -> UInt32? {
        guard index + digits <= text.count else { return nil }
        var value: UInt32 = 0
        for byte in text[index..<index + digits] {
            guard let digit = hexValue((65...70).contains(byte) ? byte + 32 : byte), digit < base else { return nil }
            value = value &* base &+ UInt32(digit)
        }
        return value
    }
}
