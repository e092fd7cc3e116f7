import Foundation
import HoldfastClient
import HoldfastEnvironments
import HoldfastModel

/// What a measurement of the hold is told.
package struct HoldBenchOptions: Sendable {
    /// The binary of `holdfast`, and this program, whose `load` is `LoadProcess.run`.
    package var binary: String
    package var program: String
    /// Folder of the sample environment.
    package var example: String
    /// Where images and mount points are made.
    package var base: String
    /// JSON file for the rows; nil for none.
    package var output: String?
    /// Keeps the rows that the file has, and measures only those that it does not have.
    package var resume = false
    package var cases: [HoldCase] = []

    package init(binary: String, program: String, example: String, base: String) {
        self.binary = binary
        self.program = program
        self.example = example
        self.base = base
    }
}

/// One row to be measured.
package struct HoldCase: Sendable {
    package var files: Int
    package var databaseMB: Int
    package var filesystem: String
    package var n: Int
    /// The ledger writes to all of `LedgerServices`.
    package var everyService: Bool

    package init(files: Int, databaseMB: Int, filesystem: String, n: Int, everyService: Bool = false) {
        self.files = files
        self.databaseMB = databaseMB
        self.filesystem = filesystem
        self.n = n
        self.everyService = everyService
    }

    /// The sample with everything on, and what the question "does the hold grow with the data" takes, on all file
    /// systems.
    package static func all(n: Int = 30, sample: Int = 300) -> [HoldCase] {
        var cases: [HoldCase] = []
        for filesystem in ScratchVolume.kinds {
            cases.append(HoldCase(files: 0, databaseMB: 0, filesystem: filesystem, n: sample, everyService: true))
            for files in [1, 1000, 100_000, 1_000_000] {
                cases.append(HoldCase(files: files, databaseMB: 10, filesystem: filesystem, n: n))
            }
            for megabytes in [100, 1000, 5000] {
                cases.append(HoldCase(files: 1000, databaseMB: megabytes, filesystem: filesystem, n: n))
            }
        }
        return cases
    }

    /// Room for the data, its backup on two sites, the growth under the load, and what is set aside.
    fileprivate var imageMegabytes: Int { 4096 + 6 * databaseMB + files / 40 + 64 * n }

    /// Whether a row is the one that is wanted.
    fileprivate func isMeasured(by row: HoldRow) throws -> Bool {
        let name = try ScratchVolume.name(of: filesystem)
        return row.files == files && row.databaseMB == databaseMB && row.n == n && row.filesystem == name
            && (row.services.count > 1) == everyService
    }
}

