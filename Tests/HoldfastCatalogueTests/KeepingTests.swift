import Foundation
import GRDB
import HoldfastCatalogue
import HoldfastModel
import Testing

@Suite struct KeepingTests {
    private func claim(_ interval: String, _ slot: Int) -> SlotClaim { SlotClaim(interval: interval, slot: slot) }

    /// Records an automated backup with claims.
    private func add(_ claims: [SlotClaim], to bench: Bench, of environment: Environment? = nil) throws -> BackupID {
        bench.time.advance(60)
        var backup = bench.backup(of: environment ?? bench.main)
        backup.keeping.claims = claims
        try bench.catalogue.insertBackup(backup)
        return backup.id
    }

    @Test func `a slot is claimed once, whoever comes second, and also when its backup is gone`() throws {
        let bench = try Bench()
        let first = try add([claim("1d", 10), claim("1w", 2)], to: bench)
        let second = try add([claim("1d", 11), claim("1w", 2)], to: bench)
        #expect(try bench.catalogue.backup(first).keeping.claims == [claim("1d", 10), claim("1w", 2)])
        #expect(try bench.catalogue.backup(second).keeping.claims == [claim("1d", 11)])
        for id in [first, second] {
            try bench.catalogue.markDeleting(id, at: bench.time.now())
            try bench.catalogue.removeBackup(id)
        }
        // The newest of each interval stays, and is not claimed again.
        #expect(try bench.catalogue.claims(of: bench.main.id) == [claim("1d", 11), claim("1w", 2)])
        let third = try add([claim("1d", 11), claim("1w", 3)], to: bench)
        #expect(try bench.catalogue.backup(third).keeping.claims == [claim("1w", 3)])
        let other = try bench.addEnvironment("main-2")
        let fourth = try add([claim("1d", 11)], to: bench, of: other)
        #expect(try bench.catalogue.backup(fourth).keeping.claims == [claim("1d", 11)])
        try bench.reopen()
        #expect(try bench.catalogue.claims(of: bench.main.id).count == 3)
    }

    @Test func `backups keep the order in which they were recorded, whatever the clock says`() throws {
        let bench = try Bench()
        var recorded: [BackupID] = []
        for jump in [0.0, 4_000_000, -9_000_000, 500] {
            bench.time.advance(jump)
            recorded.append(try add([], to: bench))
        }
        #expect(try bench.catalogue.recordedBackups(of: bench.main.id).map(\.id) == recorded)
        try bench.catalogue.describeBackup(recorded[0], label: "l", note: nil, at: bench.time.now())
        #expect(try bench.catalogue.recordedBackups(of: bench.main.id).map(\.id) == recorded)
    }

