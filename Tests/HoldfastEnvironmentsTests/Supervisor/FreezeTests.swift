import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import Testing

/// The ways to freeze that this machine has: cgroups need root.
private var methods: [[FreezeMethod]] { geteuid() == 0 ? [[.cgroup2], [.cgroup1], []] : [[]] }

@Suite(.serialized) struct FreezeTests {
    private func started(_ methods: [FreezeMethod]) throws -> SupervisedPlayground {
        let playground = try SupervisedPlayground(freeze: methods)
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        try #require(eventually { playground.count > 0 && playground.tally > 0 })
        return playground
    }

    @Test(arguments: methods) func `frozen, nothing moves but services; thawed, all goes on`(
        _ methods: [FreezeMethod]
    ) throws {
        let playground = try started(methods)
        let pids = try playground.client.status().processes.map(\.pid)
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        let result = try hold.freeze()
        // A machine without that hierarchy falls back to signals.
        #expect(result.method == (methods.first?.rawValue ?? "signal") || result.method == "signal")
        #expect(result.workersFrozenInPlace == ["ledger.tally"])
        #expect(playground.stands { playground.count })
        #expect(playground.stands { playground.tally })
        #expect(playground.grows { playground.number("services/db/1/data/count") })
        #expect(try playground.client.status().isFrozen)
        try hold.thaw()
        #expect(playground.grows { playground.count })
        #expect(playground.grows { playground.tally })
        #expect(try playground.client.status().processes.map(\.pid) == pids)
        #expect(try !playground.client.status().isHeld)
    }

    @Test(arguments: methods) func `the end of the connection thaws at once`(_ methods: [FreezeMethod]) throws {
        let playground = try started(methods)
        let hold = try playground.client.freezeHold(lease: .seconds(60))
        _ = try hold.freeze()
        #expect(playground.stands { playground.count })
        hold.abandon()
        #expect(playground.grows { playground.count })
        #expect(throws: HoldfastError.self) { try hold.thaw() }
    }

    @Test(arguments: methods) func `a lease that is not renewed thaws, and says so`(_ methods: [FreezeMethod]) throws {
        let playground = try started(methods)
        let hold = try playground.client.freezeHold(lease: .milliseconds(400))
        _ = try hold.freeze()
        for _ in 0..<4 {
            usleep(200_000)
            try hold.renew()
        }
        #expect(try playground.client.status().isFrozen)
        #expect(eventually { (try? playground.client.status().isFrozen) == false })
        #expect(playground.grows { playground.count })
        #expect(throws: HoldfastError.self) { try hold.renew() }
        let error = #expect(throws: HoldfastError.self) { try hold.thaw() }
        #expect(error?.code == .unavailable)
    }

    @Test func `only one hold is open at a time, and none while processes are replaced`() throws {
        let playground = try started([])
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        let second = #expect(throws: HoldfastError.self) { try playground.client.freezeHold(lease: .seconds(1)) }
        #expect(second?.code == .conflict)
        #expect(#expect(throws: HoldfastError.self) { try playground.client.apply() }?.code == .conflict)
        try hold.thaw()
        try playground.client.apply()
        try playground.client.freezeHold(lease: .seconds(1)).thaw()
    }

    @Test(arguments: methods) func `a worker that is asked stands between two units and goes on after the thaw`(
        _ methods: [FreezeMethod]
    ) throws {
        let playground = try started(methods)
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        let result = try hold.quiesce(timeout: .seconds(5))
        #expect(result.quiesced == ["worker ledger.tally"])
        #expect(result.late.isEmpty)
        #expect(playground.stands { playground.tally })
        #expect(playground.grows { playground.count })
        #expect(try hold.freeze().workersFrozenInPlace.isEmpty)
        try hold.thaw()
        #expect(playground.grows { playground.tally })
        #expect(try playground.client.status().processes.allSatisfy { $0.restarts == 0 })
    }

