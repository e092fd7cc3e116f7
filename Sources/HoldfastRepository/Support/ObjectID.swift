/// SHA-256 of something in the repository: 32 bytes, compared and hashed as four words.
struct ObjectID: Hashable, Sendable, CustomStringConvertible {
    private let first: UInt64
    private let second: UInt64
    private let third: UInt64
    private let fourth: UInt64

    /// Reads 32 bytes; the caller guarantees that they are there.
    init(_ bytes: UnsafeRawPointer) {
        first = bytes.loadUnaligned(as: UInt64.self)
        second = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        third = bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
        fourth = bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    }

    /// Reads 64 lowercase hexadecimal digits; nil for anything else.
    init?(hex: UnsafeRawBufferPointer) {
        guard hex.count == 64 else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let isValid = withUnsafeMutableBytes(of: &words) { bytes in
            for index in 0..<32 {
                guard let high = hexValue(hex[2 * index]), let low = hexValue(hex[2 * index + 1]) else { return false }
                bytes[index] = high << 4 | low
            }
            return true
        }
        guard isValid else { return nil }
        (first, second, third, fourth) = words
    }

    init?(hex: String) {
        var copy = hex
        guard let id = copy.withUTF8({ ObjectID(hex: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = id
    }

    /// Uniformly distributed bits of the id, for hash tables.
    var prefix: UInt64 { first }

    /// Puts the 32 bytes at `target`.
    func store(to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: first, as: UInt64.self)
        target.storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: third, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: fourth, toByteOffset: 24, as: UInt64.self)
    }

    /// Puts the 64 hexadecimal digits at `target`.
    func storeHex(to target: UnsafeMutablePointer<UInt8>) {
        withUnsafeBytes(of: self) { bytes in
            for index in 0..<32 {
                target[2 * index] = hexDigit(bytes[index] >> 4)
                target[2 * index + 1] = hexDigit(bytes[index] & 15)
            }
        }
    }

    var description: String {
        String(unsafeUninitializedCapacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            storeHex(to: base)
            return 64
        }
    }

    static func == (left: Self, right: Self) -> Bool {
        left.first == right.first && left.second == right.second && left.third == right.third
            && left.fourth == right.fourth
    }

    func hash(into hasher: inout Hasher) { hasher.combine(first) }
}

func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }

func hexValue(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 48...57: digit - 48
    case 97...102: digit - 87
    default: nil
    }
}

/// Lowercase hexadecimal digits of some bytes.
func hexString(_ bytes: some Sequence<UInt8>) -> String {
    var digits: [UInt8] = []
    for byte in bytes {
        digits.append(hexDigit(byte >> 4))
        digits.append(hexDigit(byte & 15))
    }
    return String(decoding: digits, as: UTF8.self)
}
