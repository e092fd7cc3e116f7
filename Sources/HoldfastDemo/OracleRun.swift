import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// What a run of the oracle is told.
package struct OracleOptions: Sendable {
    /// The binary of `holdfast`, and this program, whose `load` is `LoadProcess.run`.
    package var binary: String
    package var program: String
    /// Folder of the sample environment.
    package var example: String
    /// A new state directory.
    package var home: String
    /// Consistent backups in a row.
    package var rounds = 200
    /// Live backups after them.
    package var liveRounds = 10

    package init(binary: String, program: String, example: String, home: String) {
        self.binary = binary
        self.program = program
        self.example = example
        self.home = home
    }
}

/// Backups under full load, one after another, each restored into an environment aside and judged there by the ledger.
package struct OracleRun: Sendable {
    /// After so many rounds the ledger is set back to its beginning, so that all rounds cost the same.
    private static let roundsOfOneLedger = 20
    private static let aside = "aside"

    private let options: OracleOptions
    private let say: @Sendable (String) -> Void

    package init(_ options: OracleOptions, say: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.say = say
    }

    /// - Throws: `damaged` at the first backup in which the places differ by more than they may, with the difference.
    package func run() async throws {
        let house = try DemoHouse(
            options: DemoOptions(binary: options.binary, home: options.home, example: options.example, once: true))
        do {
            try await judgeAll(house)
            house.end()
        } catch {
            house.end(keepingLogs: true)
            throw error
        }
    }

    private func judgeAll(_ house: DemoHouse) async throws {
        try house.start()
        try house.createProject(title: "Ledger")
        try house.push(version: 1)
        try house.push(version: 1, to: Self.aside)
        let saturation = try house.saturation(program: options.program, prefix: "warm", seconds: 3)
        say("The ledger is saturated by \(Int(saturation)) requests a second; full load is 70 % of that.")
        try house.quiet(["backup:create", "-p", house.project, "-e", "main", "-y"])
        let beginning = try await house.newestBackup().id
        var held = 0
        for round in 1...max(1, options.rounds + options.liveRounds) {
            if round > 1, round % Self.roundsOfOneLedger == 1 { try restore(beginning, to: "main", house) }
            let isLive = round > options.rounds
            let (load, backup) = try await backUpUnderLoad(house, saturation, round, isLive: isLive)
            let prefix = "r\(round)-"
            try Verdict.noneLost(load, prefix: prefix, try house.ledger(), say: { _ in })
            try restore(backup.id, to: Self.aside, house)
            let ledger = try house.ledger(of: Self.aside)
            held += load.held.count
            if isLive {
                let differing = try Verdict.live(ledger, load: load, backup: backup)
                say("live \(round - options.rounds): \(differing) events differ, all within the recorded skew")
            } else {
                try Verdict.restored(ledger, load: load, backup: backup, say: { _ in })
                let hold = backup.hold.map { String(format: "held %.0f ms", $0.heldForMilliseconds) } ?? ""
                say("\(round): \(ledger.database.count) events, equal in all places; \(load.held.count) held; \(hold)")
            }
        }
        guard held > 0 else {
            throw HoldfastError(.internalFault, "no request arrived in a hold, so the run proves nothing")
        }
        say("Equal in all \(options.rounds) consistent backups; \(held) requests were held, none dropped or run twice.")
    }

    private func backUpUnderLoad(
        _ house: DemoHouse, _ saturation: Double, _ round: Int, isLive: Bool
    ) async throws -> (LoadSummary, API.Backup) {
        let load = try house.fullLoad(saturation: saturation, program: options.program, prefix: "r\(round)")
        do {
            try await Task.sleep(for: .seconds(1))
            try house.quiet(
                ["backup:create", "-p", house.project, "-e", "main", "-y"] + (isLive ? ["--live"] : []))
            try await Task.sleep(for: .milliseconds(500))
        } catch {
            _ = try? load.stop()
            throw error
        }
        let summary = try load.stop()
        return (summary, try await house.newestBackup())
    }

    private func restore(_ backup: BackupID, to environment: String, _ house: DemoHouse) throws {
        try house.quiet([
            "backup:restore", backup.rawValue, "-p", house.project, "-e", "main", "--target", environment, "-y",
        ])
    }
}
