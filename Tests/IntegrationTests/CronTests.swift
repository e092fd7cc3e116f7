import Foundation
import HoldfastModel
import Testing

/// Crons that take backups of the environment they run in: with the command line, and a token in a variable.
@Suite(.serialized)
struct Crons {
    private func text(_ output: String) -> String { output.trimmingCharacters(in: .whitespacesAndNewlines) }

    /// A ledger with a cron that asks for a backup and one that would wait for it, both every minute.
    private func ledger() throws -> Installation {
        let installation = try Installation()
        do {
            try installation.start()
            try installation.createProject()
            let token = text(
                try installation.must("token:create", "crons", "-p", installation.project, "-r", "production:admin"))
            let address = "http://127.0.0.1:\(installation.apiPort)"
            for (name, value) in [("env:HOLDFAST_TOKEN", token), ("env:HOLDFAST_URL", address)] {
                try installation.must(
                    "variable:create", name, "--value", value, "--sensitive", "-l", "project", "-p",
                    installation.project)
            }
            // Where it was built, the environment's user need not get to.
            let binary = "\(installation.home)/holdfast"
            try FileManager.default.copyItem(atPath: Installation.binary, toPath: binary)
            let crons = [("keep", "backup:create --no-wait"), ("wait", "backup:create")].map { name, verb in
                "      \(name):\n        spec: \"* * * * *\"\n        commands: { start: \"\(binary) \(verb)\" }\n"
            }
            let pushed = try installation.push { checkout in
                try editConfiguration(checkout) { text in
                    text.replacingOccurrences(of: "    crons:\n", with: "    crons:\n" + crons.joined())
                }
            }
            try #require(pushed.status == 0, "\(pushed.errors)")
        } catch {
            installation.end()
            throw error
        }
        return installation
    }

    /// Result and log of the first run of a cron that is not among these, when it has ended.
    private func run(
        of cron: String, after earlier: Set<String>, _ installation: Installation
    ) throws -> (result: String, log: String) {
        var found: [String]?
        let hasRun = try installation.waitUntil(seconds: 150) {
            found = try installation.activities("environment.cron").last { row in
                !earlier.contains(row[0]) && row[1] == "complete" && row[3].contains("ledger.\(cron) ")
            }
            return found != nil
        }
        try #require(hasRun, "cron \(cron) did not run")
        let row = try #require(found)
        return (row[2], try installation.must("activity:log", row[0], "-p", installation.project))
    }

    @Test(.enabled(if: Installation.runsLongTests, "waits for the next minute"))
    func `a cron that asks for a backup gets a consistent one; one that would wait for it is told so, and ends`() throws
    {
        let installation = try ledger()
        defer { installation.end() }
        #expect(try installation.post("before") == 201)
        // Those begin after it.
        let earlier = Set(try installation.activities("environment.cron").map { $0[0] })
        let kept = try run(of: "keep", after: earlier, installation)
        #expect(kept.result == "success", "\(kept.log)")
        let begin = "Backup name: "
        let line = try #require(kept.log.split(separator: "\n").first { $0.hasPrefix(begin) }, "\(kept.log)")
        let name = text(String(line.dropFirst(begin.count)))
        try #require(try installation.waitUntil(seconds: 120) { try installation.backups().contains(name) })

        let waited = try run(of: "wait", after: earlier, installation)
        #expect(waited.result == "failure")
        #expect(waited.log.contains("cannot wait for a backup of its own environment"), "\(waited.log)")
        #expect(waited.log.contains("Use --no-wait"), "\(waited.log)")
        #expect(!waited.log.contains("Backup name"), "\(waited.log)")

        let logs = try installation.activities("environment.backup").map { row in
            try installation.must("activity:log", row[0], "-p", installation.project)
        }
        let log = try #require(logs.first { $0.contains("Backup \(name)") }, "\(logs)")
        #expect(log.contains(", consistent") && !log.contains("degraded"), "\(log)")
        // It began when its cron had ended, and waited for none.
        #expect(!log.contains("cron ledger."), "\(log)")
        #expect(text(try installation.must("backup:get", name, "-p", installation.project, "-P", "safe")) == "true")

        #expect(try installation.post("later") == 201)
        try installation.must("backup:restore", name, "-p", installation.project, "-e", "main", "-y")
        let places = try installation.everywhere().sets
        let events = try #require(places["database"])
        #expect(events.contains("before") && !events.contains("later"))
        for (place, ids) in places { #expect(ids == events, "\(place)") }
    }
}