    @Test func `a rebuilt catalogue keeps the order that it is given, whatever the times say`() throws {
        let bench = try Bench()
        let project = Project(
            id: .random(), title: "Q", defaultBranch: "main", region: "r", timeZone: "UTC", createdAt: bench.time.now())
        let environment = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .inactive,
            createdAt: project.createdAt)
        var backups: [Backup] = []
        for jump in [0.0, 4_000_000, -9_000_000] {
            bench.time.advance(jump)
            backups.append(bench.backup(of: environment))
        }
        try bench.catalogue.rebuild(
            RebuiltProject(project: project, environments: [environment], backups: backups, sealedPassword: [1]))
        #expect(try bench.catalogue.recordedBackups(of: environment.id).map(\.id) == backups.map(\.id))
        #expect(try bench.catalogue.recordedBackups(in: project.id).map(\.id) == backups.map(\.id))
    }

    @Test func `an environment is active since the first deployment or resume after it was paused last`() throws {
        let bench = try Bench()
        func end(_ type: ActivityType, _ result: ActivityResult = .success) throws -> Date {
            let activity = try bench.queue(type, on: bench.main)
            _ = try bench.claim(type.queue)
            bench.time.advance(10)
            let failure = result == .failure ? "no" : nil
            try bench.catalogue.finishActivity(activity.id, result: result, failure: failure, at: bench.time.now())
            return bench.time.now()
        }
        func since() throws -> Date? { try bench.catalogue.activeSince(bench.main.id) }
        #expect(try since() == nil)
        _ = try end(.push, .failure)
        #expect(try since() == nil)
        let deployed = try end(.push)
        _ = try end(.redeploy)
        #expect(try since() == deployed, "it was active before")
        _ = try end(.pause)
        #expect(try since() == nil)
        let resumed = try end(.resume)
        _ = try end(.push)
        #expect(try since() == resumed)
        let other = try bench.addEnvironment("other")
        #expect(try bench.catalogue.activeSince(other.id) == nil)
    }

    @Test func `what keeps a backup is stored, and a deletion is on record`() throws {
        let bench = try Bench()
        let id = try add([claim("1d", 1)], to: bench)
        let until = bench.time.now().addingTimeInterval(1000)
        try bench.catalogue.describeBackup(id, label: "before 2.0", note: "careful", at: bench.time.now())
        try bench.catalogue.protectBackup(id, true, lockedUntil: until, at: bench.time.now())
        try bench.reopen()
        let keeping = try bench.catalogue.backup(id).keeping
        #expect(keeping.label == "before 2.0")
        #expect(keeping.note == "careful")
        #expect(keeping.isProtected)
        #expect(keeping.lockedUntil == until)
        let now = bench.time.now()
        #expect(code { try bench.catalogue.deleteBackup(id, because: "x", force: true, at: now) } == .conflict)
        bench.time.advance(1001)
        let later = bench.time.now()
        #expect(code { try bench.catalogue.deleteBackup(id, because: "x", at: later) } == .conflict, "protected still")
        try bench.catalogue.deleteBackup(id, because: "1d keeps 1", force: true, at: later)
        try bench.catalogue.deleteBackup(id, because: "another", force: true, at: later.addingTimeInterval(5))
        #expect(try bench.catalogue.backup(id).keeping.deletedBecause == "1d keeps 1")
        #expect(try bench.catalogue.lastBackups(in: bench.project.id).isEmpty)
        #expect(try bench.catalogue.deletedBackups(of: nil, before: later).map(\.id) == [id])
        #expect(try bench.catalogue.deletedBackups(of: bench.main.id, before: later.addingTimeInterval(-1)).isEmpty)
        let entry = try #require(try bench.catalogue.auditLog(of: bench.project.id, limit: 5).first)
        #expect(entry.subject == id.rawValue)
        #expect(entry.detail == "1d keeps 1")
        #expect(entry.user == nil)
    }

    @Test func `a restore and a deletion exclude each other, whoever comes first`() throws {
        let bench = try Bench()
        let (read, gone) = (try add([], to: bench), try add([], to: bench))
        let other = try bench.addEnvironment("other")
        func restore(_ id: BackupID) -> Activity {
            Activity(
                id: .random(), project: bench.project.id, environment: other.id, type: .restore,
                parameters: ["backup": id.rawValue], user: nil, text: "restore", createdAt: bench.time.now())
        }
        let open = restore(read)
        try bench.catalogue.createActivity(open)
        let now = bench.time.now()
        #expect(code { try bench.catalogue.deleteBackup(read, because: "x", force: true, at: now) } == .conflict)
        #expect(code { try bench.catalogue.markDeleting(read, force: true, at: now) } == .conflict)
        try bench.catalogue.cancelActivity(open.id, at: now)
        try bench.catalogue.deleteBackup(gone, because: "x", at: now)
        #expect(code { try bench.catalogue.createActivity(restore(gone)) } == .conflict)
        try bench.catalogue.undeleteBackup(gone, protect: false, at: now)
        try bench.catalogue.createActivity(restore(gone))
    }

    @Test func `a catalogue from before there was retention keeps its backups, in the order of their times`() throws {
        let bench = try Bench()
        var made: [Backup] = []
        for _ in 0..<3 {
            bench.time.advance(60)
            made.append(bench.backup(of: bench.main))
            try bench.catalogue.insertBackup(try #require(made.last))
        }
        try bench.catalogue.close()
        let database = try DatabaseQueue(path: bench.path)
        try database.write { database in
            // As an older version left it.
            try database.execute(
                sql: """
                    DROP TABLE claim;
                    DROP INDEX backup_by_position;
                    DROP INDEX deleted_backup;
                    ALTER TABLE project DROP COLUMN retention;
                    DELETE FROM grdb_migrations WHERE identifier = '007 retention';
                    """)
            for column in ["deleted_because", "deleted_at", "position", "claims", "is_protected", "locked_until"] {
                try database.execute(sql: "ALTER TABLE backup DROP COLUMN \(column)")
            }
            for column in ["label", "note"] { try database.execute(sql: "ALTER TABLE backup DROP COLUMN \(column)") }
        }
        try database.close()
        try bench.reopen()
        let recorded = try bench.catalogue.recordedBackups(of: bench.main.id)
        #expect(recorded == made)
        #expect(try bench.catalogue.project(bench.project.id).retention == nil)
        let next = try add([claim("1d", 4)], to: bench)
        #expect(try bench.catalogue.recordedBackups(of: bench.main.id).last?.id == next)
    }

    @Test func `a policy is stored with its project, and an edit of the project leaves it alone`() throws {
        let bench = try Bench()
        try bench.catalogue.updateRetention(of: bench.project.id) { old in
            #expect(old == nil)
            var settings = RetentionSettings(changedAt: bench.time.now())
            settings[.production].maxBackups = 10
            settings[.production].schedule = [.init(interval: "1d", count: 7, safe: true)]
            return settings
        }
        var stale = bench.project
        stale.title = "Another"
        try bench.catalogue.update(stale)
        try bench.reopen()
        let project = try bench.catalogue.project(bench.project.id)
        #expect(project.title == "Another")
        #expect(project.retention?[.production].maxBackups == 10)
        #expect(project.retention?[.production].schedule == [.init(interval: "1d", count: 7, safe: true)])
        #expect(project.retention?.setTypes == [.production])
        #expect(throws: (any Error).self) {
            try bench.catalogue.updateRetention(of: bench.project.id) { _ in
                throw HoldfastError(.invalidInput, "no")
            }
        }
        #expect(try bench.catalogue.project(bench.project.id).retention == project.retention)
    }
}
