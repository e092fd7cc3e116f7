import HoldfastModel

/// One tick of a schedule's clock: a period of time that one backup may claim.
///
/// `h` counts elapsed hours in UTC; the other units are civil periods in the project's zone. Several units are counted
/// in groups from a fixed anchor, so a slot has the same number for ever, and a change of summer time doubles or drops
/// none.
public struct Slot: Sendable, Hashable {
    public let interval: RetentionInterval
    /// The period's number: of hours and days since 1 January 1970, of ISO weeks since the one of that day, of months
    /// and years since the year 0, each divided by the interval's number.
    public let number: Int

    public init(interval: RetentionInterval, number: Int) {
        self.interval = interval
        self.number = number
    }

    /// The slot that an instant lies in.
    public init(of interval: RetentionInterval, at time: Int, in zone: CivilZone) {
        self.interval = interval
        let day = zone.day(at: time)
        let period =
            switch interval.unit {
            case .hour: time.floorDivided(by: 3600).quotient
            case .day: day.number
            case .week: day.week
            case .month: day.components.year * 12 + day.components.month - 1
            case .year: day.components.year
            }
        number = period.floorDivided(by: interval.number).quotient
    }

    /// The next slot of the same interval.
    public var next: Slot { Slot(interval: interval, number: number + 1) }

    /// The first civil day of the period; nil for hours.
    package var firstDay: CivilDay? {
        let period = number * interval.number
        switch interval.unit {
        case .hour: return nil
        case .day: return CivilDay(number: period)
        case .week: return CivilDay(number: period * 7 - 3)
        case .month:
            let (year, month) = period.floorDivided(by: 12)
            return CivilDay(year: year, month: month + 1, day: 1)
        case .year: return CivilDay(year: period, month: 1, day: 1)
        }
    }

    /// Whether no instant lies in it: a zone that crosses the date line leaves out a day.
    package func isEmpty(in zone: CivilZone) -> Bool { start(in: zone) == next.start(in: zone) }

    /// When the slot begins, in seconds since 1970.
    public func start(in zone: CivilZone) -> Int {
        guard let firstDay else { return number * interval.number * 3600 }
        return zone.instant(of: firstDay, second: 0)
    }
}

/// When in its slot a backup is due.
public struct DueTime: Sendable, Hashable {
    /// Seconds after midnight, on the first day of a civil period.
    public var timeOfDay: Int
    /// A part of the jitter window, 0 to 1, the same for an environment for ever: not all start at once.
    public var jitter: Double

    /// Civil slots begin within this many seconds after `timeOfDay`.
    static let civilWindow = 1800
    /// Slots of hours begin within this many seconds after the slot, or a twelfth of it.
    static let hourWindow = 300

    public init(timeOfDay: Int = 4 * 3600, jitter: Double = 0) {
        self.timeOfDay = timeOfDay
        self.jitter = min(max(jitter, 0), 1)
    }

    /// The jitter of an environment: a stable fraction made of its identifier.
    public init(for environment: EnvironmentID) {
        self.init(jitter: Double(StableHash.of(environment.rawValue) >> 40) / Double(1 << 24))
    }

    /// The instant from which on the slot's backup may run, in seconds since 1970.
    public func instant(of slot: Slot, in zone: CivilZone) -> Int {
        guard let day = slot.firstDay else {
            let window = min(Self.hourWindow, slot.interval.approximateSeconds / 12)
            return slot.start(in: zone) + Int(jitter * Double(window))
        }
        return zone.instant(of: day, second: timeOfDay + Int(jitter * Double(Self.civilWindow)))
    }
}
