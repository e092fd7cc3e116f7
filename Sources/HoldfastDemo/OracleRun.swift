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
    /// JSON file for what was found; nil for none.
    package var output: String?

    package init(binary: String, program: String, example: String, home: String) {
        self.binary = binary
        self.program = program
        self.example = example
        self.home = home
    }
}

/// Backups of the ledger with every service under full load, each restored into an environment aside and judged there
/// by the ledger.
package struct OracleRun: Sendable {
    /// Backups that are taken under one load, one after another.
    private struct Batch {
        /// At most so many: the ledger grows all the while, and each of them is restored.
        static let most = 6
        var rounds: Int
        var isLive: Bool

        static func all(_ rounds: Int, isLive: Bool) -> [Batch] {
            stride(from: 0, to: rounds, by: most).map { Batch(rounds: min(most, rounds - $0), isLive: isLive) }
        }
    }

    /// After so many loads the ledger is set back to its beginning, so that all rounds cost the same.
    private static let loadsOfOneLedger = 4
    /// A line is said each time that so many more backups are judged.
    private static let roundsOfOneLine = 10
    /// Environments to restore into, each of which takes its time to be made.
    private static let mostAsides = 3

    private let options: OracleOptions
    private let time: any TimeSource
    private let say: @Sendable (String) -> Void

    package init(_ options: OracleOptions, time: any TimeSource, say: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.time = time
        self.say = say
    }

    /// So many restores run at a time, because each waits for some server most of the time; a short run has one.
    private var asides: [String] {
        let wanted = (max(options.rounds, options.liveRounds) + 2) / 3
        return (1...max(1, min(Self.mostAsides, wanted))).map { "aside-\($0)" }
    }

    /// - Throws: `damaged` at the first backup in which the places differ by more than they may, with the difference.
    package func run() async throws {
        var demo = DemoOptions(binary: options.binary, home: options.home, example: options.example, once: true)
        demo.everyService = true
        let house = try DemoHouse(options: demo)
        var report = OracleReport()
        do {
            try await judgeAll(house, &report)
            house.end()
        } catch {
            house.end(keepingLogs: true)
            report.failure = "\(error)"
            try finish(report)
            throw error
        }
        try finish(report)
    }

    private func finish(_ report: OracleReport) throws {
        for line in report.summary { say(line) }
        if let output = options.output { try ReportFile.write(report, to: output) }
    }

    private func judgeAll(_ house: DemoHouse, _ report: inout OracleReport) async throws {
        try house.start()
        try house.createProject(title: "Ledger")
        try house.push(version: 1)
        for aside in asides { try house.push(version: 1, to: aside) }
        report.services = try house.live().state.services.values.map(\.type).sorted()
        report.saturation = try house.saturation(program: options.program, prefix: "warm", seconds: 5)
        report.load = report.saturation * LoadProcess.share
        say("The ledger is saturated by \(Int(report.saturation)) requests a second; full load is 70 % of that.")
        try house.quiet(["backup:create", "-p", house.project, "-e", "main", "-y"])
        let beginning = try await house.newestBackup().id
        let started = time.monotonicNanoseconds()
        let batches = Batch.all(options.rounds, isLive: false) + Batch.all(options.liveRounds, isLive: true)
        for (number, batch) in batches.enumerated() {
            if number > 0, number % Self.loadsOfOneLedger == 0 { try restore(beginning, to: "main", house) }
            let before = report.rounds + report.live
            try await judge(batch, prefix: "load\(number)", house, &report)
            report.seconds = seconds(since: started)
            let judged = report.rounds + report.live
            if judged / Self.roundsOfOneLine > before / Self.roundsOfOneLine { say(report.line) }
        }
        guard report.requestsHeld > 0 else {
            throw HoldfastError(.internalFault, "no request arrived in a hold, so the run proves nothing")
        }
    }

    /// One load, its backups, and what the ledger says of each.
    private func judge(
        _ batch: Batch, prefix: String, _ house: DemoHouse, _ report: inout OracleReport
    ) async throws {
        let started = time.monotonicNanoseconds()
        let (load, backups) = try await backUpUnderLoad(house, batch, report.load, prefix: prefix)
        report.secondsUnderLoad += seconds(since: started)
        report.add(load)
        let main = try house.settledLedger(of: "main")
        report.executedTwice += Verdict.executedTwice(main, prefix: "\(prefix)-")
        try Verdict.noneLost(load, prefix: "\(prefix)-", main, say: { _ in })
        for (backup, ledger) in zip(backups, try await restored(backups, house)) {
            do {
                if batch.isLive {
                    report.add(
                        backup.skew, differing: try Verdict.live(ledger, load: load, backup: backup))
                } else if let hold = backup.hold {
                    try Verdict.restored(ledger, load: load, backup: backup, say: { _ in })
                    report.add(hold, events: ledger.database.count)
                } else {
                    throw HoldfastError(.internalFault, "backup \(backup.id) has no evidence of a hold")
                }
            } catch {
                report.differingSets += 1
                throw error
            }
        }
    }

    private func backUpUnderLoad(
        _ house: DemoHouse, _ batch: Batch, _ rate: Double, prefix: String
    ) async throws -> (LoadSummary, [API.Backup]) {
        let load = try house.load(rate: rate, program: options.program, prefix: prefix)
        var backups: [API.Backup] = []
        do {
            try await Task.sleep(for: .seconds(1))
            for _ in 0..<batch.rounds {
                try house.quiet(
                    ["backup:create", "-p", house.project, "-e", "main", "-y"] + (batch.isLive ? ["--live"] : []))
                backups.append(try await house.newestBackup())
            }
            try await Task.sleep(for: .milliseconds(500))
        } catch {
            _ = try? load.stop()
            throw error
        }
        return (try load.stop(), backups)
    }

    /// Restores the backups, each environment aside one after another, and asks the ledger after each.
    private func restored(_ backups: [API.Backup], _ house: DemoHouse) async throws -> [LedgerSets] {
        let asides = asides
        return try await withThrowingTaskGroup(of: [(Int, LedgerSets)].self) { group in
            for (number, aside) in asides.enumerated() {
                group.addTask {
                    try await house.aside {
                        try stride(from: number, to: backups.count, by: asides.count).map { index in
                            try restore(backups[index].id, to: aside, house)
                            return (index, try house.settledLedger(of: aside))
                        }
                    }
                }
            }
            var ledgers: [(Int, LedgerSets)] = []
            for try await share in group { ledgers += share }
            return ledgers.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func restore(_ backup: BackupID, to environment: String, _ house: DemoHouse) throws {
        try house.quiet([
            "backup:restore", backup.rawValue, "-p", house.project, "-e", "main", "--target", environment, "-y",
        ])
    }

    private func seconds(since started: UInt64) -> Double {
        Double(time.monotonicNanoseconds() - started) / 1e9
    }
}
