import Foundation
import GRDB
import HoldfastCatalogue
import HoldfastModel
import Testing

@Suite struct StoreTests {
    @Test func `what was stored reads back the same`() throws {
        let bench = try Bench()
        bench.main.title = "Main"
        bench.main.headCommit = String(repeating: "c", count: 40)
        bench.main.status = .paused
        try bench.catalogue.update(bench.main)
        #expect(try bench.catalogue.environment(named: "main", in: bench.project.id) == bench.main)
        var hold = HoldEvidence(epoch: .max >> 1, closedAt: bench.time.now())
        hold.unbroken = true
        hold.marksAtMilliseconds = ["db": 12.5]
        let backup = bench.backup(of: bench.main, safe: true, hold: hold)
        try bench.catalogue.insertBackup(backup)
        try bench.reopen()
        #expect(try bench.catalogue.backup(backup.id) == backup)
    }

    @Test func `what is not there is not found`() throws {
        let bench = try Bench()
        #expect(code { _ = try bench.catalogue.project(.random()) } == .notFound)
        #expect(code { _ = try bench.catalogue.environment(EnvironmentID.random()) } == .notFound)
        #expect(code { _ = try bench.catalogue.environment(named: "x", in: bench.project.id) } == .notFound)
        #expect(code { _ = try bench.catalogue.backup(.random()) } == .notFound)
        #expect(code { _ = try bench.catalogue.activity(.random()) } == .notFound)
        #expect(code { _ = try bench.catalogue.user(.random()) } == .notFound)
    }

    @Test func `names are unique, and a project has one production environment`() throws {
        let bench = try Bench()
        #expect(code { _ = try bench.addEnvironment("main") } == .conflict)
        #expect(code { _ = try bench.addEnvironment("other", .production) } == .conflict)
        #expect(code { try bench.catalogue.createProject(bench.project) } == .conflict)
        var staging = try bench.addEnvironment("stage", .staging)
        staging.type = .production
        #expect(code { try bench.catalogue.update(staging) } == .conflict)
    }

    @Test func `dirty is never stored`() throws {
        let bench = try Bench()
        bench.main.status = .dirty
        #expect(code { try bench.catalogue.update(bench.main) } == .internalFault)
    }

    @Test func `a backup without a complete site, or safe without an unbroken hold, is not recorded`() throws {
        let bench = try Bench()
        #expect(code { try bench.catalogue.insertBackup(bench.backup(of: bench.main, isComplete: false)) } == .conflict)
        #expect(code { try bench.catalogue.insertBackup(bench.backup(of: bench.main, safe: true)) } == .conflict)
        let broken = HoldEvidence(epoch: 1, closedAt: bench.time.now())
        let backup = bench.backup(of: bench.main, safe: true, hold: broken)
        #expect(code { try bench.catalogue.insertBackup(backup) } == .conflict)
        #expect(try bench.catalogue.backups(of: bench.main.id) == [])
    }

    @Test func `a backup goes only after it was marked, and the newest is listed first`() throws {
        let bench = try Bench()
        let old = bench.backup(of: bench.main)
        try bench.catalogue.insertBackup(old)
        bench.time.advance(5)
        let new = bench.backup(of: bench.main)
        try bench.catalogue.insertBackup(new)
        #expect(try bench.catalogue.backups(of: bench.main.id).map(\.id) == [new.id, old.id])
        #expect(try bench.catalogue.lastBackups(in: bench.project.id) == [bench.main.id: new.createdAt])
        #expect(code { try bench.catalogue.removeBackup(new.id) } == .conflict)
        try bench.catalogue.markDeleting(new.id, at: bench.time.now())
        #expect(try bench.catalogue.backup(new.id).status == .deleting)
        #expect(try bench.catalogue.lastBackups(in: bench.project.id) == [bench.main.id: old.createdAt])
        try bench.catalogue.removeBackup(new.id)
        #expect(code { _ = try bench.catalogue.backup(new.id) } == .notFound)
    }

