import Foundation
import HoldfastModel
import Synchronization
import Testing

/// kill -9 at every phase of a backup, and what keeps a hold from its point in time.
@Suite(.serialized)
struct HoldKills {
    /// The server at every phase, because it keeps all leases; in the usual run the others only around large steps.
    private static func phases(of victim: Victim) -> [String] {
        if victim.isServe || Installation.runsLongTests { return Installation.backupPhases }
        return ["backup.pre-copied", "backup.frozen", "backup.marked", "backup.released"]
    }

    @Test(arguments: [Victim.serve, .supervise, .services(["db"])])
    func `killed at any phase: the gate opens, nothing stays frozen or is lost, the next backup is good`(
        victim: Victim
    ) throws {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        for phase in Self.phases(of: victim) { try installation.survive(killing: victim, at: phase, places: 3) }
    }

    // MARK: What keeps a hold from its point

    /// A ledger that can be made to stand in the way.
    ///
    /// - Parameter worker: a file that a worker without `quiesce` writes to all the time.
    private func stubbornLedger(settings: [String: Int], worker: String? = nil) throws -> Installation {
        let installation = try Installation()
        do {
            try installation.start()
            try installation.createProject()
            let pushed = try installation.push { checkout in
                try change("\(checkout)/ledger/web.py", "        elif path == \"/version\":") { line in
                    """
                            elif path == "/never":
                                time.sleep(3600)
                            elif path == "/transaction":
                                self.server.open = store.connect()
                                cursor = self.server.open.cursor()
                                cursor.execute("INSERT INTO event (id, kind, text) VALUES ('open', 'request', '')")
                                self.answer(200, "begun\\n", "text/plain")
                    \(line)
                    """
                }
                guard let worker else { return }
                let program = """
                    import sys, time
                    while True:
                        with open(sys.argv[1], "a") as file:
                            file.write("x")
                        time.sleep(0.05)
                    """
                try program.write(toFile: "\(checkout)/stuck.py", atomically: true, encoding: .utf8)
                try change("\(checkout)/.upsun/config.yaml", "    workers:") { line in
                    """
                    \(line)
                          stuck:
                            commands:
                              start: "exec /usr/bin/python3 stuck.py \(worker)"
                    """
                }
            }
            try #require(pushed.status == 0, "\(pushed.errors)")
            installation.killServer()
            try installation.start(settings: settings)
        } catch {
            installation.end()
            throw error
        }
        return installation
    }

