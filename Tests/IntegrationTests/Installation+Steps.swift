import Foundation

/// What many tests begin with.
extension Installation {
    /// Whether `HOLDFAST_LONG_TESTS=1` asks for everything.
    static let runsLongTests = ProcessInfo.processInfo.environment["HOLDFAST_LONG_TESTS"] == "1"

    /// A running ledger in an installation of its own.
    ///
    /// - Parameter edit: changes the checkout before it is pushed.
    static func withLedger(edit: (String) throws -> Void = { _ in }) throws -> Installation {
        let installation = try Installation()
        do {
            try installation.start()
            try installation.deployLedger(edit: edit)
        } catch {
            installation.end()
            throw error
        }
        return installation
    }

    /// Starts the server anew and begins a verb on `main`; returns when the server stands still at the point.
    ///
    /// - Parameter settings: changes to `settings.json`.
    func begin(_ verb: String..., stoppingAt point: String, settings: [String: Int]? = nil) throws {
        killServer()
        try start(stopAt: point, settings: settings)
        let arguments = verb + ["-p", project, "-e", "main", "-y", "--no-wait"]
        let outcome = try Self.run(Self.binary, arguments, environment: ["HOLDFAST_HOME": home])
        guard outcome.status == 0 else { throw Unexpected("\(arguments) ended: \(outcome.errors)") }
        try waitUntilStopped()
    }

    /// Whether no backup is under way or waits.
    func backupsEnded() throws -> Bool {
        let list = try must(
            "activity:list", "-p", project, "-e", "main", "--type", "environment.backup", "--format", "csv",
            "--no-header", "-c", "state")
        return !list.isEmpty && list.split(separator: "\n").allSatisfy { $0 == "complete" }
    }

    /// Activities of a type, newest first: id, state, result, description.
    func activities(_ type: String) throws -> [[String]] {
        let list = try holdfast(
            "activity:list", "-p", project, "-e", "main", "--type", type, "--limit", "100", "--format", "csv",
            "--no-header", "-c", "id,state,result,description")
        return list.output.split(separator: "\n").map { line in
            line.split(separator: ",", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        }.filter { $0.count == 4 }
    }

    /// Result and log of the newest activity of a type, such as `environment.backup`; waits until it has ended.
    func latest(_ type: String) throws -> (result: String, log: String) {
        guard let id = try activities(type).first?[0] else { throw Unexpected("there is no activity \(type)") }
        let log = try must("activity:log", id, "-p", project)
        let ended = try activities(type).first { $0[0] == id }
        return (ended?[2] ?? "", log)
    }

    /// Of the latest backup; crons have activities too, and the latest may be one of theirs.
    func backupLog() throws -> String { try latest("environment.backup").log }

    /// Lets the server go on from the point at which it stands, or is stopped.
    func goOn() {
        FileManager.default.createFile(atPath: "\(home)/go-on", contents: nil)
        signalServer(SIGCONT)
    }
}
