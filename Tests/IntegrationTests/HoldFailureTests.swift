import Foundation
import HoldfastModel
import Testing

/// Holds that go wrong, and sites that come back: what other clients notice, and what is said of it.
@Suite(.serialized)
struct HoldFailures {
    /// Requests that went to processes that stand still would take until these are thawed, and longer.
    @Test func `serve stands still in a hold: processes are thawed first, then the gate opens, nobody gets an error`()
        throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        try installation.begin("backup:create", stoppingAt: "backup.frozen")
        installation.signalServer(SIGSTOP)
        defer { installation.signalServer(SIGCONT) }
        let prober = try Prober(installation)
        Thread.sleep(forTimeInterval: 8)
        let (slowest, statuses) = prober.stop()
        #expect(statuses == [201])
        // The lease of 5 s, and what a loaded machine adds; the first was held, so it is not zero.
        #expect(slowest > 1 && slowest < 7, "\(slowest)")
        installation.note("serve stopped: slowest \(slowest) s")
    }

    @Test func `an app killed in a hold that reaches its cap: no request fails`() throws {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        try installation.begin("backup:create", stoppingAt: "backup.frozen", settings: ["holdCapMilliseconds": 6_000])
        let prober = try Prober(installation)
        let id = (try installation.environmentDirectory as NSString).lastPathComponent
        let killed = try Installation.run("/usr/bin/pkill", ["-KILL", "-u", "hf-\(id)", "-f", "ledger.web"])
        #expect(killed.status == 0, "no app was killed")
        Thread.sleep(forTimeInterval: 9)
        let (slowest, statuses) = prober.stop()
        #expect(statuses == [201])
        #expect(slowest > 1 && slowest < 9, "\(slowest)")
        installation.note("app killed: slowest \(slowest) s")
    }

    @Test(arguments: ["holdfast", "holdfast-guard"])
    func `supervisor or guard killed in a hold: the gate opens at once, and no request fails`(name: String)
        throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        try installation.begin("backup:create", stoppingAt: "backup.frozen")
        let prober = try Prober(installation)
        Thread.sleep(forTimeInterval: 0.5)
        try installation.killSupervise(named: name)
        Thread.sleep(forTimeInterval: 4)
        let (slowest, statuses) = prober.stop()
        #expect(statuses == [201])
        #expect(slowest < 4, "\(slowest)")
        installation.note("\(name) killed: slowest \(slowest) s")
    }

    @Test func `a stalled upload does not close the gate, and the reason names it without its query`() throws {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        installation.killServer()
        try installation.start(settings: ["drainPatienceMilliseconds": 5_000])
        let address = try installation.addressFromState()
        let host = String(address.dropFirst("http://".count).dropLast())
        let upload = try StalledUpload(host: host, port: installation.gatewayPort)
        defer { upload.end() }
        Thread.sleep(forTimeInterval: 1.5)
        let prober = try Prober(installation)
        let outcome = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        let (slowest, statuses) = prober.stop()
        #expect(outcome.status == 1)
        let text = outcome.output + outcome.errors
        #expect(text.contains("POST /events, "), "\(text)")
        #expect(text.contains("not all of it sent by its client"), "\(text)")
        #expect(!text.contains("secret"), "\(text)")
        #expect(statuses == [201])
        #expect(slowest < 3, "\(slowest)")
        installation.note("stalled upload: slowest \(slowest) s")
        #expect(try installation.backups() == [])
        // The gateway gives the app five seconds to notice that the rest will not come.
        upload.end()
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    @Test func `a site that comes back is brought up to date, and what was deleted meanwhile stays deleted`() throws {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        let manager = FileManager.default
        let (site, away) = ("\(installation.home)/sites/site-b", "\(installation.home)/site-b-away")
        func backUp() throws -> String {
            try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
            return try #require(installation.backups().first)
        }
        func get(_ backup: String, _ property: String) throws -> String {
            try installation.must(
                "backup:get", backup, "-p", installation.project, "-e", "main", "--property", property)
        }
        let first = try backUp()
        try manager.moveItem(atPath: site, toPath: away)
        #expect(try installation.post("while-away") == 201)
        let second = try backUp()
        #expect(try get(second, "degraded").contains("true"))
        #expect(try installation.backupLog().contains("cannot be reached"))
        // Site-b finds the record of the deletion when it is back.
        try installation.must(
            "backup:delete", first, "--now", "-p", installation.project, "-e", "main", "-y")
        try manager.moveItem(atPath: away, toPath: site)
        let third = try backUp()
        #expect(try installation.backupLog().contains("Brought site-b up to date"))
        for backup in [second, third] { #expect(try get(backup, "degraded").contains("false")) }
        #expect(try installation.resticSnapshots(site: "site-a") == 2, "the deleted one came back")
        // Now the other one is lost, and everything is still there.
        try manager.moveItem(atPath: "\(installation.home)/sites/site-a", toPath: away)
        #expect(try get(second, "restorable").contains("true"))
        try installation.must("backup:restore", second, "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.sets().database.contains("while-away"))
        try manager.moveItem(atPath: site, toPath: "\(away)-too")
        #expect(try get(second, "restorable").contains("false"))
        #expect(try get(second, "restorable_problem").contains("site-a, site-b"))
    }
}
