import HoldfastModel

/// A length of calendar time as restic writes it: `1y5m7d2h`.
package struct CalendarSpan: Sendable, Hashable, CustomStringConvertible {
    package var years = 0
    package var months = 0
    package var days = 0
    package var hours = 0

    package init(years: Int = 0, months: Int = 0, days: Int = 0, hours: Int = 0) {
        self.years = years
        self.months = months
        self.days = days
        self.hours = hours
    }

    /// Reads numbers that are each followed by `y`, `m`, `d` or `h`.
    ///
    /// - Throws: `invalidInput`.
    package init(_ text: String) throws {
        self.init()
        let wrong = HoldfastError(
            .invalidInput, "'\(text)' is not a length of time",
            hint: "Write it as '1y5m7d2h': years, months, days, hours"
        )
        var number: Int?
        for character in text.utf8 {
            if let digit = Int(exactly: Int(character) - 48), (0...9).contains(digit) {
                let grown = (number ?? 0).multipliedReportingOverflow(by: 10)
                guard !grown.overflow, grown.partialValue < 1_000_000 else { throw wrong }
                number = grown.partialValue + digit
                continue
            }
            guard let count = number else { throw wrong }
            number = nil
            switch character {
            case UInt8(ascii: "y"): years = count
            case UInt8(ascii: "m"): months = count
            case UInt8(ascii: "d"): days = count
            case UInt8(ascii: "h"): hours = count
            default: throw wrong
            }
        }
        guard number == nil, !text.isEmpty else { throw wrong }
    }

    package var description: String {
        [(years, "y"), (months, "m"), (days, "d"), (hours, "h")].filter { $0.0 != 0 }.map { "\($0.0)\($0.1)" }.joined()
    }
}

/// Which snapshots of a repository `forget` keeps, in restic's semantics.
///
/// It is for repositories without Holdfast; an environment's backups are kept by its schedules instead.
/// Source: restic's manual, "Removing snapshots according to a policy".
package struct ForgetPolicy: Sendable, Hashable {
    package enum Period: Int, Sendable, CaseIterable {
        case hourly, daily, weekly, monthly, yearly

        var name: String {
            switch self {
            case .hourly: "hourly"
            case .daily: "daily"
            case .weekly: "weekly"
            case .monthly: "monthly"
            case .yearly: "yearly"
            }
        }
    }

    /// Keeps so many of all; `Int.max` for all.
    package var last = 0
    /// Keeps the newest snapshot of each of the newest so many periods that have one.
    package var counts: [Period: Int] = [:]
    /// Keeps all that are not older than that, counted from the newest one.
    package var within: CalendarSpan?
    /// Keeps the newest of each period within that time.
    package var periodsWithin: [Period: CalendarSpan] = [:]
    /// Keeps whatever has all tags of one of these lists.
    package var tags: [[String]] = []

    package init() {}

    /// Whether it says nothing; then everything is kept.
    package var isEmpty: Bool {
        last == 0 && counts.values.allSatisfy { $0 == 0 } && within == nil && periodsWithin.isEmpty && tags.isEmpty
    }

    /// One snapshot and what becomes of it.
    package struct Decision: Sendable {
        package let record: SnapshotRecord
        /// Why it is kept; nothing if it goes.
        package let reasons: [String]
        package var isKept: Bool { !reasons.isEmpty }
    }

    /// Decides about the snapshots of one group.
    ///
    /// - Parameter now: snapshots from the future do not move the newest one, from which spans are counted.
    /// - Returns: newest first.
    package func decide(_ records: [SnapshotRecord], now: Timestamp) -> [Decision] {
        let ordered = records.sorted { ($0.time, $0.id.description) > ($1.time, $1.id.description) }
        if isEmpty { return ordered.map { Decision(record: $0, reasons: ["policy is empty"]) } }
        let newest = ordered.first { $0.time < now }
        var left = counts
        var lastLeft = last
        var seen: [Period: Int] = [:]
        var seenWithin: [Period: Int] = [:]
        return ordered.map { record in
            var reasons = tags.filter { record.hasTags($0) }.map { "has tags [\($0.joined(separator: ", "))]" }
            let civil = CivilTime(record.time, offset: record.offsetSeconds)
            if let within, Self.isAfter(record, newest, minus: within) { reasons.append("within \(within)") }
            if lastLeft > 0 {
                lastLeft -= 1
                reasons.append("last snapshot")
            }
            for period in Period.allCases {
                guard let count = left[period], count > 0, civil.number(period) != seen[period] else { continue }
                seen[period] = civil.number(period)
                left[period] = count - 1
                reasons.append("\(period.name) snapshot")
            }
            for period in Period.allCases {
                guard let span = periodsWithin[period], Self.isAfter(record, newest, minus: span),
                    civil.number(period) != seenWithin[period]
                else { continue }
                seenWithin[period] = civil.number(period)
                reasons.append("\(period.name) within \(span)")
            }
            return Decision(record: record, reasons: reasons)
        }
    }

    private static func isAfter(_ record: SnapshotRecord, _ newest: SnapshotRecord?, minus span: CalendarSpan) -> Bool {
        guard let newest else { return true }
        let civil = CivilTime(newest.time, offset: newest.offsetSeconds)
        return civil.subtracting(span) < record.time
    }
}

/// A point in time on somebody's wall calendar.
struct CivilTime {
    let day: CivilDay
    /// Of the day, 0 to 86,399.
    let second: Int
    private let nanoseconds: Int32
    private let offset: Int64

    init(_ time: Timestamp, offset: Int64) {
        self.offset = offset
        nanoseconds = time.nanoseconds
        let (days, rest) = Int(time.seconds + offset).floorDivided(by: 86_400)
        second = rest
        day = CivilDay(number: days)
    }

    /// A number that is the same for all times of one period, and for no others.
    func number(_ period: ForgetPolicy.Period) -> Int {
        switch period {
        case .hourly: day.number * 24 + second / 3600
        case .daily: day.number
        case .weekly: day.week
        case .monthly: day.components.year * 12 + day.components.month
        case .yearly: day.components.year
        }
    }

    /// Earlier by a span; a day that the month has not runs over into the next one, as with Go's `AddDate`.
    func subtracting(_ span: CalendarSpan) -> Timestamp {
        let (year, month, dayOfMonth) = day.components
        let (newYear, newMonth) = (year * 12 + month - 1 - span.years * 12 - span.months).floorDivided(by: 12)
        let date = CivilDay(year: newYear, month: newMonth + 1, day: dayOfMonth - span.days).number
        let seconds = Int64(date * 86_400 + second - span.hours * 3600) - offset
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }
}
