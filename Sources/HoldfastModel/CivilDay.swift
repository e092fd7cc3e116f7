/// A day of the proleptic Gregorian calendar, without a zone.
///
/// Source: H. Hinnant, chrono-compatible low-level date algorithms.
public struct CivilDay: Sendable, Hashable, Comparable {
    /// Days since 1 January 1970.
    public let number: Int

    public init(number: Int) { self.number = number }

    /// - Parameters:
    ///   - month: 1 to 12.
    ///   - day: 1 to 31; a day that the month does not have is counted on from there, forwards or backwards.
    public init(year: Int, month: Int, day: Int) {
        // Years begin in March here, so that the leap day is a year's last.
        let (era, yearOfEra) = (month > 2 ? year : year - 1).floorDivided(by: 400)
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        number = era * 146_097 + dayOfEra - 719_468
    }

    /// Year, month (1 to 12) and day of the month (1 to 31).
    public var components: (year: Int, month: Int, day: Int) {
        let (era, dayOfEra) = (number + 719_468).floorDivided(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    /// Weeks since the one of 29 December 1969; weeks begin on Monday.
    package var week: Int { (number + 3).floorDivided(by: 7).quotient }

    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

extension Int {
    /// The quotient rounded down, also below zero, and a remainder that is never negative.
    ///
    /// - Parameter divisor: positive.
    package func floorDivided(by divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
