import HoldfastDemo
import Testing

/// kill -9 at every phase of a backup with every service on.
@Suite(.serialized)
struct ServiceKills {
    /// The server, the supervisor, all services at once with the caches, and each that keeps data, each at every phase;
    /// in the usual run only what touches most services.
    ///
    /// Services come last: their places differ from then on by the events of requests that failed.
    private static var cases: [(victim: Victim, phase: String)] {
        let all = Victim.services(LedgerServices.lasting + LedgerServices.caches)
        guard Installation.runsLongTests else { return [(.serve, "backup.marking"), (all, "backup.frozen")] }
        let victims: [Victim] = [.serve, .supervise, all] + LedgerServices.lasting.map { Victim.services([$0]) }
        return victims.flatMap { victim in Installation.backupPhases.map { (victim: victim, phase: $0) } }
    }

    @Test func `killed at any phase: the gate opens, nothing stays frozen or is lost, the next backup is good`() throws
    {
        let installation = try Installation.withLedger { try LedgerServices.add(to: $0) }
        defer { installation.end() }
        for (victim, phase) in Self.cases {
            // The database, the file and the journal are there without services, too.
            try installation.survive(killing: victim, at: phase, places: LedgerServices.lasting.count + 3)
        }
    }
}
