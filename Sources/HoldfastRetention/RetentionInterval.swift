import HoldfastModel

/// How often a schedule backs up: a number and a unit, such as `6h`, `1d` or `3M`.
public struct RetentionInterval: Sendable, Hashable {
    public enum Unit: String, Sendable, CaseIterable {
        case hour = "h"
        case day = "d"
        case week = "w"
        case month = "M"
        case year = "y"

        /// Seconds in it, about: for comparing intervals, never for dates.
        var seconds: Int {
            switch self {
            case .hour: 3600
            case .day: 86_400
            case .week: 604_800
            case .month: 2_629_746
            case .year: 31_556_952
            }
        }
    }

    public let number: Int
    public let unit: Unit

    /// No interval may be longer, in seconds: a hundred years.
    private static let longest = 100 * 31_556_952

    /// - Throws: `invalidInput` unless it is a positive number and one of the units, at most a hundred years long.
    public init(_ text: String) throws {
        guard let last = text.last, let unit = Unit(rawValue: String(last)) else {
            throw Self.refused(text, "it does not end in one of the units h, d, w, M and y")
        }
        let digits = text.dropLast()
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw Self.refused(text, "there is no whole number before the unit")
        }
        guard let number = Int(digits), number <= Self.longest / unit.seconds else {
            throw Self.refused(text, "it is longer than a hundred years")
        }
        guard number > 0 else { throw Self.refused(text, "the number must be at least 1") }
        self.number = number
        self.unit = unit
    }

    private static func refused(_ text: String, _ why: String) -> HoldfastError {
        HoldfastError(
            .invalidInput, "'\(text)' is not an interval: \(why)",
            hint: "Give a number and a unit: h hours, d days, w weeks, M months, y years, such as 1d or 3M")
    }

    /// Seconds from one slot to the next, about: shorter is finer.
    public var approximateSeconds: Int { number * unit.seconds }
}

extension RetentionInterval: CustomStringConvertible, Comparable {
    public var description: String { "\(number)\(unit.rawValue)" }

    /// The finer one first; of equally long ones in the order of their names.
    public static func < (left: Self, right: Self) -> Bool {
        let lengths = (left.approximateSeconds, right.approximateSeconds)
        return lengths.0 == lengths.1 ? left.description < right.description : lengths.0 < lengths.1
    }
}
