import Foundation
import HoldfastModel

/// A time zone as integers: when its distance from UTC changes, and by how much it stands then.
///
/// The transitions are read from Foundation once, from 1970 to 2199; everything after that is arithmetic. Before and
/// after that range the first and the last offset hold.
public struct CivilZone: Sendable, Hashable {
    public let identifier: String
    /// Instants in seconds since 1970 at which an offset begins, ascending; the first one stands for all time before.
    package let starts: [Int]
    /// Seconds east of UTC from the instant of the same index on.
    package let offsets: [Int]

    public static let utc = CivilZone(identifier: "UTC", starts: [0], offsets: [0])

    init(identifier: String, starts: [Int], offsets: [Int]) {
        self.identifier = identifier
        self.starts = starts
        self.offsets = offsets
    }

    /// Reads the rules of a zone; takes a tenth of a second, so keep the value.
    ///
    /// - Parameter identifier: an IANA name, such as `Europe/Berlin`.
    /// - Throws: `invalidInput` if the system knows no such zone.
    public init(identifier: String) throws {
        guard let zone = TimeZone(identifier: identifier) else {
            throw HoldfastError(
                .invalidInput, "'\(identifier)' is not a time zone", hint: "Give an IANA name such as Europe/Berlin")
        }
        var starts = [0]
        var offsets = [Self.offset(of: zone, at: 0)]
        // Looking every fortnight and bisecting finds every change that lasts longer: the shortest there are, those of
        // a month of fasting, last four weeks.
        let step = 14 * 86_400
        for time in stride(from: 0, to: Self.horizon, by: step) {
            let next = Self.offset(of: zone, at: time + step)
            guard let last = offsets.last, next != last else { continue }
            var (low, high) = (time, time + step)
            while high - low > 1 {
                let middle = (low + high) / 2
                if Self.offset(of: zone, at: middle) == last { low = middle } else { high = middle }
            }
            starts.append(high)
            offsets.append(next)
        }
        self.init(identifier: identifier, starts: starts, offsets: offsets)
    }

    /// 1 January 2200 UTC, in seconds since 1970.
    private static let horizon = 7_258_118_400

    private static func offset(of zone: TimeZone, at time: Int) -> Int {
        zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time)))
    }

    private func index(at time: Int) -> Int {
        var (low, high) = (0, starts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= time { low = middle } else { high = middle }
        }
        return low
    }

    /// Seconds east of UTC at an instant in seconds since 1970.
    public func offset(at time: Int) -> Int { offsets[index(at: time)] }

    /// The civil day at an instant.
    public func day(at time: Int) -> CivilDay {
        CivilDay(number: (time + offset(at: time)).floorDivided(by: 86_400).quotient)
    }

    /// The instant at which a clock on the wall shows a time of a day.
    ///
    /// - Parameter second: seconds after midnight, as the clock shows them.
    /// - Returns: the first such instant if there are two; if there is none, the next instant that exists.
    public func instant(of day: CivilDay, second: Int) -> Int {
        let wall = day.number * 86_400 + second
        // No offset is further from UTC than a day, so these are all that can be meant.
        let first = index(at: wall - 86_400)
        let last = index(at: wall + 86_400)
        for candidate in first...last {
            let time = wall - offsets[candidate]
            if index(at: time) == candidate { return time }
            // The clock has jumped over that time when the next offset begins.
            if candidate < last, starts[candidate + 1] <= time, starts[candidate + 1] + offsets[candidate + 1] > wall {
                return starts[candidate + 1]
            }
        }
        return wall - offsets[last]
    }
}
