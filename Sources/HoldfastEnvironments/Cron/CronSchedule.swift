import Foundation
import HoldfastModel

/// When a cron runs: minute, hour, day of month, month, day of week, as in crontab(5), with `H` for a hashed value.
///
/// A run at a fixed hour comes exactly once a day: a time that the clock skips in spring comes at the first minute
/// after the gap, one that the clock shows twice in autumn comes the first time. If the hour is `*`, runs follow the
/// clock: what is skipped is skipped, what is shown twice comes twice. If day of month and day of week are both
/// restricted, a day that fits either counts.
package struct CronSchedule: Sendable, Hashable, CustomStringConvertible {
    /// The text it was made of.
    package let spec: String
    private let minutes: CronField
    private let hours: CronField
    private let days: CronField
    private let months: CronField
    private let weekdays: CronField

    /// Reads five fields.
    ///
    /// - Parameter seed: what `H` is hashed of, such as `ENVIRONMENT/APP/CRON`: different crons get different minutes,
    ///   and one cron always the same.
    /// - Throws: `invalidInput` that names the field, or says that no such day ever comes.
    package init(_ spec: String, seed: String = "") throws {
        let fields = spec.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\n" }).map(String.init)
        guard fields.count == 5, spec.utf8.count <= 256 else {
            throw HoldfastError(
                .invalidInput,
                "found \(fields.count) field\(fields.count == 1 ? "" : "s") in '\(spec.prefix(60))', expected five: "
                    + "minute, hour, day of month, month, day of week",
                hint: "Write for example '*/5 * * * *' or 'H 3 * * *'")
        }
        self.spec = fields.joined(separator: " ")
        minutes = try CronField(fields[0], kind: .minute, seed: seed)
        hours = try CronField(fields[1], kind: .hour, seed: seed)
        days = try CronField(fields[2], kind: .day, seed: seed)
        months = try CronField(fields[3], kind: .month, seed: seed)
        weekdays = try CronField(fields[4], kind: .weekday, seed: seed)
        let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        let comes =
            weekdays.isRestricted
            || months.values.contains { month in
                days.values.contains { $0 <= lengths[month - 1] }
            }
        guard comes else {
            throw HoldfastError(
                .invalidInput, "'\(self.spec)' never comes: no such month has such a day",
                hint: "Correct day of month or month")
        }
    }

    package var description: String { spec }

    /// The first run after an instant.
    ///
    /// - Returns: nil if there is none in the next nine years.
    package func next(after: Date, in zone: TimeZone) -> Date? {
        let clock = CivilClock(zone: zone)
        let after = Int(after.timeIntervalSince1970.rounded(.down))
        let firstDay = CivilClock.day(of: clock.local(after)) - 1
        var best: Int?
        for day in firstDay..<(firstDay + 366 * 9) {
            if let found = first(onDay: day, after: after, clock: clock) { best = min(best ?? found, found) }
            // One day more: the clock may go back over midnight.
            if let best, CivilClock.day(of: clock.local(best)) < day { break }
        }
        return best.map { Date(timeIntervalSince1970: Double($0)) }
    }

    private func matches(day: Int) -> Bool {
        let date = CivilDay(number: day).components
        guard months.contains(date.month) else { return false }
        let byDay = days.contains(date.day)
        let byWeekday = weekdays.contains(CivilClock.weekday(ofDay: day))
        if days.isRestricted, weekdays.isRestricted { return byDay || byWeekday }
        return byDay && byWeekday
    }

    private func first(onDay day: Int, after: Int, clock: CivilClock) -> Int? {
        guard matches(day: day) else { return nil }
        let changes = clock.changes(aroundDay: day)
        var best: Int?
        for hour in hours.values {
            for minute in minutes.values {
                let local = day * 86400 + hour * 3600 + minute * 60
                for instant in clock.instants(local: local, fixed: hours.isRestricted) where instant > after {
                    if !changes { return instant }
                    best = min(best ?? instant, instant)
                }
            }
        }
        return best
    }
}

/// One field: the values that it allows, sorted.
struct CronField: Sendable, Hashable {
    enum Kind: String, Sendable {
        case minute
        case hour
        case day = "day of month"
        case month
        case weekday = "day of week"

