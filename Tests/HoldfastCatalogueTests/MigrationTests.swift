import Foundation
import GRDB
import HoldfastCatalogue
import HoldfastModel
import Testing

@Suite struct MigrationTests {
    @Test func `a new catalogue is readable by its owner only, in WAL mode, and every commit is flushed`() throws {
        let bench = try Bench()
        let attributes = try FileManager.default.attributesOfItem(atPath: bench.path)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        let database = try DatabaseQueue(path: bench.path)
        #expect(try database.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
        #expect(try bench.catalogue.synchronousMode() == 2)
        bench.catalogue.appendLog(try bench.queue(.cron, on: bench.main).id, "light\n", at: bench.time.now())
        #expect(try bench.catalogue.synchronousMode() == 2, "a log line must not leave commits unflushed")
    }

    @Test func `opening twice changes nothing`() throws {
        let bench = try Bench()
        try bench.reopen()
        #expect(try bench.catalogue.project(bench.project.id) == bench.project)
        #expect(try bench.catalogue.environment(bench.main.id) == bench.main)
    }

    @Test func `a catalogue of a newer version is refused, not touched`() throws {
        let bench = try Bench()
        try bench.catalogue.close()
        let database = try DatabaseQueue(path: bench.path)
        try database.write { try $0.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('999 future')") }
        try database.close()
        let (path, time) = (bench.path, bench.time)
        #expect(code { _ = try Catalogue(path: path, time: time) } == .unsupported)
    }

    @Test func `a file that is no database is damaged`() throws {
        let bench = try Bench()
        let path = bench.folder + "/other.sqlite"
        try Data(repeating: 7, count: 8192).write(to: URL(fileURLWithPath: path))
        #expect(code { _ = try Catalogue(path: path, time: bench.time) } == .damaged)
    }

    @Test func `published migrations keep their names and their order`() throws {
        let bench = try Bench()
        let database = try DatabaseQueue(path: bench.path)
        let names = try database.read { try String.fetchAll($0, sql: "SELECT identifier FROM grdb_migrations") }
        #expect(
            names.sorted().prefix(5) == [
                "001 projects and environments", "002 backups", "003 activities", "004 people and tokens", "005 audit",
            ])
    }
}
