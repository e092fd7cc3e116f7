/// Makes hostile inputs out of good ones, the same from the same seed.
struct Mutator: RandomNumberGenerator {
    private var state: UInt64

    /// What parsers of JSON and of numbers trip over.
    private static let tokens: [[UInt8]] = [
        "null", "true", "{}", "[]", "[[[[[[[[", "}}}}", "\"\"", "\\", "\\u", "\\ud800", "\\udfff\\ud800", "\\x",
        "\\\\xff", "\\\\U00110000", "-", "-1", "0", "1e999", "4294967295", "4294967296", "2147483648",
        "1152921504606846976",
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999999",
        "\"id\":", "\"blobs\":[", "\"packs\":", "\"nodes\":[", "\"offset\":", "\"length\":", "\"uncompressed_length\":",
        "\"name\":\"..\"", "\"content\":null", "\"subtree\":null", "\"time\":\"9999-12-31T23:59:59.999999999Z\"",
        "\"0000-01-01T00:00:00+99:99\"", "\"size\":18446744073709551615", "\"N\":4194304", "\"p\":64", ",", ":", "\0",
    ].map { Array($0.utf8) }

    private static let numbers: [UInt32] = [
        0, 1, 31, 32, 33, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1000_0000,
    ]

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// The next input: mostly a sample with some mutations, sometimes bytes of pure chance.
    mutating func input(_ samples: [[UInt8]], isBinary: Bool) -> [UInt8] {
        guard let sample = samples.randomElement(using: &self), number(below: 16) > 0 else { return chance() }
        var bytes = sample
        for _ in 0...number(below: 6) { mutate(&bytes, samples, isBinary: isBinary) }
        return bytes
    }

    private mutating func number(below limit: Int) -> Int { Int(next() % UInt64(max(limit, 1))) }

    private mutating func chance() -> [UInt8] {
        (0..<number(below: 300)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    private mutating func range(in bytes: [UInt8]) -> Range<Int> {
        let start = number(below: bytes.count + 1)
        let longest = number(below: 4) == 0 ? bytes.count : 24
        return start..<min(start + number(below: longest + 1), bytes.count)
    }

    private mutating func mutate(_ bytes: inout [UInt8], _ samples: [[UInt8]], isBinary: Bool) {
        let place = number(below: bytes.count + 1)
        switch number(below: 10) {
        case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8(number(below: 8)) }
        case 1: if place < bytes.count { bytes[place] = UInt8(truncatingIfNeeded: next()) }
        case 2: bytes.removeSubrange(place...)
        case 3: bytes.removeSubrange(range(in: bytes))
        case 4: bytes.insert(contentsOf: Array(bytes[range(in: bytes)]), at: place)
        case 5:
            if let other = samples.randomElement(using: &self) {
                bytes.replaceSubrange(range(in: bytes), with: Array(other[range(in: other)]))
            }
        case 6, 7: isBinary ? setNumber(&bytes, at: place) : insertToken(&bytes, at: place)
        case 8: isBinary ? insertToken(&bytes, at: place) : replaceNumber(&bytes, near: place)
        default: bytes.insert(contentsOf: chance().prefix(20), at: place)
        }
        // Doubling upon doubling would only test patience.
        if bytes.count > 1 << 20 { bytes.removeSubrange((1 << 20)...) }
    }

    private mutating func insertToken(_ bytes: inout [UInt8], at place: Int) {
        bytes.insert(contentsOf: Self.tokens[number(below: Self.tokens.count)], at: place)
    }

    private mutating func setNumber(_ bytes: inout [UInt8], at place: Int) {
        let value = Self.numbers[number(below: Self.numbers.count)]
        guard place + 4 <= bytes.count else { return }
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
    }

    /// Replaces the next run of digits after a place.
    private mutating func replaceNumber(_ bytes: inout [UInt8], near place: Int) {
        guard let start = bytes[place...].firstIndex(where: { (48...57).contains($0) }) else { return }
        let end = bytes[start...].firstIndex { !(48...57).contains($0) } ?? bytes.count
        let value = number(below: 2) == 0 ? next() : UInt64(Self.numbers[number(below: Self.numbers.count)])
        bytes.replaceSubrange(start..<end, with: Array("\(value)".utf8))
    }
}