    private func change(_ file: String, _ line: String, _ replacement: (String) -> String) throws {
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try #require(text.contains(line))
        try text.replacingOccurrences(of: line, with: replacement(line))
            .write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// A backup that must fail; what it says, and how long requests waited meanwhile.
    private func failingBackup(_ installation: Installation) throws -> (said: String, slowest: Double) {
        let prober = try Prober(installation)
        let outcome = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        let (slowest, statuses) = prober.stop()
        #expect(outcome.status == 1)
        #expect(statuses == [201])
        #expect(try installation.backups() == [])
        return (outcome.output + outcome.errors, slowest)
    }

    @Test func `a request that never ends fails the backup with its name, and the gate stays open`() throws {
        let installation = try stubbornLedger(settings: ["drainPatienceMilliseconds": 4_000])
        defer { installation.end() }
        let address = try installation.addressFromState()
        let request = Process()
        request.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        request.arguments = ["-s", "-o", "/dev/null", "\(address)never?token=secret"]
        try request.run()
        defer {
            kill(request.processIdentifier, SIGKILL)
            request.waitUntilExit()
        }
        // Long enough to be no request that is merely slow.
        Thread.sleep(forTimeInterval: 11)
        let (said, slowest) = try failingBackup(installation)
        #expect(said.contains("GET /never, "), "\(said)")
        #expect(!said.contains("secret"), "\(said)")
        #expect(slowest < 10, "\(slowest) s: the gate was closed")
        // Who asks for a live one gets it, and who allows one instead as well.
        try installation.must("backup:create", "--live", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
        try installation.must("backup:create", "--or-live", "-p", installation.project, "-e", "main", "-y")
        let log = try installation.backupLog()
        #expect(log.contains("Taking a live backup instead") && log.contains("GET /never, "), "\(log)")
        #expect(try installation.backups().count == 2)
    }

    @Test func `a long transaction does not make a hold longer; it is named, and not in the backup`() throws {
        let installation = try stubbornLedger(settings: [:])
        defer { installation.end() }
        let begun = try Installation.run(
            "/usr/bin/curl", ["-sS", "--fail", "\(try installation.addressFromState())transaction"])
        #expect(begun.output == "begun\n", "\(begun.errors)")
        // Younger ones are not worth a word.
        Thread.sleep(forTimeInterval: 12)
        #expect(try installation.post("committed") == 201)
        let prober = try Prober(installation)
        let made = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        let (slowest, statuses) = prober.stop()
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.errors.contains("idle in transaction"), "\(made.errors)")
        #expect(statuses == [201])
        #expect(slowest < 10, "\(slowest) s")
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        let sets = try installation.sets()
        #expect(sets.database.contains("committed") && !sets.database.contains("open"))
        #expect(sets.database == sets.file)
    }

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `a worker in uninterruptible sleep fails the backup within its deadline, and no hold reaches the cap`() throws
    {
        let volume = try FrozenVolume()
        defer { volume.remove() }
        let installation = try stubbornLedger(settings: [:], worker: "\(volume.path)/file")
        defer { installation.end() }
        try #require(installation.waitUntil(seconds: 20) { volume.isWritten })
        try volume.freeze()
        defer { volume.thaw() }
        try #require(installation.waitUntil(seconds: 20) { volume.blocksSomebody })
        let (said, slowest) = try failingBackup(installation)
        #expect(said.contains("did not stand still"), "\(said)")
        #expect(slowest < 15, "\(slowest) s")
        installation.note("uninterruptible worker: slowest \(slowest) s")
        volume.thaw()
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    // MARK: Full disks

    /// A service that writes all the time, and whose files are copied in the hold.
    private static let notes = """
        services:
          notes:
            type: binary
            configuration:
              start: "exec python3 -c \\"$CODE\\""
              ready: { command: "test -e beats" }
              variables:
                CODE: |
                  import time
                  while True:
                      with open("beats", "a") as file:
                          file.write("x")
                      time.sleep(0.05)

        """

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `a full disk in staging fails the backup as such in the hold or before it, and the next one is good`() throws {
        let installation = try Installation.withLedger { checkout in
            try editConfiguration(checkout) { $0.replacingOccurrences(of: "\nservices:\n", with: "\n" + Self.notes) }
        }
        defer { installation.end() }
        try fillMounts(installation)
        let notes = try #require(try installation.current().services["notes"])
        let service = "\(try installation.environmentDirectory)/\(notes.directory)"
        try fillService(installation, service)
        try leaveNoRoom(installation, service)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    /// What changed in a mount after it was read does not fit.
    private func fillMounts(_ installation: Installation) throws {
        try withSmallDisk("\(try installation.environmentDirectory)/staging", "2m") {
            try installation.begin("backup:create", stoppingAt: "backup.pre-copied")
            // What comes now has to be copied in the hold.
            let files = "\(try installation.environmentDirectory)/mounts"
            let place = try #require(
                FileManager.default.subpaths(atPath: files)?.first {
                    $0.hasSuffix("/events.log") || $0.hasSuffix("/1")
                })
            var folder = "\(files)/\(place)"
            if folder.hasSuffix(".log") { folder = (folder as NSString).deletingLastPathComponent }
            try Data(repeating: 7, count: 8 << 20).write(to: URL(fileURLWithPath: "\(folder)/large"))
            try failInHold(installation)
        }
    }

    /// The same for a service, beside whose data the copies are made.
    private func fillService(_ installation: Installation, _ service: String) throws {
        try installation.begin("backup:create", stoppingAt: "backup.pre-copied")
        let hold = "\(service)/hold"
        try FileManager.default.createDirectory(atPath: hold, withIntermediateDirectories: true)
        try withSmallDisk(hold, "1m") {
            try Data(repeating: 7, count: 4 << 20).write(to: URL(fileURLWithPath: "\(service)/data/large"))
            try failInHold(installation)
            #expect(try FileManager.default.contentsOfDirectory(atPath: hold) == [])
        }
        let beats = size("\(service)/data/beats")
        #expect(
            installation.waitUntil(seconds: 20) { size("\(service)/data/beats") > beats }, "the service does not go on")
    }

    /// What a service changes all the time cannot fit, which is known before the hold.
    private func leaveNoRoom(_ installation: Installation, _ service: String) throws {
        try withSmallDisk(service, "6m") {
            for folder in ["data", "conf"] {
                try FileManager.default.createDirectory(
                    atPath: "\(service)/\(folder)", withIntermediateDirectories: true)
            }
            let large = "\(service)/data/large"
            try Data(repeating: 7, count: 4 << 20).write(to: URL(fileURLWithPath: large))
            let toucher = Toucher(large)
            defer { toucher.end() }
            let (said, slowest) = try failingBackup(installation)
            #expect(said.contains("it needs 4.2 MB, and "), "\(said)")
            #expect(said.contains("are free at \(service)"), "\(said)")
            #expect(!said.contains("No space left"), "\(said)")
            #expect(slowest < 10, "\(slowest) s")
        }
    }

    /// Lets a backup go on from before its hold, which must fail it with the reason.
    private func failInHold(_ installation: Installation) throws {
        let prober = try Prober(installation)
        installation.goOn()
        #expect(installation.waitUntil(seconds: 120) { (try? installation.backupsEnded()) == true })
        let (slowest, statuses) = prober.stop()
        #expect(statuses == [201])
        #expect(slowest < 15, "\(slowest) s")
        let (result, log) = try installation.latest("environment.backup")
        #expect(result == "failure")
        #expect(log.contains("No space left"), "\(log)")
        #expect(try installation.backups() == [])
        #expect(try installation.stoppedProcesses() == [])
    }

    /// Does something while a small file system lies over a folder.
    private func withSmallDisk(_ folder: String, _ size: String, _ body: () throws -> Void) throws {
        let mount = try Installation.run("/bin/mount", ["-t", "tmpfs", "-o", "size=\(size),mode=711", "tmpfs", folder])
        try #require(mount.status == 0, "\(mount.errors)")
        defer { _ = try? Installation.run("/bin/umount", ["-l", folder]) }
        try body()
    }

    /// Bytes of a file; 0 if there is none.
    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}

/// Makes a file look as if it had just been written, again and again.
private final class Toucher: Sendable {
    private let hasEnded = Mutex(false)

