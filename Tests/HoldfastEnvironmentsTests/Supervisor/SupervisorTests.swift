import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import Testing

@Suite(.serialized) struct SupervisorTests {
    @Test func `an environment without a state runs nothing, one with a state runs all of it`() throws {
        let playground = try SupervisedPlayground()
        try playground.startHere()
        #expect(try playground.client.apply() == [])
        #expect(try playground.client.status().processes.isEmpty)
        try playground.layout.writeCurrent(playground.state())
        try playground.client.apply()
        let status = try playground.client.status()
        #expect(status.processes.map(\.key) == ["service:services/db/1", "web:ledger", "worker:ledger.tally"])
        #expect(status.processes.allSatisfy { $0.phase == .running && $0.restarts == 0 })
        #expect(status.generation == 1 && status.problem == nil && !status.isHeld)
        #expect(status.ports["ledger"] == (try playground.layout.readPorts())["ledger"])
        let instances = try status.instances(layout: playground.layout, current: playground.state())
        #expect(instances["db"]?.directory == playground.layout.directory + "/services/db/1")
        #expect(playground.grows { playground.count })
        #expect(playground.grows { playground.tally })
    }

    @Test func `the same state again restarts nothing`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let before = try playground.client.status().processes.map(\.pid)
        try playground.client.apply()
        #expect(try playground.client.status().processes.map(\.pid) == before)
        #expect(playground.lines("services/db/1/data/starts").count == 1)
    }

    @Test func `a switch replaces apps and services and leaves the ports of apps`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let before = try playground.client.status()
        try playground.layout.writeCurrent(playground.state(generation: 2, service: 2, mount: 2))
        try playground.client.apply()
        let after = try playground.client.status()
        #expect(after.ports == before.ports)
        #expect(after.generation == 2)
        #expect(after.processes.contains { $0.key == "service:services/db/2" && $0.phase == .running })
        #expect(
            after.processes.first { $0.key == "web:ledger" }?.pid
                != before.processes.first { $0.key == "web:ledger" }?.pid)
        #expect(playground.grows { playground.number("mounts/ledger/files/2/count") })
        #expect(eventually { playground.lines("services/db/1/data/starts").last == "stopped" })
        #expect(try playground.client.status().services.map(\.record.directory) == ["services/db/2"])
    }

    @Test func `a service that was started aside is taken over by the switch, not restarted`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let record = ServiceRecord(type: "postgresql:15", directory: "services/db/2")
        let manifest = ServiceManifest(
            type: "postgresql:15", serverVersion: "1.0", method: "physical", path: "/services/db", mark: [:], bytes: 0)
        let lines = try playground.client.startAside(
            service: "db", record: record, configuration: nil, manifest: manifest)
        #expect(lines == ["stands at its mark"])
        #expect(access(playground.layout.directory + "/services/db/2/restored", F_OK) == 0)
        #expect(try playground.client.status().services.map(\.isAside) == [false, true])
        let pid = try playground.pid("service:services/db/2")
        try playground.layout.writeCurrent(playground.state(generation: 2, service: 2))
        try playground.client.apply()
        #expect(try playground.pid("service:services/db/2") == pid)
        #expect(playground.lines("services/db/2/data/starts").count == 1)
        let error = #expect(throws: HoldfastError.self) {
            try playground.client.stopAside(service: "db", record: record)
        }
        #expect(error?.code == .conflict)
    }

    @Test func `the ports of apps that ran aside are given back when the last of these has gone, and not before`()
        throws
    {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let live = try playground.layout.readPorts()
        func port() throws -> Int? { try PortRegistry(file: playground.layout.portsFile).all["aside:ledger"] }
        _ = try playground.makeApp(2)
        // With a mount of its own: the two would write the same file.
        let next = playground.state(generation: 2, app: 2, mount: 2)
        #expect(try playground.client.startAppsAside(next)["ledger"] == port())
        #expect(try port() != nil)
        try playground.client.dropAside()
        #expect(try port() == nil)
        #expect(try playground.layout.readPorts() == live)
        // One that the next apply takes over keeps its port.
        #expect(try playground.client.startAppsAside(next)["ledger"] == port())
        try playground.layout.writeCurrent(next)
        try playground.client.dropAside()
        #expect(try port() != nil)
    }

    @Test func `a service gets another port if somebody took its own while it was down`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        let key = "services/db/1"
        let port = try PortRegistry(file: playground.layout.portsFile).port(for: key)
        let stranger = Process()
        stranger.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        stranger.arguments = [
            "-c",
            """
            import socket, sys
            server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
            print('listens', flush=True)
            sys.stdin.read()
            """, "\(port)",
        ]
        let (orders, answers) = (Pipe(), Pipe())
        stranger.standardInput = orders
        stranger.standardOutput = answers
        try stranger.run()
        defer {
            try? orders.fileHandleForWriting.close()
            stranger.waitUntilExit()
        }
        try #require(!answers.fileHandleForReading.availableData.isEmpty)
        try playground.startHere()
        try playground.client.apply()
        let other = try PortRegistry(file: playground.layout.portsFile).all[key]
        #expect(other != nil && other != port)
        #expect(try playground.client.status().services.first?.port == other)
        #expect(playground.grows { playground.number("services/db/1/data/count") })
        // And keeps it.
        let pid = try playground.pid("service:\(key)")
        try playground.client.apply()
        #expect(try playground.pid("service:\(key)") == pid)
    }

    @Test func `a service aside that is not wanted is stopped and leaves the live one alone`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let record = ServiceRecord(type: "postgresql:15", directory: "services/db/2")
        _ = try playground.client.startAside(service: "db", record: record, configuration: nil, manifest: nil)
        try playground.client.stopAside(service: "db", record: record)
        #expect(playground.lines("services/db/2/data/starts").last == "stopped")
        #expect(try playground.client.status().services.map(\.record.directory) == ["services/db/1"])
        #expect(playground.grows { playground.number("services/db/1/data/count") })
    }

    @Test func `an app that ends at once fails the apply with the end of its log, and is not left behind`() throws {
        let playground = try SupervisedPlayground()
        let directory = try playground.makeApp(2)
        try Data().write(to: URL(fileURLWithPath: directory + "/broken"))
        try playground.layout.writeCurrent(playground.state(app: 2))
        try playground.startHere()
        let error = #expect(throws: HoldfastError.self) { try playground.client.apply() }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("app 'ledger' ended (exit status 1)") == true)
        #expect(error?.message.contains("broken on purpose") == true)
        #expect(try playground.client.status().problem?.contains("broken on purpose") == true)
        // Back to what worked: it comes up as if nothing had been.
        try playground.layout.writeCurrent(playground.state(generation: 3, app: 1))
        try playground.client.apply()
        #expect(try playground.client.status().problem == nil)
        #expect(playground.grows { playground.count })
    }

    @Test func `a service that does not start fails the apply with the end of its log`() throws {
        let playground = try SupervisedPlayground()
        try playground.startHere()
        let data = playground.layout.directory + "/services/db/1/data"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: data + "/broken"))
        try playground.layout.writeCurrent(playground.state())
        let error = #expect(throws: HoldfastError.self) { try playground.client.apply() }
        #expect(error?.message.contains("service 'db' ended (exit status 7)") == true)
        #expect(error?.message.contains("cannot start") == true)
        #expect(!(try playground.client.status().processes.contains { $0.kind == .web }))
    }

    @Test func `an app that fails since the supervisor's start fails the next apply, too`() throws {
        let playground = try SupervisedPlayground()
        let broken = playground.layout.directory + "/apps/ledger/1/broken"
        try Data().write(to: URL(fileURLWithPath: broken))
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        #expect(eventually { (try? playground.client.status().processes.contains { $0.restarts > 0 }) == true })
        let error = #expect(throws: HoldfastError.self) { try playground.client.apply() }
        #expect(error?.message.contains("broken on purpose") == true)
        unlink(broken)
        try playground.client.apply()
        #expect(playground.grows { playground.count })
    }

    @Test func `what ends by itself is started again, after longer and longer pauses`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        for round in 1...3 {
            let pid = try #require(try playground.pid("web:ledger"))
            kill(pid, SIGKILL)
            #expect(
                eventually {
                    let process = try? playground.client.status().processes.first { $0.key == "web:ledger" }
                    return process?.restarts == round && process?.phase == .running && process?.pid != pid
                })
        }
        let process = try #require(try playground.client.status().processes.first { $0.key == "web:ledger" })
        #expect(process.lastExit == "signal 9")
        #expect(playground.grows { playground.count })
        let service = try #require(try playground.pid("service:services/db/1"))
        kill(service, SIGKILL)
        #expect(eventually { playground.lines("services/db/1/data/starts").count == 2 })
    }

    @Test func `stopping ends everything with the signal that each wants, and the supervisor with it`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let pids = try playground.client.status().processes.compactMap(\.pid)
        try playground.client.stop()
        #expect(pids.count == 3)
        #expect(eventually { pids.allSatisfy { ProcessHandle(pid: $0)?.isAlive != true } })
        #expect(playground.lines("services/db/1/data/starts").last == "stopped")
        #expect(eventually { (try? playground.client.status()) == nil })
    }

    @Test func `hooks run when they are asked for, and one that fails fails the apply`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        let lines = try playground.client.apply(ApplyOptions(deployHooks: true))
        #expect(lines.contains("  deploying"))
        #expect(try playground.client.apply(ApplyOptions(deployHooks: false)).isEmpty)
        try Data().write(to: URL(fileURLWithPath: playground.layout.directory + "/apps/ledger/1/nodeploy"))
        let error = #expect(throws: HoldfastError.self) {
            try playground.client.apply(ApplyOptions(deployHooks: true))
        }
        #expect(error?.message.contains("the deploy hook of 'ledger' failed (exit status 1)") == true)
    }

    @Test(.enabled(if: geteuid() == 0)) func `a daemon that a hook leaves behind in a session of its own is ended`()
        throws
    {
        let playground = try SupervisedPlayground()
        var state = playground.state()
        let file = playground.layout.directory + "/apps/ledger/1/daemon"
        state.deployment.configuration = SupervisedPlayground.yaml.replacingOccurrences(
            of: "echo deploying; test ! -f nodeploy",
            with: "setsid sh -c 'echo $$ > daemon; exec sleep 300' & while [ ! -s daemon ]; do sleep 0.01; done")
        try playground.layout.writeCurrent(state)
        try playground.startHere()
        try playground.client.apply(ApplyOptions(deployHooks: true))
        let text = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        let pid = try #require(Int32(text))
        #expect(ProcessHandle(pid: pid)?.isAlive != true)
    }

    @Test func `a hostile mount keeps an app from starting and touches nothing`() throws {
        let playground = try SupervisedPlayground()
        let outside = playground.home.path + "/outside"
        mkdir(outside, 0o755)
        symlink(outside, try playground.layout.absolute("apps/ledger/1") + "/files")
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        let error = #expect(throws: HoldfastError.self) { try playground.client.apply() }
        #expect(error?.message.contains("mount 'files' of app 'ledger' cannot be made") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
    }

    @Test func `output of each process goes to a log of its own`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        #expect(playground.lines("log/app.ledger.log").contains("app begins"))
        #expect(access(playground.layout.workerLog("ledger", "tally"), F_OK) == 0)
        #expect(access(playground.layout.serviceLog("db"), F_OK) == 0)
    }

    @Test func `an environment has one supervisor`() throws {
        let playground = try SupervisedPlayground()
        try playground.startHere()
        let second = try Supervisor(
            layout: playground.layout, parts: SupervisedPlayground.parts(), options: playground.options)
        #expect(#expect(throws: HoldfastError.self) { try second.run() }?.code == .conflict)
    }

    // MARK: Crons

    @Test func `a cron gives its output and its status`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let outcome = try playground.client.runCron(app: "ledger", cron: "stamp")
        #expect(outcome.status == 4)
        #expect(outcome.output == "tick\n")
        #expect(!outcome.timedOut)
        #expect(playground.lines("log/cron.ledger.stamp.log") == ["tick"])
        let again = try playground.client.runCron(app: "ledger", cron: "stamp")
        #expect(again.output == "tick\n")
        let error = #expect(throws: HoldfastError.self) { try playground.client.runCron(app: "ledger", cron: "none") }
        #expect(error?.code == .notFound)
    }

    @Test func `a cron that takes too long is ended, and runs once at a time`() throws {
        let playground = try SupervisedPlayground()
        try playground.layout.writeCurrent(playground.state())
        try playground.startHere()
        try playground.client.apply()
        let client = playground.client
        let done = DispatchSemaphore(value: 0)
        startThread("cron") {
            let outcome = try? client.runCron(app: "ledger", cron: "slow")
            #expect(outcome?.timedOut == true)
            #expect(outcome?.output == "begun\n")
            done.signal()
        }
        #expect(
            eventually {
                (try? playground.pid("cron:ledger.slow")) != nil
                    && playground.lines("log/cron.ledger.slow.log") == ["begun"]
            })
        let error = #expect(throws: HoldfastError.self) { try client.runCron(app: "ledger", cron: "slow") }
        #expect(error?.code == .conflict)
        done.wait()
        #expect(!(try client.status().processes.contains { $0.kind == .cron }))
    }
}
