import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

/// SQLite as Python has it, in a process of its own.
private final class DatabaseProcess {
    private static let program = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], timeout=0.2, isolation_level=None)
        for line in sys.stdin:
            try:
                row = connection.execute(line).fetchone()
                print("done" if row is None else row[0], flush=True)
            except sqlite3.OperationalError as error:
                print(error, flush=True)
        """
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    init(_ database: String) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", Self.program, database]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    /// Runs a statement; the first value of its first row, `done`, or why it failed.
    func ask(_ statement: String) throws -> String {
        try input.fileHandleForWriting.write(contentsOf: Data("\(statement)\n".utf8))
        var answer = Data()
        while answer.last != 10 {
            let more = output.fileHandleForReading.availableData
            try #require(!more.isEmpty, "the process ended")
            answer += more
        }
        return String(decoding: answer.dropLast(), as: UTF8.self)
    }

    func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

struct MountedDatabasesTests {
    /// A mount with a database that is in use, in `below/notes`.
    private final class Mount {
        let path = "/tmp/holdfast-databases-\(UInt64.random(in: 0...UInt64.max))"
        let user: DatabaseProcess

        init(journal: String) throws {
            try FileManager.default.createDirectory(atPath: "\(path)/below", withIntermediateDirectories: true)
            user = try DatabaseProcess("\(path)/below/notes")
            #expect(try user.ask("PRAGMA journal_mode=\(journal)") == journal)
            #expect(try user.ask("CREATE TABLE note (number)") == "done")
            #expect(try user.ask("INSERT INTO note VALUES (1)") == "done")
        }

        deinit {
            user.end()
            try? FileManager.default.removeItem(atPath: path)
        }

        var database: Data? { FileManager.default.contents(atPath: "\(path)/below/notes") }
    }

    @Test func `databases are found by what is in them, and links are not followed`() throws {
        let mount = try Mount(journal: "delete")
        let files = FileManager.default
        try files.createSymbolicLink(atPath: "\(mount.path)/link", withDestinationPath: "\(mount.path)/below/notes")
        try files.createSymbolicLink(atPath: "\(mount.path)/folder", withDestinationPath: "\(mount.path)/below")
        try Data(repeating: 1, count: 4096).write(to: URL(fileURLWithPath: "\(mount.path)/other"))
        try #require(mkfifo("\(mount.path)/pipe", 0o600) == 0)
        #expect(MountedDatabases(below: mount.path).paths == ["below/notes"])
        #expect(MountedDatabases(below: "\(mount.path)/folder").paths == [])
    }

    @Test func `a database with a journal does not change while it is held, and its copy is whole`() throws {
        let mount = try Mount(journal: "delete")
        let held = MountedDatabases(below: mount.path).hold(time: SystemTime())
        let before = mount.database
        #expect(try mount.user.ask("INSERT INTO note VALUES (2)") == "database is locked")
        #expect(mount.database == before)
        held.release()
        #expect(held.held == ["below/notes"] && held.missed == [])
        #expect(try mount.user.ask("INSERT INTO note VALUES (2)") == "done")
    }

    @Test func `a database with a log is written to while it is held, and its copy has all of it`() throws {
        let mount = try Mount(journal: "wal")
        let held = MountedDatabases(below: mount.path).hold(time: SystemTime())
        let before = mount.database
        #expect(try mount.user.ask("INSERT INTO note VALUES (2)") == "done")
        // Nothing is moved from the log into the database, and the log does not begin anew.
        #expect(try mount.user.ask("PRAGMA wal_checkpoint(TRUNCATE)") == "1")
        #expect(mount.database == before)
        try FileManager.default.createDirectory(atPath: "\(mount.path)/copy", withIntermediateDirectories: true)
        for name in ["notes", "notes-wal"] {
            try FileManager.default.copyItem(
                atPath: "\(mount.path)/below/\(name)", toPath: "\(mount.path)/copy/\(name)")
        }
        held.release()
        #expect(held.held == ["below/notes"] && held.missed == [])
        #expect(try mount.user.ask("PRAGMA wal_checkpoint(TRUNCATE)") == "0")
        let copy = try DatabaseProcess("\(mount.path)/copy/notes")
        defer { copy.end() }
        #expect(try copy.ask("PRAGMA integrity_check") == "ok")
        #expect(try copy.ask("SELECT count(*) FROM note") == "2")
    }

    @Test func `a database that is locked, or replaced meanwhile, is said not to have stood still`() throws {
        let mount = try Mount(journal: "delete")
        #expect(try mount.user.ask("BEGIN EXCLUSIVE") == "done")
        let locked = MountedDatabases(below: mount.path).hold(patience: .milliseconds(50), time: SystemTime())
        #expect(locked.held == [] && locked.missed == ["below/notes"])
        #expect(try mount.user.ask("COMMIT") == "done")

        let held = MountedDatabases(below: mount.path).hold(time: SystemTime())
        #expect(held.missed == [])
        try FileManager.default.copyItem(atPath: "\(mount.path)/below/notes", toPath: "\(mount.path)/new")
        try #require(rename("\(mount.path)/new", "\(mount.path)/below/notes") == 0)
        held.release()
        #expect(held.held == [] && held.missed == ["below/notes"])
    }

    @Test func `torn files are said without logs of databases that stood still, ten of them, and as text`() {
        let files = TornFiles(
            unstable: ["a", "notes-wal", "b\u{1b}[2J\nc"], held: ["notes"], missed: ["busy", "a"])
        #expect(files.paths == ["a", "b\u{1b}[2J\nc", "busy"])
        #expect(TornFiles.summary(of: files.paths) == "a, b?[2J?c, busy")
        let many = TornFiles.summary(of: (10..<35).map { "f\($0)" })
        #expect(many == (10..<20).map { "f\($0)" }.joined(separator: ", ") + " and 15 more")
        #expect(TornFiles(unstable: ["notes", "notes-shm"], held: ["notes"]).paths == [])
    }
}