    @Test(arguments: [
        ("deaf", "worker ledger.tally, without a handler for its quiesce signal for ", " s"),
        ("busy", "worker ledger.tally, asked to stand still ", " s ago"),
    ])
    func `a worker that does not stand still is named with how long it was waited for, and unharmed`(
        _ how: String, _ before: String, _ after: String
    ) throws {
        let playground = try SupervisedPlayground(freeze: [])
        try Data().write(to: URL(fileURLWithPath: playground.layout.directory + "/apps/ledger/1/\(how)"))
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        #expect(eventually { playground.tally > 0 })
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        let result = try hold.quiesce(timeout: .seconds(1))
        #expect(result.quiesced.isEmpty)
        let line = try #require(result.late.first)
        #expect(result.late.count == 1 && line.hasPrefix(before) && line.hasSuffix(after), "\(line)")
        let seconds = try #require(Double(line.dropFirst(before.count).dropLast(after.count)), "\(line)")
        #expect(seconds > 0 && seconds < 60)
        hold.abandon()
        #expect(playground.grows { playground.tally })
        #expect(try playground.client.status().processes.allSatisfy { $0.restarts == 0 })
    }

    @Test func `a worker that was asked goes on when the hold ends without a freeze`() throws {
        let playground = try started([])
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        _ = try hold.quiesce(timeout: .seconds(5))
        #expect(playground.stands { playground.tally })
        hold.abandon()
        #expect(playground.grows { playground.tally })
    }

    @Test func `a running cron is waited for, and none starts in a hold`() throws {
        let playground = try started([])
        let client = playground.client
        let done = DispatchSemaphore(value: 0)
        startThread("cron") {
            _ = try? client.runCron(app: "ledger", cron: "brief")
            done.signal()
        }
        #expect(eventually { (try? playground.pid("cron:ledger.brief")) != nil })
        let hold = try client.freezeHold(lease: .seconds(10))
        let late = try hold.quiesce(timeout: .milliseconds(1))
        #expect(late.late.contains { $0.hasPrefix("cron ledger.brief, running for ") && $0.hasSuffix(" s") })
        let result = try hold.quiesce(timeout: .seconds(5))
        #expect(result.late.isEmpty)
        done.wait()
        startThread("cron") {
            _ = try? client.runCron(app: "ledger", cron: "stamp")
            done.signal()
        }
        #expect(done.wait(timeout: .now() + .milliseconds(300)) == .timedOut)
        #expect(playground.lines("log/cron.ledger.stamp.log").isEmpty)
        try hold.thaw()
        done.wait()
        #expect(playground.lines("log/cron.ledger.stamp.log") == ["tick"])
    }

    @Test func `an app that is killed while all is frozen comes back after the thaw`() throws {
        let playground = try started([])
        let hold = try playground.client.freezeHold(lease: .seconds(10))
        _ = try hold.freeze()
        kill(try #require(try playground.pid("web:ledger")), SIGKILL)
        usleep(400_000)
        #expect(try playground.pid("web:ledger") == nil)
        try hold.thaw()
        #expect(playground.grows { playground.count })
    }

    // MARK: Supervisors that die

    @Test(arguments: methods) func `a supervisor killed in a freeze: the guard thaws, the next one adopts`(
        _ methods: [FreezeMethod]
    ) throws {
        let playground = try SupervisedPlayground(freeze: methods)
        try playground.layout.writeCurrent(playground.state())
        let first = try playground.startProcess()
        try playground.client.apply()
        #expect(eventually { playground.count > 0 && playground.tally > 0 })
        let pids = try playground.client.status().processes.map(\.pid)
        let hold = try playground.client.freezeHold(lease: .seconds(60))
        _ = try hold.quiesce(timeout: .seconds(5))
        _ = try hold.freeze()
        #expect(playground.stands { playground.count })
        first.signal(SIGKILL)
        _ = first.wait(timeout: .seconds(5))
        // Nobody but the guard is there now.
        #expect(playground.grows { playground.count })
        #expect(playground.grows { playground.tally })
        #expect(throws: HoldfastError.self) { try hold.thaw() }

        let second = try playground.startProcess()
        try playground.client.apply()
        #expect(try playground.client.status().processes.map(\.pid) == pids)
        #expect(
            try String(contentsOfFile: playground.layout.directory + "/apps/ledger/1/starts", encoding: .utf8) == "x")
        #expect(playground.lines("services/db/1/data/starts").count == 1)
        // Adopted means looked after: what ends is started again, and what is frozen stands.
        kill(try #require(try playground.pid("web:ledger")), SIGKILL)
        #expect(
            eventually { (try? playground.client.status().processes.first { $0.key == "web:ledger" })?.restarts == 1 })
        let again = try playground.client.freezeHold(lease: .seconds(10))
        _ = try again.freeze()
        #expect(playground.stands { playground.tally })
        try again.thaw()
        #expect(playground.grows { playground.tally })
        try playground.client.stop()
        #expect(second.wait(timeout: .seconds(10)) != nil)
        #expect(pids.allSatisfy { pid in pid.flatMap { ProcessHandle(pid: $0) }?.isAlive != true })
    }

