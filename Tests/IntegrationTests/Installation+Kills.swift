import Foundation
import Testing

/// What is killed in the middle of a backup.
enum Victim: Sendable, CustomStringConvertible {
    case serve, supervise
    /// Services of the environment by name, one right after the other.
    case services([String])

    var isServe: Bool { if case .serve = self { true } else { false } }
    /// The app needs them, so requests may fail.
    var isServices: Bool { if case .services = self { true } else { false } }

    var description: String {
        switch self {
        case .serve: "serve"
        case .supervise: "supervise"
        case .services(let names): names.joined(separator: "-")
        }
    }
}

extension Installation {
    /// The points of a backup until it has all it needs of the environment, in their order.
    static let backupPhases = [
        "backup.pre-copied", "backup.drained", "backup.frozen", "backup.marking", "backup.marked", "backup.thawed",
        "backup.released",
    ]

    /// Kills with SIGKILL while a backup stands at a phase, and checks what has to hold then: the gate opens in time,
    /// nothing stands still, and the next backup has everything that was answered, in every place. Unless services are
    /// killed, or were before, all places have the same.
    ///
    /// - Parameter places: how many places the ledger writes each event to, caches not counted.
    func survive(killing victim: Victim, at phase: String, places: Int) throws {
        let name = "\(victim)-\(phase.replacingOccurrences(of: ".", with: "-"))"
        #expect(try post("before-\(name)") == 201)
        try begin("backup:create", stoppingAt: phase)
        let prober = try Prober(self)
        switch victim {
        case .serve: killServer()
        case .supervise: try killSupervise(named: "holdfast")
        case .services(let names): for service in names { try killService(service) }
        }
        if victim.isServe { try start() } else { goOn() }
        let hasEnded = waitUntil(seconds: 150) { (try? backupsEnded()) == true }
        #expect(hasEnded, "the backup did not end, \(name)")
        // Services are started again, and their first requests may still find them recovering.
        let after = try postUntilAnswered("after-\(name)")
        #expect(try isTallied(after), "\(name)")
        let (slowest, statuses) = prober.stop()
        // The lease, or the cap of 15 s, and what a loaded machine adds.
        #expect(slowest < (victim.isServe ? 10 : 20), "\(name): \(slowest) s")
        if !victim.isServices { #expect(statuses == [201], "\(name)") }
        #expect(try stoppedProcesses() == [], "\(name)")
        note("\(victim) killed at \(phase): slowest \(slowest) s, \(prober.accepted.count) requests answered")

        try must("backup:create", "-p", project, "-e", "main", "-y")
        #expect(try post("too-late-\(name)") == 201)
        try must("backup:restore", "-p", project, "-e", "main", "-y")
        let answered = prober.accepted.union(["before-\(name)", after])
        let restored = try everywhere().sets
        #expect(restored.count == places, "\(name)")
        for (place, ids) in restored {
            #expect(answered.subtracting(ids) == [], "\(place), \(name)")
            #expect(!ids.contains("too-late-\(name)"), "\(place), \(name)")
        }
        // A service that dies in a request may keep an event that the others never heard of.
        if victim.isServices { return }
        #expect(Set(restored.values).count == 1, "the places differ, \(name)")
        // With the events of crons.
        let (database, file) = try sets()
        #expect(database == file, "\(name)")
    }
}
