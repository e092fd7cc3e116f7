import Foundation
import HoldfastModel
import Testing

/// What happens when things are killed, full or gone.
@Suite(.serialized)
struct Failures {
    /// Processes of the environment that stand still.
    private func frozenProcesses(_ installation: Installation) throws -> [String] {
        let id = (try installation.environmentDirectory as NSString).lastPathComponent
        let outcome = try Installation.run("/bin/ps", ["-u", "hf-\(id)", "-o", "state=,args="])
        return outcome.output.split(separator: "\n").filter { $0.hasPrefix("T") || $0.hasPrefix("D") }.map(String.init)
    }

    @Test(arguments: ["backup.frozen", "backup.marked"])
    func `serve killed in the hold: the gate opens, nothing stays frozen, nothing half is listed`(point: String) throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        #expect(try installation.post("before") == 201)
        try installation.begin("backup:create", stoppingAt: point)
        // A request that arrives in the hold waits, and is answered when the gate opens by itself.
        let address = try installation.addressFromState()
        let waiting = BackgroundPost(address: address, id: "in-the-hold")
        Thread.sleep(forTimeInterval: 0.3)
        #expect(!waiting.isDone)
        let killedAt = Date()
        installation.killServer()
        #expect(waiting.wait(seconds: 6) == 201)
        #expect(Date().timeIntervalSince(killedAt) < 6)
        #expect(try frozenProcesses(installation) == [])
        try installation.start()
        #expect(try installation.backups() == [])
        let activity = try installation.must(
            "activity:list", "-p", installation.project, "-e", "main", "--type", "environment.backup", "--format",
            "csv",
            "--no-header", "-c", "state,result")
        #expect(activity.contains("complete,failure"), "\(activity)")
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
        let sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.contains("in-the-hold"))
    }

    @Test func `supervise killed in the hold: nothing stays frozen, the app lives on, the next backup is good`() throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        try installation.begin("backup:create", stoppingAt: "backup.frozen")
        #expect(try frozenOrCgroupFrozen(installation))
        try installation.killSupervisor()
        #expect(installation.waitUntil(seconds: 5) { (try? !frozenOrCgroupFrozen(installation)) == true })
        installation.killServer()
        #expect(try installation.postDirect("after-the-kill") == 201)
        try installation.start()
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    /// Whether the app does not answer at its own port: frozen, by whatever method.
    private func frozenOrCgroupFrozen(_ installation: Installation) throws -> Bool {
        let file = "\(try installation.environmentDirectory)/ports.json"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let port = try #require(text.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }.first { $0 > 1024 })
        let outcome = try Installation.run(
            "/usr/bin/curl", ["-s", "-o", "/dev/null", "--max-time", "0.5", "http://127.0.0.1:\(port)/health"])
        return outcome.status == 28
    }

    @Test(arguments: ["restore.filled", "switch.held", "switch.written", "switch.applied"])
    func `serve killed around the switch of a restore: the old state or the new one, never a mix`(point: String) throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        #expect(try installation.post("old") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("new") == 201)
        try installation.begin("backup:restore", stoppingAt: point)
        installation.killServer()
        try installation.start()
        let sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.contains("old"))
        // At "switch.written" the old processes go on answering, so what they wrote must not be lost by rolling on.
        let isNew = point == "switch.applied"
        #expect(sets.database.contains("new") == !isNew, "\(point)")
        #expect(try installation.post("afterwards") == 201)
        let result = try installation.must(
            "activity:list", "-p", installation.project, "-e", "main", "--type", "environment.restore", "--format",
            "csv", "--no-header", "-c", "state,result")
        #expect(result.contains(isNew ? "complete,success" : "complete,failure"), "\(result)")
    }

    @Test func `serve killed between the snapshot and its row: nothing half is listed, restic finds nothing wrong`()
        throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        try installation.begin("backup:create", stoppingAt: "backup.stored")
        installation.killServer()
        try installation.start()
        #expect(try installation.backups() == [])
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
        #expect(try installation.resticSnapshots(site: "site-a") == 1)
    }

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `a full disk on the sites fails the backup, and the environment goes on`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try FileManager.default.createDirectory(
            atPath: "\(installation.home)/sites", withIntermediateDirectories: true)
        let mount = try Installation.run(
            "/bin/mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", "\(installation.home)/sites"])
        try #require(mount.status == 0, "\(mount.errors)")
        try installation.start()
        try installation.deployLedger()
        let outcome = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(outcome.status == 1)
        #expect((outcome.output + outcome.errors).contains("space"), "\(outcome.errors)")
        #expect(try installation.backups() == [])
        #expect(try installation.post("goes-on") == 201)
        _ = try Installation.run("/bin/mount", ["-o", "remount,size=300m", "\(installation.home)/sites"])
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    @Test func `a site that is gone: backups restore from the other, and new ones succeed as degraded`() throws {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        #expect(try installation.post("kept") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        try FileManager.default.removeItem(atPath: "\(installation.home)/sites/site-a")
        #expect(try installation.post("later") == 201)
        let id = try #require(installation.backups().first)
        try installation.must("backup:restore", id, "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.sets().database.contains("kept"))
        #expect(try !installation.sets().database.contains("later"))
        let outcome = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect((outcome.output + outcome.errors).contains("degraded"))
        #expect(try installation.backups().count == 2)
        #expect(!FileManager.default.fileExists(atPath: "\(installation.home)/sites/site-a"))
        #expect(try installation.resticSnapshots(site: "site-b") == 2)
    }
}
