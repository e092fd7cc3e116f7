import Foundation
import HoldfastBackup
import HoldfastModel
import Logging
import Synchronization
import Testing

/// Performs by doing what the test says.
private struct ScriptedPerformer: ActivityPerformer {
    var work: @Sendable (ActivityContext) throws -> Void = { _ in }
    var recovery: RecoveryOutcome = .failed("stopped in the hold")
    func perform(_ context: ActivityContext) throws { try work(context) }
    func recover(_ context: ActivityContext) -> RecoveryOutcome { recovery }
}

struct ActivityTests {
    private let catalogue = MemoryCatalogue()
    private let project = Project(
        id: .random(), title: "Shop", defaultBranch: "main", region: "local", timeZone: "UTC",
        createdAt: Date(timeIntervalSince1970: 0))
    private let user = User(
        id: .random(), username: "ada", email: "ada@example.org", displayName: "Ada", isOperator: true,
        createdAt: Date(timeIntervalSince1970: 0))

    private func environment(_ name: String = "main", status: EnvironmentStatus = .active) throws -> Environment {
        catalogue.add(project)
        let environment = Environment(
            id: .random(), project: project.id, name: name, type: name == "main" ? .production : .development,
            status: status, createdAt: Date(timeIntervalSince1970: 0))
        try catalogue.createEnvironment(environment)
        return environment
    }

    private func desk() -> ActivityDesk { ActivityDesk(catalogue: catalogue, time: ManualTime(), wake: {}) }

    private func runner(_ performer: ScriptedPerformer) -> ActivityRunner {
        ActivityRunner(
            catalogue: catalogue, performer: performer, time: SystemTime(), logger: Logger(label: "test"))
    }

    private func waitUntil(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1000 {
            if try condition() { return true }
            Thread.sleep(forTimeInterval: 0.005)
        }
        return false
    }

    @Test func `a backup's id is known when it is queued`() throws {
        let environment = try environment()
        let activity = try desk().submit(.backup(environment.id, safe: true), by: user)
        #expect(activity.parameters["backup"].flatMap { BackupID($0) } != nil)
        #expect(activity.type.queue == .backup)
        #expect(activity.state == .pending)
    }

