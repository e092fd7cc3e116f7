import Foundation
import HoldfastModel
import HoldfastRetention
import HoldfastTestSupport
import Testing

@Suite struct CivilZoneTests {
    private static let names = [
        "UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe",
        "Africa/Casablanca", "America/Sao_Paulo", "Asia/Tehran",
    ]

    private func calendar(_ name: String) throws -> Calendar {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: name))
        return calendar
    }

    /// Seconds since 1970 of a date in ISO 8601, such as `2026-03-29T01:00:00Z`.
    static func time(_ text: String) throws -> Int {
        Int(try #require(ISO8601DateFormatter().date(from: text)).timeIntervalSince1970)
    }

    @Test(arguments: names) func `offsets and days are those of Foundation at random instants`(name: String) throws {
        let zone = try CivilZone(identifier: name)
        let calendar = try calendar(name)
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<3000 {
            let time = Int.random(in: 0..<4_102_444_800, using: &generator)
            let date = Date(timeIntervalSince1970: Double(time))
            #expect(zone.offset(at: time) == calendar.timeZone.secondsFromGMT(for: date), "\(time)")
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            let day = zone.day(at: time).components
            #expect([day.year, day.month, day.day] == [parts.year, parts.month, parts.day], "\(time)")
        }
    }

    @Test(arguments: names) func `each change of offset is found to the second`(name: String) throws {
        let zone = try CivilZone(identifier: name)
        let foundation = try #require(TimeZone(identifier: name))
        for (start, offset) in zip(zone.starts, zone.offsets).dropFirst() {
            let before = foundation.secondsFromGMT(for: Date(timeIntervalSince1970: Double(start - 1)))
            #expect(foundation.secondsFromGMT(for: Date(timeIntervalSince1970: Double(start))) == offset)
            #expect(before != offset)
        }
        #expect((name == "UTC") == (zone.starts.count == 1))
    }

    @Test func `days and their numbers are each other's inverse over four thousand years`() {
        var number = CivilDay(year: -1, month: 1, day: 1).number
        var last = (year: -2, month: 12, day: 31)
        while number < CivilDay(year: 4000, month: 1, day: 1).number {
            let parts = CivilDay(number: number).components
            if CivilDay(year: parts.year, month: parts.month, day: parts.day).number != number || parts == last {
                Issue.record("day \(number) became \(parts)")
                break
            }
            last = parts
            number += 1
        }
        #expect(CivilDay(year: 1970, month: 1, day: 1).number == 0)
        #expect(CivilDay(year: 2024, month: 2, day: 29).number + 1 == CivilDay(year: 2024, month: 3, day: 1).number)
        #expect(CivilDay(year: 2100, month: 2, day: 28).number + 1 == CivilDay(year: 2100, month: 3, day: 1).number)
    }

    @Test(arguments: [
        // The clock went from 02:00 to 03:00: half past two does not exist, and becomes the instant of the change.
        ("Europe/Berlin", "2026-03-29", 9000, "2026-03-29T01:00:00Z"),
        // It went from 03:00 back to 02:00: half past two exists twice, the first counts.
        ("Europe/Berlin", "2026-10-25", 9000, "2026-10-25T00:30:00Z"),
        ("America/New_York", "2026-03-08", 9000, "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01", 5400, "2026-11-01T05:30:00Z"),
        // Half an hour.
        ("Australia/Lord_Howe", "2026-10-04", 8100, "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05", 6300, "2026-04-04T14:45:00Z"),
        // 30 December 2011 was left out.
        ("Pacific/Apia", "2011-12-30", 14_400, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", 14_400, "2011-12-30T14:00:00Z"),
        ("Asia/Kathmandu", "2026-07-01", 14_400, "2026-06-30T22:15:00Z"),
        // Midnight itself does not exist.
        ("America/Sao_Paulo", "2018-11-04", 0, "2018-11-04T03:00:00Z"),
    ])
    func `a wall clock's time is the first instant that shows it, or the next that exists`(
        row: (zone: String, day: String, second: Int, expected: String)
    ) throws {
        let zone = try CivilZone(identifier: row.zone)
        let parts = row.day.split(separator: "-").compactMap { Int($0) }
        let day = CivilDay(year: parts[0], month: parts[1], day: parts[2])
        #expect(zone.instant(of: day, second: row.second) == (try Self.time(row.expected)))
    }

    @Test func `an unknown zone is refused`() {
        let error = #expect(throws: HoldfastError.self) { try CivilZone(identifier: "Mars/Olympus") }
        #expect(error?.code == .invalidInput)
    }
}
