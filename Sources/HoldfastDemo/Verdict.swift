import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// The oracle's judgements. Each says what it found, and throws if it is not what was promised.
enum Verdict {
    /// No request was lost in the hold, none was run twice, and there was one in it.
    static func everyRequestOnce(
        _ load: LoadSummary, prefix: String = "demo-", _ ledger: LedgerSets, say: (String) -> Void
    ) throws {
        try noneLost(load, prefix: prefix, ledger, say: say)
        guard !load.held.isEmpty else {
            throw HoldfastError(.internalFault, "no request arrived in the hold, so it proves nothing")
        }
    }

    /// No request was lost, and none was run twice: each that was answered is in every place.
    ///
    /// - Parameter prefix: of the ids of the load's requests.
    static func noneLost(
        _ load: LoadSummary, prefix: String, _ ledger: LedgerSets, say: (String) -> Void
    ) throws {
        let twice = executedTwice(ledger, prefix: prefix)
        let missing = load.accepted.subtracting(ledger.idsEverywhere)
        say(
            "\(load.outcomes.count) requests: \(load.accepted.count) answered, \(load.held.count) of them held, "
                + "\(load.dropped.count) dropped, \(load.refused.count) refused, \(twice) executed twice; "
                + "p99 \(Int(load.latencyMilliseconds(share: 0.99))) ms, longest \(Int(load.longestMilliseconds)) ms")
        guard load.dropped.isEmpty, load.refused.isEmpty, twice == 0, missing.isEmpty else {
            let reasons = load.dropped.prefix(3).map { "\($0.id): \($0.failure ?? "status \($0.status ?? 0)")" }
            throw HoldfastError(
                .damaged,
                "requests were lost or run twice: \(reasons.joined(separator: "; "))"
                    + (missing.isEmpty ? "" : "; answered and not in all places: \(missing.count)"))
        }
    }

    /// How many requests were run more often than once.
    static func executedTwice(_ ledger: LedgerSets, prefix: String) -> Int {
        let ours = ledger.database.map(\.id).filter { $0.hasPrefix(prefix) }
        return ours.count - Set(ours).count + ledger.duplicates.filter { $0.hasPrefix(prefix) }.count
    }

    /// In a live backup the places may differ by the events whose requests ran between its first and its last mark.
    ///
    /// - Returns: how many differ.
    static func live(_ ledger: LedgerSets, load: LoadSummary, backup: API.Backup) throws -> Int {
        guard let skew = backup.skew else {
            throw HoldfastError(.internalFault, "backup \(backup.id) has no record of its skew")
        }
        let between = load.outcomes.filter { $0.sentAt <= skew.lastMarkAt && $0.endedAt >= skew.firstMarkAt }
        let allowed = Set(between.map(\.id))
        let differing = ledger.differingEvents
        let answered: [String: (sentAt: Date, endedAt: Date)] = Dictionary(
            load.outcomes.filter(\.isAccepted).map { ($0.id, (sentAt: $0.sentAt, endedAt: $0.endedAt)) }
        ) { first, _ in first }
        let others = differing.filter { event in
            event.kind == "cron"
                ? !ledger.mayHaveRun(cron: event, within: skew, answered: answered) : !allowed.contains(event.id)
        }
        guard others.isEmpty else {
            throw HoldfastError(
                .damaged,
                "events differ whose requests or crons did not run within the skew of \(skew.milliseconds) ms: "
                    + others.prefix(5).map(\.id).sorted().joined(separator: ", "))
        }
        return differing.count
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
        let lost = before.subtracting(ledger.databaseIDs)
        let intruders = after.intersection(ledger.databaseIDs)
        let counts = ledger.places.map { "\($0.value.count) in the \($0.key)" }.sorted()
        say(
            "Version \(ledger.version): \(ledger.database.count) events in the database, "
                + (["\(ledger.file.count) in the file"] + counts).joined(separator: ", "))
        say("\(before.count) were answered before the gate closed, \(lost.count) of them are missing")
        say("\(after.count) were sent after it had opened, \(intruders.count) of them are there")
        let differences = ledger.differences
        guard differences.isEmpty, lost.isEmpty, intruders.isEmpty, ledger.version == "1", !before.isEmpty else {
            let difference = differences.prefix(5).joined(separator: ", ")
            throw HoldfastError(
                .damaged, "the oracle found a difference: \(difference.isEmpty ? "see the counts above" : difference)")
        }
        say("Equal: the database and all files hold exactly the same events.")
    }
}
