import Foundation

/// What many tests begin with.
extension Installation {
    /// A running ledger in an installation of its own.
    static func withLedger() throws -> Installation {
        let installation = try Installation()
        do {
            try installation.start()
            try installation.deployLedger()
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

    /// Lets the server go on from the point at which it stands.
    func goOn() { FileManager.default.createFile(atPath: "\(home)/go-on", contents: nil) }
}
