import Foundation
import HoldfastModel

/// Whether the wall clock can be right.
package struct ClockCheck: Sendable {
    let now: Date
    /// When something was recorded last, by the clock of then.
    let newestRecord: Date?
    /// By how many seconds it differs from a clock that only counts; nil if it does not.
    let jumped: Int?

    package init(now: Date, newestRecord: Date?, jumped: Int?) {
        self.now = now
        self.newestRecord = newestRecord
        self.jumped = jumped
    }

    /// 1 January 2025 and 2125: there was no Holdfast before, and there will be another one after.
    private static let possible =
        Date(timeIntervalSince1970: 1_735_689_600)..<Date(timeIntervalSince1970: 4_891_363_200)

    package func findings() -> [Finding] {
        let (check, advice) = ("clock", "Put the clock right, and keep it right with NTP")
        var found: [Finding] = []
        if !Self.possible.contains(now) {
            found.append(.wrong(check, "the clock says \(now.formatted(.iso8601))", advice))
        }
        if let newestRecord, newestRecord > now.addingTimeInterval(300) {
            found.append(
                .wrong(
                    check,
                    "the clock says \(now.formatted(.iso8601)), and the catalogue has records of "
                        + newestRecord.formatted(.iso8601), advice))
        }
        if let jumped {
            found.append(
                .wrong(check, "the clock has jumped by \(jumped) seconds, so policies delete nothing", advice))
        }
        return found.orGood(check, "the clock says \(now.formatted(.iso8601)), and nothing speaks against it")
    }
}
