import Foundation
import Glibc
import HoldfastModel

/// A point in time with nanoseconds, as `stat` gives it and restic writes it (RFC 3339).
package struct Timestamp: Hashable, Sendable, Comparable {
    package var seconds: Int64
    /// 0 to 999,999,999.
    package var nanoseconds: Int32

    static let zero = Timestamp(seconds: 0, nanoseconds: 0)

    package init(seconds: Int64, nanoseconds: Int32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    init(_ time: timespec) {
        seconds = Int64(time.tv_sec)
        nanoseconds = Int32(truncatingIfNeeded: time.tv_nsec)
    }

    package init(_ date: Date) {
        let whole = date.timeIntervalSince1970.rounded(.down)
        seconds = Int64(whole)
        nanoseconds = Int32((date.timeIntervalSince1970 - whole) * 1_000_000) * 1000
    }

    package var date: Date { Date(timeIntervalSince1970: Double(seconds) + Double(nanoseconds) / 1_000_000_000) }
    var timespec: timespec { Glibc.timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds)) }

    package static func < (left: Self, right: Self) -> Bool {
        left.seconds != right.seconds ? left.seconds < right.seconds : left.nanoseconds < right.nanoseconds
    }

    func adding(seconds more: Int64) -> Timestamp { Timestamp(seconds: seconds + more, nanoseconds: nanoseconds) }

    /// One nanosecond earlier.
    var previous: Timestamp {
        nanoseconds > 0
            ? Timestamp(seconds: seconds, nanoseconds: nanoseconds - 1)
            : Timestamp(seconds: seconds - 1, nanoseconds: 999_999_999)
    }

    /// Appends `2026-11-23T08:33:30.518248634Z`: UTC, without trailing zeros in the fraction. Years are kept within
    /// 0000 to 9999, as restic does.
    package func append(to bytes: inout [UInt8]) {
        let (day, second) = Int(seconds).floorDivided(by: 86_400)
        let (year, month, dayOfMonth) = CivilDay(number: day).components
        Self.append(min(max(year, 0), 9999), digits: 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        Self.append(month, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        Self.append(dayOfMonth, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "T"))
        Self.append(second / 3600, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        Self.append(second / 60 % 60, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        Self.append(second % 60, digits: 2, to: &bytes)
        if nanoseconds > 0 {
            bytes.append(UInt8(ascii: "."))
            Self.append(Int(nanoseconds), digits: 9, to: &bytes)
            while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
        }
        bytes.append(UInt8(ascii: "Z"))
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`.
    package init?(rfc3339 text: UnsafeRawBufferPointer) {
        guard text.count >= 20, text[4] == 45, text[7] == 45, text[10] == 84, text[13] == 58, text[16] == 58,
            let year = Self.number(text, 0..<4), let month = Self.number(text, 5..<7),
            let day = Self.number(text, 8..<10), let hour = Self.number(text, 11..<13),
            let minute = Self.number(text, 14..<16), let second = Self.number(text, 17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        var index = 19
        var fraction = 0
        if text[index] == UInt8(ascii: ".") {
            index += 1
            var scale = 100_000_000
            while index < text.count, (48...57).contains(text[index]) {
                fraction += Int(text[index] - 48) * scale
                scale /= 10
                index += 1
            }
        }
        guard index < text.count else { return nil }
        var offset = 0
        if text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") {
            guard text.count == index + 6, let hours = Self.number(text, index + 1..<index + 3),
                let minutes = Self.number(text, index + 4..<index + 6)
            else { return nil }
            offset = (hours * 3600 + minutes * 60) * (text[index] == UInt8(ascii: "+") ? 1 : -1)
        } else {
            guard text[index] == UInt8(ascii: "Z"), text.count == index + 1 else { return nil }
        }
        let days = CivilDay(year: year, month: month, day: day).number
        seconds = Int64(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
        nanoseconds = Int32(fraction)
    }

    private static func number(_ text: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int? {
        var value = 0
        for byte in text[range] {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 48)
        }
        return value
    }

    private static func append(_ value: Int, digits: Int, to bytes: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(48 + value / divisor % 10))
            divisor /= 10
        }
    }
}
