import Foundation
import HoldfastAPI
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        (0.0, "1970-01-01T00:00:00.000000+00:00"), (951_782_400.5, "2000-02-29T00:00:00.500000+00:00"),
        (4_107_542_399.123456, "2100-02-28T23:59:59.123456+00:00"), (-0.25, "1969-12-31T23:59:59.750000+00:00"),
        (-11_676_096_000.0, "1600-01-01T00:00:00.000000+00:00"),
    ])
    func `a date is written in UTC with microseconds, and reads back the same`(seconds: Double, text: String) {
        #expect(Timestamp.format(Date(timeIntervalSince1970: seconds)) == text)
        #expect(Timestamp.parse(text).map(Timestamp.format) == text)
    }

    @Test(arguments: [
        (1e300, "9999-12-31T23:59:59"), (9_300_000_000_000, "9999-12-31T23:59:59"), (-1e300, "0000-01-01T00:00:00"),
        (Double.infinity, "9999-12-31T23:59:59"),
    ])
    func `a date that four digits cannot say is the nearest that they can`(seconds: Double, text: String) {
        let written = Timestamp.format(Date(timeIntervalSince1970: seconds))
        #expect(written == "\(text).000000+00:00")
        #expect(Timestamp.parse(written) != nil)
    }

    /// Foundation's calendar is the Julian one before October 1582.
    @Test func `days agree with the calendar of Foundation over four centuries`() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        for day in stride(from: -141_000, through: 146_097, by: 379) {
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            let (year, month, dayOfMonth) = (parts.year ?? 0, parts.month ?? 0, parts.day ?? 0)
            let expected = String(format: "%04d-%02d-%02dT", year, month, dayOfMonth)
            #expect(Timestamp.format(date).hasPrefix(expected))
        }
    }

    @Test(arguments: [
        "2022-02-22T02:00:00Z", "2022-02-22T02:00:00.000000+00:00", "2022-02-22T04:00:00+02:00",
        "2022-02-21T21:30:00.000-0430", "2022-02-22T02:00:00.000000 00:00", "2022-02-22T02:00:00",
    ])
    func `offsets, short fractions and a plus that became a blank are understood`(text: String) {
        #expect(Timestamp.parse(text) == Date(timeIntervalSince1970: 1_645_495_200))
    }

    @Test(arguments: [
        "", "yesterday", "2022-02-22", "2022-13-01T00:00:00Z", "2022-01-01T24:00:00Z", "2022-01-01T00:00:00+99:00",
        "2022-01-01T00:00:00Zz", "٢٠٢٢-01-01T00:00:00Z", "99999-01-01T00:00:00Z",
    ])
    func `what is no time stamp is refused`(text: String) {
        #expect(Timestamp.parse(text) == nil)
    }
}
