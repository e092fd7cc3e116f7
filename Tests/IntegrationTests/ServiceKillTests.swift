import Foundation
import HoldfastDemo
import HoldfastModel
import Testing

/// kill -9 of services at every phase of a backup.
@Suite(.serialized)
struct ServiceKills {
    private struct Case {
        let victims: [String]
        let phase: String
    }

    /// Every service that keeps data at every phase; in the usual run all of them and the caches at once, in a hold.
    private static var cases: [Case] {
        let all = Case(victims: LedgerServices.lasting + LedgerServices.caches, phase: "backup.frozen")
        guard Installation.runsLongTests else { return [all] }
        return [all]
            + LedgerServices.lasting.flatMap { victim in
                HoldKills.phases.map { Case(victims: [victim], phase: $0) }
            }
    }

    @Test func `killed at any phase: the gate opens, nothing stays frozen or is lost, the next backup is good`() throws
    {
        let installation = try Installation.withLedger { try LedgerServices.add(to: $0) }
        defer { installation.end() }
        for (number, killed) in Self.cases.enumerated() {
            try survive(killed, "\(number)", installation)
        }
    }

    /// - Parameter name: of this case, for its events.
    private func survive(_ killed: Case, _ name: String, _ installation: Installation) throws {
        #expect(try installation.post("before-\(name)") == 201)
        try installation.begin("backup:create", stoppingAt: killed.phase)
        let prober = try Prober(installation)
        for victim in killed.victims { try installation.killService(victim) }
        installation.goOn()
        #expect(installation.waitUntil(seconds: 150) { (try? installation.backupsEnded()) == true }, "\(killed)")
        let after = try installation.postUntilAnswered("after-\(name)")
        #expect(try installation.isTallied(after), "\(killed)")
        let (slowest, _) = prober.stop()
        // The cap of 15 s, and what a loaded machine adds.
        #expect(slowest < 20, "\(killed): \(slowest) s")
        #expect(try installation.stoppedProcesses() == [], "\(killed)")

        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("too-late-\(name)") == 201)
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        let answered = prober.accepted.union(["before-\(name)", after])
        let places = try installation.everywhere().sets
        #expect(places.count == LedgerServices.lasting.count + 3)
        for (place, ids) in places {
            #expect(answered.subtracting(ids) == [], "\(place), \(killed)")
            #expect(!ids.contains("too-late-\(name)"), "\(place), \(killed)")
        }
        installation.note(
            "\(killed.victims.joined(separator: ", ")) killed at \(killed.phase): slowest \(slowest) s, "
                + "\(prober.accepted.count) requests answered")
    }
}
