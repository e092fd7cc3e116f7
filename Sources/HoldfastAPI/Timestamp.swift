import Foundation
import HoldfastModel

/// ISO 8601 time stamps as the API writes them: `2026-01-31T12:00:00.123456+00:00`.
package enum Timestamp {
    /// The date in UTC with microseconds; one that is not in the years 0 to 9999 as the nearest that is.
    package static func format(_ date: Date) -> String {
        let bounded = min(max(date.timeIntervalSince1970, -62_167_219_200), 253_402_300_799)
        let total = Int((bounded * 1_000_000).rounded())
        let (seconds, micros) = total.floorDivided(by: 1_000_000)
        let (days, rest) = seconds.floorDivided(by: 86_400)
        let civil = CivilDay(number: days).components
        let date = [pad(civil.year, 4), pad(civil.month, 2), pad(civil.day, 2)].joined(separator: "-")
        let time = [rest / 3600, rest / 60 % 60, rest % 60].map { pad($0, 2) }.joined(separator: ":")
        return "\(date)T\(time).\(pad(micros, 6))+00:00"
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)`; a missing offset means UTC, and a blank where a
    /// plus stood before somebody decoded it as a form is taken for the plus. Nil for anything else.
    package static func parse(_ text: String) -> Date? {
        var scanner = Scanner(text)
        guard let year = scanner.number(4), scanner.skip("-"), let month = scanner.number(2), scanner.skip("-"),
            let day = scanner.number(2), scanner.skip("T") || scanner.skip(" "), let hour = scanner.number(2),
            scanner.skip(":"), let minute = scanner.number(2), scanner.skip(":"), let second = scanner.number(2)
        else { return nil }
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61 else { return nil }
        let micros = scanner.fraction()
        guard let offset = scanner.offset(), scanner.isAtEnd else { return nil }
        let days = CivilDay(year: year, month: month, day: day).number
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
        return Date(timeIntervalSince1970: Double(seconds * 1_000_000 + micros) / 1_000_000)
    }

    private static func pad(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private struct Scanner {
        private var rest: ArraySlice<UInt8>

        init(_ text: String) { rest = Array(text.utf8)[...] }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func skip(_ character: Character) -> Bool {
            guard let byte = rest.first, byte == character.asciiValue else { return false }
            rest = rest.dropFirst()
            return true
        }

        mutating func number(_ width: Int) -> Int? {
            let digits = rest.prefix(width)
            guard digits.count == width, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
            rest = rest.dropFirst(width)
            return digits.reduce(0) { $0 * 10 + Int($1 - 48) }
        }

        /// Microseconds; further digits are dropped.
        mutating func fraction() -> Int {
            guard skip(".") else { return 0 }
            let digits = rest.prefix { (48...57).contains($0) }
            rest = rest.dropFirst(digits.count)
            let padded = digits.prefix(6).map { Int($0 - 48) } + Array(repeating: 0, count: max(0, 6 - digits.count))
            return padded.reduce(0) { $0 * 10 + $1 }
        }

        /// Seconds east of UTC; nil if what is left is no offset.
        mutating func offset() -> Int? {
            if isAtEnd || skip("Z") || skip("z") { return 0 }
            let isWest = skip("-")
            guard isWest || skip("+") || skip(" "), let hours = number(2) else { return nil }
            _ = skip(":")
            guard let minutes = isAtEnd ? 0 : number(2), hours < 24, minutes < 60 else { return nil }
            return (isWest ? -1 : 1) * (hours * 3600 + minutes * 60)
        }
    }
}
