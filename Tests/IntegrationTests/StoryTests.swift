import Foundation
import HoldfastModel
import Testing

/// Whole stories on real processes. One after the other: each has a machine's worth of them.
@Suite(.serialized)
struct Stories {
    @Test func `the demo ends well`() throws {
        let outcome = try Installation.run(
            Installation.binary, ["demo", "--once", "--example", Installation.exampleDirectory])
        #expect(outcome.status == 0, "\(outcome.output.suffix(3000)) \(outcome.errors.suffix(2000))")
        #expect(outcome.output.contains("0 dropped"))
        #expect(outcome.output.contains("0 executed twice"))
        #expect(outcome.output.contains("Equal: the database and all files hold exactly the same events."))
        #expect(outcome.output.components(separatedBy: "no errors were found").count == 3)
    }

    @Test func `restic restores byte for byte what our restore brings`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        for number in 1...20 { #expect(try installation.post("before-\(number)") == 201) }
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        let key = try JSONSerialization.jsonObject(
            with: Data(installation.must("repository:key", "-p", installation.project, "--format", "json").utf8))
        let password = try #require((key as? [String: Any])?["password"] as? String)
        let target = "\(installation.home)/restored-by-restic"
        let site = "\(installation.home)/sites/site-b/projects/\(installation.project)"
        let restic = try Installation.run(
            "/usr/bin/restic", ["restore", "latest", "--no-cache", "--target", target],
            environment: ["RESTIC_REPOSITORY": site, "RESTIC_PASSWORD": password])
        #expect(restic.status == 0, "\(restic.errors)")
        let before = try installation.current()
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        let after = try installation.current()
        #expect(after.generation > before.generation)
        let directory = try installation.environmentDirectory
        let mount = try #require(after.mounts["ledger"]?["files"])
        let app = try #require(after.apps["ledger"])
        let pairs = [
            ("\(target)/mounts/ledger/files/events.log", "\(directory)/\(mount)/events.log"),
            ("\(target)/code/app/ledger/ledger/web.py", "\(directory)/\(app)/ledger/web.py"),
            ("\(target)/code/app/ledger/build.txt", "\(directory)/\(app)/build.txt"),
        ]
        for (theirs, ours) in pairs {
            #expect(FileManager.default.contents(atPath: theirs) != nil, "\(theirs)")
            #expect(
                FileManager.default.contents(atPath: theirs) == FileManager.default.contents(atPath: ours), "\(ours)")
        }
        // The built app as a whole: names, sizes and contents.
        let diff = try Installation.run(
            "/usr/bin/diff",
            [
                "-r", "--no-dereference", "--exclude=files", "--exclude=journal", "--exclude=cache",
                "--exclude=__pycache__",
                "\(target)/code/app/ledger", "\(directory)/\(app)",
            ])
        #expect(diff.status == 0, "\(diff.output)")
        let version = FileManager.default.contents(atPath: "\(target)/services/db/data/PG_VERSION")
        #expect(version == Data("15\n".utf8))
        try expectEvidence(in: "\(target)/manifest.json", installation)
    }

    /// The same hold is in the backup's manifest and in what `backup:get` says.
    private func expectEvidence(in manifest: String, _ installation: Installation) throws {
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: manifest)))
        let stored = try #require((object as? [String: Any])?["hold"] as? [String: Any])
        #expect(stored["unbroken"] as? Bool == true)
        let epoch = try #require(stored["epoch"] as? Int)
        func get(_ property: String) throws -> String {
            try installation.must(
                "backup:get", "-p", installation.project, "-e", "main", "-P", property, "--format", "json")
        }
        #expect(try get("hold.epoch").contains(String(epoch)))
        #expect(try get("hold.unbroken").contains("true"))
        let marks = try get("hold.marks_at_milliseconds")
        for name in ["db", "ledger/files", "ledger/journal"] { #expect(marks.contains("\"\(name)\""), "\(marks)") }
    }

    @Test func `a restore that was a mistake is undone`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        #expect(try installation.post("old") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("new") == 201)
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        #expect(try !installation.sets().database.contains("new"))
        try installation.must("backup:restore", "--undo", "-p", installation.project, "-e", "main", "-y")
        let sets = try installation.sets()
        #expect(sets.database.contains("new"))
        #expect(sets.file.contains("new"))
    }

    /// Somebody who writes into a file all the time.
    private func startWriting(_ file: String) throws -> Process {
        let script = """
            import os, random, sys
            file = os.open(sys.argv[1], os.O_RDWR)
            while True:
                os.pwrite(file, os.urandom(8), random.randrange(os.fstat(file).st_size - 8))
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script, file]
        try process.run()
        return process
    }

    /// A worker that always writes to a database, and has another one for itself. At its start it says what it finds.
    private static let notes = """
        import os, sqlite3, time
        folder = os.path.join(os.environ["PLATFORM_APP_DIR"], "files")
        busy = sqlite3.connect(folder + "/busy.sqlite", isolation_level=None)
        busy.execute("PRAGMA locking_mode=EXCLUSIVE")
        busy.execute("BEGIN EXCLUSIVE")
        busy.execute("CREATE TABLE IF NOT EXISTS note (text)")
        busy.execute("COMMIT")
        notes = sqlite3.connect(folder + "/notes.sqlite", isolation_level=None, timeout=60)
        notes.execute("PRAGMA journal_mode=wal")
        notes.execute("CREATE TABLE IF NOT EXISTS note (text)")
        sound = notes.execute("PRAGMA integrity_check").fetchone()[0]
        count = notes.execute("SELECT count(*) FROM note").fetchone()[0]
        notes.execute("INSERT INTO note VALUES ('first')")
        with open(folder + "/sound", "w") as file:
            file.write(f"{sound}, {'some' if count else 'no'} rows")
        while True:
            notes.execute("INSERT INTO note VALUES (randomblob(2000))")
            time.sleep(0.01)
        """

    private func deployWithNotes() throws -> Installation {
        try Installation.withLedger { checkout in
            try Self.notes.write(toFile: "\(checkout)/notes.py", atomically: true, encoding: .utf8)
            try editConfiguration(checkout) { text in
                text.replacingOccurrences(
                    of: "    workers:\n",
                    with: "    workers:\n      notes:\n        commands:\n"
                        + "          start: \"exec /usr/bin/python3 notes.py\"\n")
            }
        }
    }

    @Test func `a live backup records its skew, has databases whole, names torn files, restores without the code`()
        throws
    {
        let installation = try deployWithNotes()
        defer { installation.end() }
        func sound() throws -> String? {
            let mount = try #require(try installation.current().mounts["ledger"]?["files"])
            return try? String(contentsOfFile: "\(installation.environmentDirectory)/\(mount)/sound", encoding: .utf8)
        }
        try #require(try installation.waitUntil(seconds: 30) { try sound() == "ok, no rows" })
        #expect(try installation.post("kept") == 201)
        let mount = try #require(try installation.current().mounts["ledger"]?["files"])
        let torn = "\(try installation.environmentDirectory)/\(mount)/torn"
        #expect(FileManager.default.createFile(atPath: torn, contents: Data(repeating: 1, count: 192 << 20)))
        let shares = try Installation.run("/bin/cp", ["--reflink=always", torn, torn + "2"]).status == 0
        let writer = try startWriting(torn)
        defer { kill(writer.processIdentifier, SIGKILL) }
        try installation.must("backup:create", "--live", "-p", installation.project, "-e", "main", "-y")
        kill(writer.processIdentifier, SIGKILL)
        writer.waitUntilExit()
        let app = try installation.current().apps
        #expect(try installation.post("later") == 201)
        try installation.must("backup:restore", "--no-code", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.current().apps == app)
        let sets = try installation.sets()
        #expect(sets.database.contains("kept") && !sets.database.contains("later"))
        #expect(sets.file.contains("kept") && !sets.file.contains("later"))
        let skew = try installation.must(
            "backup:get", "-p", installation.project, "-e", "main", "-P", "skew", "--format", "json")
        #expect(skew.contains("order"), "\(skew)")
        // Where blocks are shared a copy is of one moment.
        #expect(shares || skew.contains("ledger/files/torn"), "\(skew)")
        #expect(skew.contains("ledger/files/busy.sqlite") && !skew.contains("notes.sqlite"), "\(skew)")
        #expect(try installation.waitUntil(seconds: 60) { try sound() == "ok, some rows" })
    }
}
