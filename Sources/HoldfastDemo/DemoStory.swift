// HoldfastDemo: the whole story in one run, on real input.
//
// It starts a server of its own, deploys the ledger by a Git push, puts a load on it, takes a consistent backup under
// that load, damages the environment, restores it, and lets the ledger be the oracle. Whatever a user would do, it does
// with the same command line a user has; it looks behind the curtain only to do damage and to judge.

import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// What the demo is told.
package struct DemoOptions: Sendable {
    /// The binary that is run for every verb.
    package var binary: String
    /// A new state directory.
    package var home: String
    /// Folder of the sample environment.
    package var example: String
    /// Ends after the story instead of leaving everything running.
    package var once: Bool
    /// Whether the ledger has all of `LedgerServices`, or PostgreSQL alone.
    package var everyService = false
    package var requestsPerSecond = 150.0
    package var connections = 12

    package init(binary: String, home: String, example: String, once: Bool) {
        self.binary = binary
        self.home = home
        self.example = example
        self.once = once
    }
}

/// The story, step by step. Each step prints what it does; the first that fails ends it.
package struct DemoStory: Sendable {
    let options: DemoOptions
    let say: @Sendable (String) -> Void
    let time: any TimeSource

    package init(options: DemoOptions, time: any TimeSource, say: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.time = time
        self.say = say
    }

    /// Runs the story.
    ///
    /// - Parameter interrupted: returns when the user has had enough of the running environment.
    /// - Throws: what failed, or `damaged` if the oracle found a difference.
    package func run(until interrupted: @Sendable () async -> Void) async throws {
        let house = try DemoHouse(options: options)
        do {
            try await tell(in: house)
            if !options.once {
                say("\nThe environment is left running: \(try house.address())")
                say("Its command line: HOLDFAST_HOME=\(options.home) \(options.binary) backup:list -p \(house.project)")
                say("Press Ctrl-C to end it and to remove \(options.home).")
                await interrupted()
            }
            house.end()
        } catch {
            house.end(keepingLogs: true)
            throw error
        }
    }

    private func tell(in house: DemoHouse) async throws {
        heading(1, "An environment: app, worker, cron, PostgreSQL, a mount")
        try house.start()
        try house.createProject(title: "Ledger")
        try house.push(version: 1)
        let address = try house.address()
        say("The ledger answers at \(address)")

        heading(2, "Traffic, and a consistent backup under it")
        let (load, backup) = try await backUpUnderLoad(house)
        let before = try house.ledger()
        try Verdict.everyRequestOnce(load, before, say: say)

        heading(3, "Damage: rows deleted, files overwritten, other code deployed")
        try house.damage()
        try house.push(version: 2)
        let damaged = try house.ledger()
        say(
            "Now version \(damaged.version): \(damaged.databaseIDs.count) events in the database, "
                + "\(damaged.fileIDs.count) in the file")
        guard damaged.databaseIDs != damaged.fileIDs, damaged.version == "2" else {
            throw HoldfastError(.internalFault, "the damage left no difference, so the restore would prove nothing")
        }

        heading(4, "Restore")
        let started = time.monotonicNanoseconds()
        try house.run(["backup:restore", backup.id.rawValue, "-p", house.project, "-e", "main", "-y"])
        say(String(format: "Restored in %.1f s", Double(time.monotonicNanoseconds() - started) / 1e9))

        heading(5, "The oracle")
        try Verdict.restored(try house.ledger(), load: load, backup: backup, say: say)

        heading(6, "What restic says of the repository")
        try house.judgeWithRestic(say: say)
    }

    /// Puts the load on, takes the backup in the middle of it.
    private func backUpUnderLoad(_ house: DemoHouse) async throws -> (LoadSummary, API.Backup) {
        var plan = try house.loadPlan(prefix: "demo")
        plan.connections = options.connections
        plan.requestsPerSecond = options.requestsPerSecond
        plan.duration = .seconds(120)
        let generator = try LoadGenerator(plan, time: time)
        async let running = generator.run()
        do {
            try await Task.sleep(for: .seconds(3))
            try await house.runAside(["backup:create", "-p", house.project, "-e", "main", "-y"])
            try await Task.sleep(for: .seconds(2))
        } catch {
            generator.stop()
            _ = try await running
            throw error
        }
        generator.stop()
        let load = try await running
        let backup = try await house.newestBackup()
        if let hold = backup.hold {
            say(
                "held \(Int(hold.heldForMilliseconds.rounded())) ms, \(hold.requestsHeld) requests, longest "
                    + "\(Int(hold.longestRequestMilliseconds.rounded())) ms, \(load.dropped.count) dropped")
        }
        return (load, backup)
    }

    private func heading(_ number: Int, _ text: String) { say("\n\(number). \(text)") }
}