    @Test func `variables of the environment win over those of the project`() throws {
        let bench = try Bench()
        let (catalogue, project, main) = (bench.catalogue, bench.project.id, bench.main.id)
        _ = try catalogue.setVariable("A", to: Secret("1"), isSensitive: false, in: project, environment: nil)
        _ = try catalogue.setVariable("B", to: Secret("2"), isSensitive: true, in: project, environment: nil)
        _ = try catalogue.setVariable("B", to: Secret("3"), isSensitive: true, in: project, environment: main)
        _ = try catalogue.setVariable("A", to: Secret("4"), isSensitive: false, in: project, environment: nil)
        let values = try catalogue.variables(project: project, environment: main).mapValues { $0.reveal() }
        #expect(values == ["A": "4", "B": "3"])
        try catalogue.removeVariable("B", in: project, environment: main)
        #expect(try catalogue.variables(project: project, environment: main)["B"]?.reveal() == "2")
        #expect(code { try catalogue.removeVariable("B", in: project, environment: main) } == .notFound)
    }

    @Test func `the sealed password of a project is kept as it is`() throws {
        let bench = try Bench()
        #expect(try bench.catalogue.sealedRepositoryPassword(bench.project.id) == nil)
        try bench.catalogue.setSealedRepositoryPassword(bench.project.id, [0, 255, 7])
        try bench.reopen()
        #expect(try bench.catalogue.sealedRepositoryPassword(bench.project.id) == [0, 255, 7])
    }

    @Test func `the audit log can be added to, and neither changed nor shortened`() throws {
        let bench = try Bench()
        let target: (project: ProjectID?, subject: String?) = (bench.project.id, "main")
        let entry = AuditEntry(
            at: bench.time.now(), session: nil, action: "environment.backup", on: target, result: .refused,
            detail: "no")
        try bench.catalogue.audit(entry)
        #expect(try bench.catalogue.auditLog(of: bench.project.id, limit: 10) == [entry])
        #expect(try bench.catalogue.auditLog(of: .random(), limit: 10) == [])
        let database = try DatabaseQueue(path: bench.path)
        #expect(throws: DatabaseError.self) { try database.write { try $0.execute(sql: "DELETE FROM audit") } }
        #expect(throws: DatabaseError.self) {
            try database.write { try $0.execute(sql: "UPDATE audit SET result = 'allowed'") }
        }
    }

    @Test func `what a deleted environment was is kept`() throws {
        let bench = try Bench()
        let feature = try bench.addEnvironment("feature/x", .staging)
        #expect(try bench.catalogue.goneEnvironments(in: bench.project.id).isEmpty)
        try bench.catalogue.removeEnvironment(feature.id)
        let gone = try bench.catalogue.goneEnvironments(in: bench.project.id)
        #expect(gone.map(\.id) == [feature.id])
        #expect(gone.map(\.name) == ["feature/x"])
        #expect(gone.map(\.type) == [.staging])
        // The name is free again, and means somebody else.
        let again = try bench.addEnvironment("feature/x")
        #expect(again.id != feature.id)
    }

    @Test func `a project is deleted only if nothing of it is lost unasked`() throws {
        let bench = try Bench()
        let (catalogue, id) = (bench.catalogue, bench.project.id)
        var feature = try bench.addEnvironment("feature/x")
        #expect(code { try catalogue.deleteProject(id, withProduction: true) } == .conflict)
        feature.status = .inactive
        try catalogue.update(feature)
        #expect(code { try catalogue.deleteProject(id, withProduction: false) } == .conflict, "main is active")
        let activity = try bench.queue(.cron, on: bench.main)
        #expect(code { try catalogue.checkProjectIsUnused(id, withProduction: true) } == .conflict)
        try catalogue.cancelActivity(activity.id, at: bench.time.now())
        try catalogue.checkProjectIsUnused(id, withProduction: true)
        try catalogue.deleteProject(id, withProduction: true)
        #expect(code { _ = try catalogue.project(id) } == .notFound)
        #expect(try catalogue.allEnvironments().isEmpty)
    }
}