/// Takes consistent backups of the sample environment under full load and measures what its requests notice.
package struct HoldBench: Sendable {
    private let options: HoldBenchOptions
    private let say: @Sendable (String) -> Void

    package init(_ options: HoldBenchOptions, say: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.say = say
    }

    /// Measures one row after another; each is written as soon as it is there.
    ///
    /// - Throws: what failed, or `damaged` if a request was lost or run twice.
    package func run() async throws {
        var rows = try options.resume ? writtenRows() : []
        say(HoldTable.head)
        for wanted in options.cases {
            if try rows.contains(where: wanted.isMeasured) { continue }
            let row = try await measure(wanted)
            rows.append(row)
            say(HoldTable.line(row))
            if let output = options.output { try ReportFile.write(rows, to: output) }
        }
    }

    private func writtenRows() throws -> [HoldRow] {
        guard let output = options.output, FileManager.default.fileExists(atPath: output) else { return [] }
        return try JSONDecoder().decode([HoldRow].self, from: Data(contentsOf: URL(fileURLWithPath: output)))
    }

    private func measure(_ wanted: HoldCase) async throws -> HoldRow {
        let volume = try ScratchVolume(wanted.filesystem, megabytes: wanted.imageMegabytes, in: options.base)
        defer { volume.remove() }
        var demo = DemoOptions(
            binary: options.binary, home: "\(volume.directory)/home", example: options.example, once: true)
        demo.everyService = wanted.everyService
        let house = try DemoHouse(options: demo)
        do {
            let row = try await measure(wanted, on: volume.name, house)
            house.end()
            return row
        } catch {
            house.end(keepingLogs: true)
            throw error
        }
    }

    private func measure(_ wanted: HoldCase, on filesystem: String, _ house: DemoHouse) async throws -> HoldRow {
        try house.start()
        try house.createProject(title: "Ledger")
        try house.push(version: 1)
        try Ballast(files: wanted.files, databaseMB: wanted.databaseMB).put(into: house)
        let saturation = try house.saturation(program: options.program, prefix: "warm", seconds: 10)
        // The first backup reads everything; all others only what changed.
        try backUp(house)
        let load = try house.load(rate: saturation * LoadProcess.share, program: options.program, prefix: "bench")
        var holds: [HoldEvidence] = []
        let summary: LoadSummary
        do {
            try await Task.sleep(for: .seconds(2))
            for _ in 0..<wanted.n {
                try backUp(house)
                guard let hold = try await house.newestBackup().hold, hold.unbroken else {
                    throw HoldfastError(.damaged, "a backup has no evidence of an unbroken hold")
                }
                holds.append(hold)
            }
        } catch {
            _ = try? load.stop()
            throw error
        }
        summary = try load.stop()
        try Verdict.everyRequestOnce(summary, prefix: "bench-", try house.ledger(), say: { _ in })
        return row(wanted, filesystem, services: try services(house), holds, summary)
    }

    private func backUp(_ house: DemoHouse) throws {
        try house.quiet(["backup:create", "-p", house.project, "-e", "main", "-y"])
    }

    private func services(_ house: DemoHouse) throws -> [String] {
        try house.live().state.services.values.map(\.type).sorted()
    }

    private func row(
        _ wanted: HoldCase, _ filesystem: String, services: [String], _ holds: [HoldEvidence], _ load: LoadSummary
    ) -> HoldRow {
        let durations = holds.map(\.heldForMilliseconds)
        let free = load.outcomes.filter { !$0.wasHeld }.map(\.latencyMilliseconds)
        let seconds = (load.outcomes.last?.sentAt).flatMap { last in
            load.outcomes.first.map { last.timeIntervalSince($0.sentAt) }
        }
        let marked = holds.map { $0.marksAtMilliseconds.values.max() ?? $0.frozenAtMilliseconds }
        return HoldRow(
            files: wanted.files, databaseMB: wanted.databaseMB, filesystem: filesystem, services: services,
            n: holds.count, holdP50: NearestRank.value(0.5, of: durations),
            holdP99: NearestRank.value(0.99, of: durations),
            holdMax: durations.max() ?? 0, requestsHeld: holds.map(\.requestsHeld).reduce(0, +),
            dropped: load.dropped.count, refused: load.refused.count,
            furtherTries: holds.map { ($0.tries ?? 1) - 1 }.reduce(0, +),
            load: Double(load.outcomes.count) / max(seconds ?? 1, 0.001), requestP50: NearestRank.value(0.5, of: free),
            requestP99: NearestRank.value(0.99, of: free),
            drainP50: NearestRank.value(0.5, of: holds.map(\.drainedAtMilliseconds)),
            freezeP50: NearestRank.value(0.5, of: holds.map { $0.frozenAtMilliseconds - $0.drainedAtMilliseconds }),
            marksP50: NearestRank.value(0.5, of: zip(holds, marked).map { $1 - $0.frozenAtMilliseconds }),
            markP50: markTimes(holds),
            releaseP50: NearestRank.value(0.5, of: zip(holds, marked).map { $0.heldForMilliseconds - $1 }))
    }
}

/// How long after the freeze the mark of each service and mount was there, in milliseconds: medians.
private func markTimes(_ holds: [HoldEvidence]) -> [String: Double] {
    let names = Set(holds.flatMap(\.marksAtMilliseconds.keys))
    let times = names.map { name in
        (name, holds.compactMap { hold in hold.marksAtMilliseconds[name].map { $0 - hold.frozenAtMilliseconds } })
    }
    return Dictionary(uniqueKeysWithValues: times).mapValues { NearestRank.value(0.5, of: $0) }
}

/// Data that lies in the environment and does not change: files on the mount, rows in the database.
struct Ballast {
    let files: Int
    let databaseMB: Int

    func put(into house: DemoHouse) throws {
        if databaseMB > 0 {
            // Eight rows of this size fill a page of 8 KiB.
            try house.query(
                "CREATE TABLE ballast AS SELECT number, repeat(md5(random()::text), 30) AS text "
                    + "FROM generate_series(1, \(databaseMB * 1024)) AS number; CHECKPOINT")
        }
        let mount = try house.mount("files")
        for number in 0..<files {
            let folder = "\(mount)/ballast/\(number / 1000)"
            if number % 1000 == 0 {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            }
            let path = "\(folder)/\(number)"
            let text = "file \(number) of the ballast, \(number * 2_654_435_761)\n"
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
            guard descriptor >= 0, write(descriptor, text, text.utf8.count) == text.utf8.count else {
                throw HoldfastError(.system, "cannot write '\(path)' (errno \(errno))")
            }
            close(descriptor)
        }
    }
}
