import Foundation
import HoldfastModel

/// What the clocks of a time zone show, in whole seconds. Local seconds count from 1970-01-01 00:00 on the local clock.
struct CivilClock {
    let zone: TimeZone

    /// What the clock shows at an instant.
    func local(_ instant: Int) -> Int { instant + offset(instant) }

    /// Whether the clock is changed within two days of that day.
    func changes(aroundDay day: Int) -> Bool {
        offset((day - 2) * 86400) != offset((day + 3) * 86400)
    }

    /// The instants at which the clock shows a local time.
    ///
    /// - Parameter fixed: whether the time must come exactly once: one that is skipped comes right after the gap, one
    ///   that is shown twice only the first time.
    func instants(local: Int, fixed: Bool) -> [Int] {
        let before = offset(local - 2 * 86400)
        let later = offset(local + 2 * 86400)
        if before == later { return [local - before] }
        let candidates = [local - before, local - later].sorted().filter { self.local($0) == local }
        if candidates.isEmpty { return fixed ? [change(near: local, from: before)] : [] }
        return fixed ? Array(candidates.prefix(1)) : candidates
    }

    /// The first instant near a local time at which the offset is no longer `from`.
    private func change(near local: Int, from: Int) -> Int {
        var low = local - 2 * 86400
        var high = local + 2 * 86400
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if offset(middle) == from { low = middle } else { high = middle }
        }
        return high
    }

    private func offset(_ instant: Int) -> Int {
        zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant)))
    }

    /// Days since 1970-01-01, on the local clock.
    static func day(of local: Int) -> Int { local.floorDivided(by: 86400).quotient }

    /// 0 is Sunday.
    static func weekday(ofDay day: Int) -> Int { (day + 4).floorDivided(by: 7).remainder }
}