    @Test(arguments: methods) func `a service that a backup left standing goes on under the next supervisor`(
        _ methods: [FreezeMethod]
    ) throws {
        let playground = try SupervisedPlayground(freeze: methods)
        try playground.layout.writeCurrent(playground.state())
        let first = try playground.startProcess()
        try playground.client.apply()
        let service = try #require(try playground.pid("service:services/db/1"))
        first.signal(SIGKILL)
        _ = first.wait(timeout: .seconds(5))
        kill(service, SIGSTOP)
        #expect(eventually { ProcessTable.entry(service)?.state == "T" })
        let second = try playground.startProcess()
        #expect(eventually { ProcessTable.entry(service).map { $0.state != "T" } == true })
        try playground.client.stop()
        #expect(second.wait(timeout: .seconds(10)) != nil)
    }

    @Test(arguments: methods) func `what a service has started goes on under the next supervisor, a stranger ends`(
        _ methods: [FreezeMethod]
    ) throws {
        let playground = try SupervisedPlayground(freeze: methods)
        let data = playground.layout.directory + "/services/db/1/data"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        FileManager.default.createFile(atPath: data + "/family", contents: nil)
        try playground.layout.writeCurrent(playground.state())
        let first = try playground.startProcess()
        try playground.client.apply()
        let family = try ["child", "orphan"].map { name in
            try #require(ProcessHandle(pid: Int32(playground.number("services/db/1/data/\(name)"))))
        }
        defer { for member in family { member.signal(SIGKILL) } }
        for member in family { #expect(eventually { ProcessTable.entry(member.pid)?.session == member.pid }) }
        let stranger = try DetachedProcess.spawn(
            ProcessSpecification(
                executable: "/bin/sleep", arguments: ["3600"],
                environment: [
                    "HOLDFAST_SUPERVISED": playground.layout.environment.rawValue,
                    "HOLDFAST_PROCESS": "service:services/db/9",
                ], directory: "/tmp", logFile: playground.layout.superviseLog))
        defer { stranger.signal(SIGKILL) }
        first.signal(SIGKILL)
        _ = first.wait(timeout: .seconds(5))
        let second = try playground.startProcess()
        try playground.client.apply()
        #expect(family.allSatisfy { $0.isAlive })
        #expect(stranger.wait(timeout: .seconds(5)) != nil)
        #expect(playground.lines("services/db/1/data/starts").count == 1)
        try playground.client.stop()
        #expect(second.wait(timeout: .seconds(10)) != nil)
    }

    @Test func `a supervisor that falls silent in a freeze is thawed over by its guard`() throws {
        let playground = try SupervisedPlayground(freeze: [])
        try playground.layout.writeCurrent(playground.state())
        let process = try playground.startProcess()
        try playground.client.apply()
        #expect(eventually { playground.count > 0 })
        let hold = try playground.client.freezeHold(lease: .milliseconds(500))
        _ = try hold.freeze()
        process.signal(SIGSTOP)
        defer { process.signal(SIGCONT) }
        #expect(playground.grows { playground.count })
        process.signal(SIGCONT)
        #expect(throws: HoldfastError.self) { try hold.thaw() }
        try playground.client.stop()
        _ = process.wait(timeout: .seconds(10))
    }

    @Test func `a supervisor that is asked to leave leaves its processes to the next one`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        let process = try playground.startProcess()
        try playground.client.apply()
        let pids = try playground.client.status().processes.map(\.pid)
        process.signal(SIGTERM)
        #expect(process.wait(timeout: .seconds(10)) != nil)
        #expect(playground.grows { playground.count })
        try playground.startHere()
        try playground.client.apply()
        #expect(try playground.client.status().processes.map(\.pid) == pids)
    }

    @Test func `a process whose start nobody wrote down is ended by the next supervisor`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        let process = try playground.startProcess()
        try playground.client.apply()
        let pids = try playground.client.status().processes.compactMap(\.pid)
        process.signal(SIGKILL)
        _ = process.wait(timeout: .seconds(5))
        unlink(playground.layout.processesFile)
        try playground.startHere()
        try playground.client.apply()
        #expect(pids.allSatisfy { ProcessHandle(pid: $0)?.isAlive != true })
        #expect(try Set(playground.client.status().processes.compactMap(\.pid)).isDisjoint(with: pids))
        #expect(playground.grows { playground.count })
    }
}