        var range: ClosedRange<Int> {
            switch self {
            case .minute: 0...59
            case .hour: 0...23
            case .day: 1...31
            case .month: 1...12
            case .weekday: 0...7
            }
        }

        /// What `H` picks from: days that every month has, and Sunday once.
        var hashRange: ClosedRange<Int> {
            switch self {
            case .day: 1...28
            case .weekday: 0...6
            default: range
            }
        }

        var names: [String] {
            switch self {
            case .month:
                ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
            case .weekday: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
            default: []
            }
        }
    }

    let values: [Int]
    /// False if the field begins with `*`.
    let isRestricted: Bool
    private let bits: UInt64

    func contains(_ value: Int) -> Bool { bits & (1 << UInt64(value)) != 0 }

    init(_ text: String, kind: Kind, seed: String) throws {
        var bits: UInt64 = 0
        let hash = StableHash.of("\(seed)\u{0}\(kind.rawValue)")
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let values = Self.values(of: part.lowercased(), kind: kind, hash: hash) else {
                let names = kind.names.isEmpty ? "" : ", names such as \(kind.names[0]) or \(kind.names[1])"
                throw HoldfastError(
                    .invalidInput,
                    "found '\(text.prefix(40))' as \(kind.rawValue), expected numbers from \(kind.range.lowerBound) to "
                        + "\(kind.range.upperBound)\(names), ranges, steps, * or H",
                    hint: "Write for example '*/5 * * * *' or 'H 3 * * mon-fri'")
            }
            for value in values { bits |= 1 << UInt64(kind == .weekday ? value % 7 : value) }
        }
        self.bits = bits
        self.isRestricted = !text.hasPrefix("*")
        self.values = (0..<64).filter { bits & (1 << UInt64($0)) != 0 }
    }

    /// The values of one part such as `1-5`, `*/10`, `H(0-29)/10`, `mon`; nil if it is none.
    private static func values(of part: String, kind: Kind, hash: UInt64) -> [Int]? {
        let halves = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        var step = 1
        if halves.count == 2 {
            guard let value = number(halves[1]), value > 0, value <= kind.range.upperBound + 1 else { return nil }
            step = value
        }
        if let range = hashRange(halves[0], kind: kind) {
            let width = range.upperBound - range.lowerBound + 1
            let span = halves.count == 2 ? min(step, width) : width
            let start = range.lowerBound + Int(hash % UInt64(span))
            return halves.count == 2 ? Array(stride(from: start, through: range.upperBound, by: step)) : [start]
        }
        if halves[0] == "*" { return Array(stride(from: kind.range.lowerBound, through: kind.hashUpper, by: step)) }
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard ends.count <= 2, let low = value(ends[0], kind: kind) else { return nil }
        if ends.count == 1 {
            // `5/15` means from 5 on, as in Vixie cron.
            return halves.count == 2 ? Array(stride(from: low, through: kind.range.upperBound, by: step)) : [low]
        }
        guard var high = value(ends[1], kind: kind) else { return nil }
        if kind == .weekday, high == 0, low > 0 { high = 7 }
        return low <= high ? Array(stride(from: low, through: high, by: step)) : nil
    }

    private static func hashRange(_ text: String, kind: Kind) -> ClosedRange<Int>? {
        if text == "h" { return kind.hashRange }
        guard text.hasPrefix("h("), text.hasSuffix(")") else { return nil }
        let ends = text.dropFirst(2).dropLast().split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard ends.count == 2, let low = value(ends[0], kind: kind), let high = value(ends[1], kind: kind), low <= high
        else { return nil }
        return low...high
    }

    private static func value(_ text: String, kind: Kind) -> Int? {
        if let index = kind.names.firstIndex(of: text) { return index + (kind == .month ? 1 : 0) }
        guard let value = number(text), kind.range.contains(value) else { return nil }
        return value
    }

    private static func number(_ text: String) -> Int? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }
}

extension CronField.Kind {
    /// The last value of `*`: Sunday is not counted twice.
    fileprivate var hashUpper: Int { self == .weekday ? 6 : range.upperBound }
}