    init(_ path: String) {
        let thread = Thread { [self] in
            while !hasEnded.withLock({ $0 }) {
                utimes(path, nil)
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
        thread.start()
    }

    func end() { hasEnded.withLock { $0 = true } }
}

/// A file system that can be stopped: whoever writes to it then sleeps, and no signal wakes him.
private final class FrozenVolume {
    private let folder = "/var/lib/hf-volume-\(String(UInt32.random(in: 0 ... .max), radix: 36))"
    var path: String { "\(folder)/mounted" }

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let image = "\(folder)/image"
        FileManager.default.createFile(atPath: image, contents: nil)
        truncate(image, 16 << 20)
        for (program, arguments) in [
            ("/usr/sbin/mkfs.ext4", ["-q", "-F", image]), ("/bin/mount", ["-o", "loop", image, path]),
            ("/bin/chmod", ["777", path]),
        ] {
            let outcome = try Installation.run(program, arguments)
            try #require(outcome.status == 0, "\(program): \(outcome.errors)")
        }
    }

    var isWritten: Bool { FileManager.default.fileExists(atPath: "\(path)/file") }

    func freeze() throws {
        let outcome = try Installation.run("/usr/sbin/fsfreeze", ["-f", path])
        try #require(outcome.status == 0, "\(outcome.errors)")
    }

    func thaw() { _ = try? Installation.run("/usr/sbin/fsfreeze", ["-u", path]) }

    /// Somebody who was about to write sleeps for good.
    var blocksSomebody: Bool {
        let list = try? Installation.run("/bin/ps", ["-eo", "state=,args="]).output
        return list?.split(separator: "\n").contains { $0.hasPrefix("D") && $0.contains(path) } ?? false
    }

    func remove() {
        thaw()
        for _ in 0..<20 {
            if (try? Installation.run("/bin/umount", [path]).status) == 0 { break }
            Thread.sleep(forTimeInterval: 0.2)
        }
        try? FileManager.default.removeItem(atPath: folder)
    }
}