    @Test(arguments: [EnvironmentStatus.inactive, .paused, .deleting])
    func `an environment that is not active is neither backed up nor restored`(status: EnvironmentStatus) throws {
        let environment = try environment(status: status)
        let error = #expect(throws: HoldfastError.self) {
            try desk().submit(.backup(environment.id, safe: true), by: user)
        }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains(status.rawValue) == true)
        #expect(try catalogue.openActivities().isEmpty)
    }

    @Test func `a dirty environment is refused with the activity that makes it so; a cron does not make it dirty`()
        throws
    {
        let environment = try environment()
        #expect(try desk().submitCron("stamp", app: "ledger", in: environment) != nil)
        _ = try desk().submit(.backup(environment.id, safe: true), by: user)
        let redeploy = try desk().submit(.pause(try self.environment("x").id), by: user)
        #expect(redeploy.type == .pause)
        var updated = environment
        updated.headCommit = String(repeating: "a", count: 40)
        try catalogue.update(updated)
        let open = try desk().submit(.redeploy(environment.id), by: user)
        let error = #expect(throws: HoldfastError.self) {
            try desk().submit(.backup(environment.id, safe: true), by: user)
        }
        #expect(error?.message.contains(open.id.rawValue) == true)
    }

    @Test func `a cron that is still waiting is not queued a second time`() throws {
        let environment = try environment()
        #expect(try desk().submitCron("stamp", app: "ledger", in: environment) != nil)
        #expect(try desk().submitCron("stamp", app: "ledger", in: environment) == nil)
    }

    @Test func `the production environment is not deactivated, paused or deleted`() throws {
        let environment = try environment()
        for request in [
            OperationRequest.deactivate(environment.id), .pause(environment.id), .deleteEnvironment(environment.id),
        ] {
            let error = #expect(throws: HoldfastError.self) { try desk().submit(request, by: user) }
            #expect(error?.message.contains("production") == true)
        }
    }

    @Test func `a push of a new branch makes a development environment, of the default branch a production one`() throws
    {
        catalogue.add(project)
        let commit = String(repeating: "c", count: 40)
        _ = try desk().submit(.push(project.id, branch: "main", commit: commit), by: user)
        _ = try desk().submit(.push(project.id, branch: "feature/x", commit: commit), by: user)
        let environments = try catalogue.environments(in: project.id)
        #expect(environments.first { $0.name == "main" }?.type == .production)
        #expect(environments.first { $0.name == "feature/x" }?.type == .development)
        #expect(environments.allSatisfy { $0.headCommit == commit })
    }

    @Test func `one environment runs one activity at a time while others go on`() throws {
        let (first, second) = (try environment(), try environment("other"))
        let running = Mutex<[EnvironmentID: Int]>([:])
        let most = Mutex<[EnvironmentID: Int]>([:])
        let performer = ScriptedPerformer(work: { context in
            guard let id = context.activity.environment else { return }
            let now = running.withLock { counts in
                counts[id, default: 0] += 1
                return counts[id] ?? 0
            }
            most.withLock { $0[id] = max($0[id] ?? 0, now) }
            Thread.sleep(forTimeInterval: 0.01)
            running.withLock { $0[id, default: 0] -= 1 }
        })
        for _ in 0..<4 {
            _ = try desk().submit(.backup(first.id, safe: true), by: user)
            _ = try desk().submit(.backup(second.id, safe: false), by: user)
        }
        let runner = runner(performer)
        try runner.start()
        #expect(try waitUntil { try catalogue.openActivities().isEmpty })
        runner.stop()
        #expect(most.withLock { $0 } == [first.id: 1, second.id: 1])
    }

    @Test func `a failure is recorded with its reason and the next activity runs`() throws {
        let environment = try environment()
        let performer = ScriptedPerformer(work: { context in
            if context.activity.parameters["safe"] == "true" {
                throw HoldfastError(.noSpace, "site a is full", hint: "Free some space")
            }
        })
        let failing = try desk().submit(.backup(environment.id, safe: true), by: user)
        let working = try desk().submit(.backup(environment.id, safe: false), by: user)
        let runner = runner(performer)
        try runner.start()
        #expect(try waitUntil { try catalogue.openActivities().isEmpty })
        runner.stop()
        #expect(catalogue.activity(failing.id)?.result == .failure)
        #expect(catalogue.activity(failing.id)?.failure == "site a is full. Free some space")
        #expect(catalogue.log(of: failing.id).last == "Failed: site a is full. Free some space\n")
        #expect(catalogue.activity(working.id)?.result == .success)
    }

    @Test func `an activity that gives way has not failed, and begins anew`() throws {
        let environment = try environment()
        let begun = Mutex(0)
        let performer = ScriptedPerformer(work: { _ in
            let isFirst = begun.withLock { count in
                count += 1
                return count == 1
            }
            if isFirst { throw GivesWay(reason: "Stopped for another one.") }
        })
        let activity = try desk().submit(.backup(environment.id, safe: true), by: user)
        let runner = runner(performer)
        try runner.start()
        #expect(try waitUntil { try catalogue.openActivities().isEmpty })
        runner.stop()
        #expect(begun.withLock { $0 } == 2)
        #expect(catalogue.activity(activity.id)?.result == .success)
        #expect(catalogue.log(of: activity.id) == ["Stopped for another one.\n"])
    }

    @Test func `what ran when the control plane stopped is settled before anything new begins`() throws {
        let environment = try environment()
        let activity = try desk().submit(.backup(environment.id, safe: true), by: user)
        _ = try catalogue.claimActivity(in: .backup, at: Date(timeIntervalSince1970: 0))
        let runner = runner(ScriptedPerformer(recovery: .failed("stopped in the hold")))
        try runner.start()
        runner.stop()
        #expect(catalogue.activity(activity.id)?.state == .complete)
        #expect(catalogue.activity(activity.id)?.failure == "stopped in the hold")
    }

    @Test func `what an environment that is not active needs is said: resume or activate`() throws {
        for (name, status, word) in [("a", EnvironmentStatus.paused, "resume"), ("b", .inactive, ":activate")] {
            let environment = try environment(name, status: status)
            let error = #expect(throws: HoldfastError.self) {
                try desk().submit(.backup(environment.id, safe: true), by: user)
            }
            #expect(error?.hint?.contains(word) == true, "\(error?.hint ?? "none")")
        }
    }

    @Test func `an operation is judged without being queued`() throws {
        let environment = try environment()
        try desk().check(.backup(environment.id, safe: true))
        #expect(throws: HoldfastError.self) { try desk().check(.pause(environment.id)) }
        #expect(try catalogue.openActivities().isEmpty)
    }

    @Test func `a backup is deleted once, also if its environment is gone, and not restored meanwhile`() throws {
        let main = try environment()
        let gone = try environment("feature/x")
        let backup = Backup(
            id: .random(), environment: gone, safe: false, automated: false, commit: String(repeating: "a", count: 40),
            deployment: "d", snapshot: String(repeating: "b", count: 64), sizes: (1, 1),
            sites: [SitePlacement(site: "one", isComplete: true)], evidence: (nil, nil), createdAt: gone.createdAt,
            updatedAt: gone.createdAt)
        try catalogue.insertBackup(backup)
        try catalogue.removeEnvironment(gone.id)
        let restore = try desk().submit(.restore(backup.id, RestoreRequest(target: "main")), by: user)
        #expect(restore.environment == main.id)
        try catalogue.finishActivity(restore.id, result: .success, failure: nil, at: gone.createdAt)
        let first = try desk().submit(.deleteBackup(backup.id), by: user)
        #expect(first.parameters["environment"] == "feature/x")
        for request in [OperationRequest.deleteBackup(backup.id), .restore(backup.id, RestoreRequest(target: "main"))] {
            let error = #expect(throws: HoldfastError.self) { try desk().submit(request, by: user) }
            #expect(error?.code == .conflict)
            #expect(error?.message.contains(first.id.rawValue) == true)
        }
    }
}
