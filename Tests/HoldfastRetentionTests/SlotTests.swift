import Foundation
import HoldfastModel
import HoldfastRetention
import HoldfastTestSupport
import Testing

@Suite struct SlotTests {
    private func slot(_ interval: String, _ time: String, _ zone: CivilZone = .utc) throws -> Slot {
        Slot(of: try RetentionInterval(interval), at: try CivilZoneTests.time(time), in: zone)
    }

    @Test(arguments: ["1h", "6h", "24h", "1d", "2d", "1w", "2w", "1M", "3M", "12M", "1y", "100y"])
    func `an interval is read and written the same`(text: String) throws {
        #expect(try RetentionInterval(text).description == text)
    }

    @Test(arguments: [
        "", "d", "1", "0d", "-1d", "+1d", "1x", "1m", "1s", "1D", "1W", "1Y", "1 d", " 1d", "1.5d", "1d2h", "१d",
        "101y",
        "999999999999999999999d", "1000000000000d",
    ])
    func `what is no interval is refused and named`(text: String) {
        let error = #expect(throws: HoldfastError.self) { try RetentionInterval(text) }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.contains("'\(text)'") == true)
    }

    @Test func `weeks are those of ISO, with their 53rd`() throws {
        // 2026 has 53 weeks: its last begins on 28 December and ends on 3 January 2027.
        let last = try slot("1w", "2026-12-28T00:00:00Z")
        #expect(try slot("1w", "2027-01-03T23:59:59Z") == last)
        #expect(try slot("1w", "2026-12-27T23:59:59Z").next == last)
        #expect(try slot("1w", "2027-01-04T00:00:00Z") == last.next)
    }

    @Test(arguments: ["Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe"])
    func `weeks, months and years begin when Foundation says, at random instants`(name: String) throws {
        let zone = try CivilZone(identifier: name)
        var calendar = Calendar(identifier: .iso8601)
        calendar.timeZone = try #require(TimeZone(identifier: name))
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<1000 {
            let time = Int.random(in: 0..<4_102_444_800, using: &generator)
            let date = Date(timeIntervalSince1970: Double(time))
            for (text, unit) in [("1w", Calendar.Component.weekOfYear), ("1M", .month), ("1y", .year)] {
                let expected = try #require(calendar.dateInterval(of: unit, for: date)?.start.timeIntervalSince1970)
                let slot = Slot(of: try RetentionInterval(text), at: time, in: zone)
                #expect(slot.start(in: zone) == Int(expected), "\(text) at \(time)")
            }
        }
    }

    @Test func `months have their own lengths, and quarters begin in January`() throws {
        #expect(try slot("1M", "2024-02-29T23:59:59Z").next == (try slot("1M", "2024-03-01T00:00:00Z")))
        #expect(try slot("1M", "2026-02-28T23:59:59Z").next == (try slot("1M", "2026-03-01T00:00:00Z")))
        #expect(try slot("3M", "2026-01-01T00:00:00Z") == (try slot("3M", "2026-03-31T23:59:59Z")))
        #expect(try slot("3M", "2026-04-01T00:00:00Z").firstDay == CivilDay(year: 2026, month: 4, day: 1))
        #expect(try slot("1y", "2026-12-31T23:59:59Z").next == (try slot("1y", "2027-01-01T00:00:00Z")))
    }

    @Test func `a day of summer time has one slot, however long it is`() throws {
        let berlin = try CivilZone(identifier: "Europe/Berlin")
        for (first, last) in [
            ("2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"), ("2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"),
        ] {
            #expect(try slot("1d", first, berlin) == (try slot("1d", last, berlin)))
            let before = try CivilZoneTests.time(first) - 1
            #expect(
                Slot(of: try RetentionInterval("1d"), at: before, in: berlin).next == (try slot("1d", first, berlin)))
            #expect(try slot("1d", first, berlin).start(in: berlin) == (try CivilZoneTests.time(first)))
        }
    }

    @Test func `hours pass in UTC, so the hour that comes twice has two slots`() throws {
        let berlin = try CivilZone(identifier: "Europe/Berlin")
        let first = try slot("1h", "2026-10-25T00:30:00Z", berlin)
        #expect(try slot("1h", "2026-10-25T01:30:00Z", berlin) == first.next)
        #expect(
            try slot("6h", "2026-10-25T05:59:59Z", berlin).number == (try slot("6h", "2026-10-25T00:00:00Z")).number)
    }

    @Test(arguments: [
        "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC",
    ])
    func `through a century of days each slot is due once, in itself, and none is left out`(name: String) throws {
        let zone = try CivilZone(identifier: name)
        let interval = try RetentionInterval("1d")
        var lost = 0
        var last = Int.min
        for number in 0..<36_525 {
            let slot = Slot(interval: interval, number: number)
            if slot.isEmpty(in: zone) {
                lost += 1
                continue
            }
            let due = DueTime(jitter: 0.5).instant(of: slot, in: zone)
            guard Slot(of: interval, at: due, in: zone) == slot, due > last else {
                Issue.record("slot \(number) is due at \(due), after \(last)")
                break
            }
            last = due
        }
        #expect(lost == (name == "Pacific/Apia" ? 1 : 0))
    }

    @Test func `an environment's jitter is its own and stays`() throws {
        let one = DueTime(for: try #require(EnvironmentID("aaaaaaaaaaaaa")))
        let two = DueTime(for: try #require(EnvironmentID("aaaaaaaaaaaab")))
        #expect(one == DueTime(for: try #require(EnvironmentID("aaaaaaaaaaaaa"))))
        #expect(one != two)
        #expect((0...1).contains(one.jitter) && one.timeOfDay == 14_400)
    }
}
