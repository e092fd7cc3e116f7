import HoldfastModel
import HoldfastRetention
import Testing

@Suite struct ScheduleStateTests {
    private func state(
        _ schedules: [(String, Int)], claimed: [(String, String)] = [], at now: String, zone: CivilZone = .utc,
        since: String = "2026-01-01T00:00:00Z"
    ) throws -> ScheduleState {
        let slots = try claimed.map {
            Slot(of: try RetentionInterval($0.0), at: try CivilZoneTests.time($0.1), in: zone)
        }
        return ScheduleState(
            try PlanTests.policy(schedules), claimed: Set(slots), since: try CivilZoneTests.time(since),
            at: try CivilZoneTests.time(now), in: zone, due: DueTime())
    }

    @Test func `nothing is due before four o'clock, and the next time is said`() throws {
        let before = try state([("1d", 7)], claimed: [("1d", "2026-06-01T12:00:00Z")], at: "2026-06-02T03:59:59Z")
        #expect(before.due.isEmpty)
        #expect(before.next == (try CivilZoneTests.time("2026-06-02T04:00:00Z")))
        #expect(before.overdueSeconds == 0)
        let after = try state([("1d", 7)], claimed: [("1d", "2026-06-01T12:00:00Z")], at: "2026-06-02T04:00:00Z")
        #expect(after.due.count == 1)
        let done = try state([("1d", 7)], claimed: [("1d", "2026-06-02T04:00:00Z")], at: "2026-06-02T04:00:01Z")
        #expect(done.due.isEmpty)
        #expect(done.next == (try CivilZoneTests.time("2026-06-03T04:00:00Z")))
    }

    @Test func `all that is due is claimed by one run`() throws {
        // A Monday, the first of a month.
        let state = try state([("1M", 12), ("6h", 4), ("1w", 4), ("1d", 7)], at: "2026-06-01T05:00:00Z")
        #expect(state.due.map(\.interval.description) == ["6h", "1d", "1w", "1M"])
    }

    @Test func `after an outage one catch-up is due, and the days between are missed for ever`() throws {
        let claimed = [("1d", "2026-06-01T12:00:00Z"), ("1w", "2026-06-01T12:00:00Z")]
        let down = try state([("1d", 7), ("1w", 4)], claimed: claimed, at: "2026-06-05T12:00:00Z")
        #expect(down.due.map(\.interval.description) == ["1d"])
        #expect(down.missed == [try RetentionInterval("1d"): 3, try RetentionInterval("1w"): 0])
        #expect(down.overdueSeconds == 3 * 86_400 + 8 * 3600)
        let up = try state(
            [("1d", 7), ("1w", 4)], claimed: claimed + [("1d", "2026-06-05T12:00:00Z")], at: "2026-06-05T12:01:00Z")
        #expect(up.due.isEmpty)
        #expect(up.overdueSeconds == 0)
    }

    @Test func `a new schedule is due at once, and not overdue before it was there`() throws {
        let new = try state([("1w", 4)], at: "2026-06-04T12:00:00Z", since: "2026-06-04T11:00:00Z")
        #expect(new.due.count == 1)
        #expect(new.overdueSeconds == 3600)
    }

    @Test func `nothing is overdue for longer than the environment has been active, and it is due at once`() throws {
        let claimed = Slot(
            of: try RetentionInterval("1d"), at: try CivilZoneTests.time("2026-06-01T12:00:00Z"), in: .utc)
        func state(at now: String) throws -> ScheduleState {
            ScheduleState(
                try PlanTests.policy([("1d", 7)]), claimed: [claimed], since: 0,
                activeSince: try CivilZoneTests.time("2026-06-20T14:00:00Z"), at: try CivilZoneTests.time(now),
                in: .utc, due: DueTime())
        }
        let resumed = try state(at: "2026-06-20T14:10:00Z")
        #expect(resumed.due.count == 1)
        #expect(resumed.overdueSeconds == 600)
        #expect(try state(at: "2026-06-21T14:00:00Z").overdueSeconds == 86_400)
    }

    @Test func `a claim of the future, made by a wrong clock, stops nothing`() throws {
        let state = try state(
            [("1d", 7)], claimed: [("1d", "2036-06-01T12:00:00Z"), ("1d", "2026-06-01T12:00:00Z")],
            at: "2026-06-02T05:00:00Z")
        #expect(state.due.count == 1)
        #expect(state.missed == [try RetentionInterval("1d"): 0])
    }

    @Test func `a day that the zone left out is neither missed nor overdue`() throws {
        let apia = try CivilZone(identifier: "Pacific/Apia")
        let state = try state(
            [("1d", 7)], claimed: [("1d", "2011-12-30T09:00:00Z")], at: "2011-12-30T11:00:00Z", zone: apia,
            since: "2011-01-01T00:00:00Z")
        #expect(state.due.isEmpty)
        #expect(state.missed == [try RetentionInterval("1d"): 0])
        #expect(state.overdueSeconds == 0)
        #expect(state.next == (try CivilZoneTests.time("2011-12-30T14:00:00Z")))
    }

    @Test func `without schedules nothing is ever due`() throws {
        let state = try state([], at: "2026-06-02T05:00:00Z")
        #expect(state.due.isEmpty && state.next == nil && state.overdueSeconds == 0)
    }
}

@Suite struct ClockGuardTests {
    @Test func `drift and small steps are followed`() {
        var clock = ClockGuard(wall: 1_000_000, counting: 0)
        for hour in 1...10_000 {
            #expect(clock.check(wall: 1_000_000 + hour * 3610, counting: hour * 3600) == nil)
        }
    }

    @Test func `a jump of ten years is not trusted, and coming back is at once`() {
        var clock = ClockGuard(wall: 1_000_000, counting: 0)
        let decade = 315_576_000
        #expect(clock.check(wall: 1_000_060 + decade, counting: 60) == decade)
        #expect(clock.check(wall: 1_000_120 + decade, counting: 120) == decade)
        #expect(clock.check(wall: 1_000_180, counting: 180) == nil)
    }

    @Test func `a jump backwards is one, and is believed after a day without another`() {
        var clock = ClockGuard(wall: 1_000_000, counting: 0)
        #expect(clock.check(wall: 900_060, counting: 60) == -100_000)
        #expect(clock.check(wall: 900_060 + 80_000, counting: 80_060) == -100_000)
        #expect(clock.check(wall: 900_060 + 86_400, counting: 86_460) == nil)
        #expect(clock.check(wall: 900_060 + 90_000, counting: 90_060) == nil)
        // A clock that keeps jumping is never believed.
        for day in 1...30 {
            #expect(clock.check(wall: day * 1_000_000 * (day % 2 + 1), counting: 90_060 + day * 80_000) != nil)
        }
    }
}
