import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastTestSupport
import Testing

struct CronScheduleTests {
    private static func date(_ text: String) throws -> Date {
        try Date(text, strategy: Date.ISO8601FormatStyle())
    }

    @Test(arguments: [
        ("* * * * *", "2026-11-23T08:00:00Z", "2026-11-23T08:01:00Z"),
        ("* * * * *", "2026-11-23T08:00:59Z", "2026-11-23T08:01:00Z"),
        ("*/15 * * * *", "2026-11-23T08:45:00Z", "2026-11-23T09:00:00Z"),
        ("5/20 * * * *", "2026-11-23T08:26:00Z", "2026-11-23T08:45:00Z"),
        ("30 4 * * *", "2026-11-23T08:00:00Z", "2026-11-24T04:30:00Z"),
        ("0 0 1 1 *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("0 12 * * mon-fri", "2026-11-20T12:00:00Z", "2026-11-23T12:00:00Z"),
        ("0 12 * * 7", "2026-11-23T00:00:00Z", "2026-11-29T12:00:00Z"),
        ("0 12 * * sat-sun", "2026-11-23T00:00:00Z", "2026-11-28T12:00:00Z"),
        ("0 12 * FEB sun,Tue", "2026-11-23T00:00:00Z", "2027-02-02T12:00:00Z"),
        ("0 0 29 2 *", "2026-11-23T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 0 31 * *", "2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"),
        // Day of month and day of week restricted: either counts (crontab(5)).
        ("0 0 13 * 5", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z"),
        // Unless one of them begins with a star: then both have to fit.
        ("0 0 */2 * mon", "2026-11-23T00:00:00Z", "2026-12-07T00:00:00Z"),
        ("59 23 31 12 *", "2026-12-31T23:58:30Z", "2026-12-31T23:59:00Z"),
        ("0-10/5,50 8 * * *", "2026-11-23T08:10:00Z", "2026-11-23T08:50:00Z"),
    ])
    func `the next run is the one that crontab says`(spec: String, after: String, expected: String) throws {
        let zone = try #require(TimeZone(identifier: "UTC"))
        let next = try CronSchedule(spec).next(after: Self.date(after), in: zone)
        #expect(next == (try Self.date(expected)))
    }

    @Test(arguments: [
        // Europe/Berlin 2026: 29 March 02:00 -> 03:00, 25 October 03:00 -> 02:00.
        // A fixed time that is skipped comes right after the gap, once, and is back the next day.
        ("30 2 * * *", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("*/20 2 * * *", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
        // A fixed time that is shown twice comes the first time.
        ("30 2 * * *", "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        // Every hour follows the clock: nothing in the gap, both in the repeated hour.
        ("30 * * * *", "2026-03-29T00:00:00Z", ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]),
        (
            "30 * * * *", "2026-10-24T23:45:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
        ),
        ("0 3 * * *", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]),
        ("0 3 * * *", "2026-10-24T12:00:00Z", ["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"]),
    ])
    func `a changed clock neither loses nor doubles a run at a fixed hour`(
        spec: String, after: String, expected: [String]
    ) throws {
        let zone = try #require(TimeZone(identifier: "Europe/Berlin"))
        let schedule = try CronSchedule(spec)
        var date = try Self.date(after)
        for text in expected {
            date = try #require(schedule.next(after: date, in: zone))
            #expect(date == (try Self.date(text)), "\(spec) after \(after)")
        }
    }

    @Test func `zones that change at midnight, by half an hour or by a whole day keep a daily run daily`() throws {
        // Havana goes back over midnight, Lord Howe by half an hour; Apia had no 30 December 2011.
        for (name, start) in [
            ("America/Havana", "2026-10-28T00:00:00Z"), ("Australia/Lord_Howe", "2026-04-02T00:00:00Z"),
            ("Pacific/Apia", "2011-12-27T00:00:00Z"), ("America/Havana", "2026-03-05T00:00:00Z"),
        ] {
            let zone = try #require(TimeZone(identifier: name))
            for spec in ["15 0 * * *", "45 23 * * *", "0 12 * * *", "45 1 * * *"] {
                let schedule = try CronSchedule(spec)
                var date = try Self.date(start)
                var days: [Int] = []
                for _ in 0..<8 {
                    let next = try #require(schedule.next(after: date, in: zone))
                    #expect(next > date)
                    days.append(Int(next.timeIntervalSince(date)))
                    date = next
                }
                #expect(days.dropFirst().allSatisfy { (22 * 3600...26 * 3600).contains($0) || name == "Pacific/Apia" })
            }
        }
    }

    @Test func `the next run is the earliest minute that fits, for random schedules`() throws {
        let zone = try #require(TimeZone(identifier: "America/New_York"))
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = zone
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<60 {
            let minute = Int.random(in: 0...59, using: &generator)
            let hour = [4, 9, 13, 22].randomElement(using: &generator) ?? 4
            let weekday = Int.random(in: 0...6, using: &generator)
            let schedule = try CronSchedule("\(minute) \(hour) * * \(weekday)")
            let start = Date(
                timeIntervalSince1970: 1_790_000_000 + Double(Int.random(in: 0...20_000_000, using: &generator)))
            let next = try #require(schedule.next(after: start, in: zone))
            // Looked for by Foundation's calendar, which is another way to the same answer.
            let components = DateComponents(hour: hour, minute: minute, second: 0, weekday: weekday + 1)
            let expected = calendar.nextDate(after: start, matching: components, matchingPolicy: .nextTime)
            #expect(next == expected, "\(schedule) after \(start)")
        }
    }

    @Test func `H gives each cron its own minute, always the same, and within its range`() throws {
        let zone = try #require(TimeZone(identifier: "UTC"))
        let start = try Self.date("2026-11-23T00:00:00Z")
        var minutes: Set<Int> = []
        for index in 0..<200 {
            let seed = "env/app/cron\(index)"
            let hourly = try CronSchedule("H * * * *", seed: seed)
            let first = try #require(hourly.next(after: start, in: zone))
            let again = try CronSchedule("H * * * *", seed: seed).next(after: start, in: zone)
            #expect(first == again)
            let second = try #require(hourly.next(after: first, in: zone))
            #expect(second.timeIntervalSince(first) == 3600)
            minutes.insert(Int(first.timeIntervalSince(start)) / 60 % 60)
            let ranged = try #require(try CronSchedule("H(10-19) 3 * * *", seed: seed).next(after: start, in: zone))
            #expect((190...199).contains(Int(ranged.timeIntervalSince(start)) / 60))
            let stepped = try CronSchedule("H/20 * * * *", seed: seed)
            let one = try #require(stepped.next(after: start, in: zone))
            let two = try #require(stepped.next(after: one, in: zone))
            #expect(two.timeIntervalSince(one) == 1200)
            let monthly = try #require(try CronSchedule("H H H * *", seed: seed).next(after: start, in: zone))
            #expect(monthly < start.addingTimeInterval(32 * 86400))
        }
        #expect(minutes.count > 40)
    }

    @Test(arguments: [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * 0 *",
        "* * * * 8", "-1 * * * *", "5-1 * * * *", "*/0 * * * *", "*/ * * * *", "1- * * * *", "a * * * *",
        "* * * jan-foo *", "* * * * mond", ",* * * * *", "1,,2 * * * *", "1-2-3 * * * *", "H(5-70) * * * *",
        "H( * * * *", "0 0 30 2 *", "0 0 31 4,6 *", "99999999999999999999 * * * *", "@daily", "*/1/2 * * * *",
        "٣ * * * *",
    ])
    func `what is no schedule is refused`(spec: String) {
        #expect {
            try CronSchedule(spec)
        } throws: { error in
            (error as? HoldfastError)?.code == .invalidInput
        }
    }

    @Test func `a refusal names the field`() {
        #expect {
            try CronSchedule("* 25 * * *")
        } throws: { error in
            (error as? HoldfastError)?.message
                == "found '25' as hour, expected numbers from 0 to 23, ranges, steps, * or H"
        }
    }
}
