import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// The oracle's judgements. Each says what it found, and throws if it is not what was promised.
enum Verdict {
    /// No request was lost in the hold, and none was run twice.
    static func everyRequestOnce(
        _ load: LoadSummary, _ ledger: LedgerSets, say: (String) -> Void
    ) throws {
        let ours = ledger.database.map(\.id).filter { $0.hasPrefix("demo-") }
        let twice = ours.count - Set(ours).count + ledger.duplicates.count
        let missing = load.accepted.subtracting(ours)
        say(
            "\(load.outcomes.count) requests: \(load.accepted.count) answered, \(load.held.count) of them held, "
                + "\(load.dropped.count) dropped, \(load.refused.count) refused, \(twice) executed twice; "
                + "p99 \(Int(load.latencyMilliseconds(share: 0.99))) ms, longest \(Int(load.longestMilliseconds)) ms")
        guard load.dropped.isEmpty, load.refused.isEmpty, twice == 0, missing.isEmpty else {
            let reasons = load.dropped.prefix(3).map { "\($0.id): \($0.failure ?? "status \($0.status ?? 0)")" }
            throw HoldfastError(
                .damaged,
                "requests were lost or run twice: \(reasons.joined(separator: "; "))"
                    + (missing.isEmpty ? "" : "; answered and not in the ledger: \(missing.count)"))
        }
        guard !load.held.isEmpty else {
            throw HoldfastError(.internalFault, "no request arrived in the hold, so it proves nothing")
        }
    }

    /// The restored sets are equal in all places, hold everything from before the mark, and nothing from after it.
    static func restored(
        _ ledger: LedgerSets, load: LoadSummary, backup: API.Backup, say: (String) -> Void
    ) throws {
        guard let hold = backup.hold else {
            throw HoldfastError(.internalFault, "backup \(backup.id) has no evidence of a hold")
        }
        let opened = hold.closedAt.addingTimeInterval(hold.heldForMilliseconds / 1000)
        let before = load.accepted(before: hold.closedAt)
        let after = load.sent(after: opened)
        let numbers = Set(ledger.database.map { "\($0.number):\($0.id)" })
        let fileNumbers = Set(ledger.file.map { "\($0.number):\($0.id)" })
        let lost = before.subtracting(ledger.databaseIDs)
        let intruders = after.intersection(ledger.databaseIDs)
        say("Version \(ledger.version): \(numbers.count) events in the database, \(fileNumbers.count) in the file")
        say("\(before.count) were answered before the gate closed, \(lost.count) of them are missing")
        say("\(after.count) were sent after it had opened, \(intruders.count) of them are there")
        guard numbers == fileNumbers, lost.isEmpty, intruders.isEmpty, ledger.version == "1", !before.isEmpty else {
            let difference = numbers.symmetricDifference(fileNumbers).sorted().prefix(5).joined(separator: ", ")
            throw HoldfastError(
                .damaged, "the oracle found a difference: \(difference.isEmpty ? "see the counts above" : difference)")
        }
        say("Equal: database and file hold exactly the same events.")
    }
}
