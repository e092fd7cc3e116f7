import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import Testing

private let postgres = "/usr/lib/postgresql/15/bin/postgres"

/// The sample environment with a real PostgreSQL, as the environment's own user when that is possible.
@Suite(.enabled(if: access(postgres, X_OK) == 0, "PostgreSQL 15 is not installed")) struct LedgerTests {
    @Test func `the sample environment starts, is held between two units of work, goes on, and stops`() throws {
        let home = try ScratchHome()
        let layout = home.layout
        let user = try ProcessUser.forEnvironment(layout.environment)
        defer { removeUser(user) }
        try prepare(home, user)
        let supervisor = try Supervisor(
            layout: layout, parts: .standard(layout: layout), options: SupervisorOptions(user: user))
        let ended = DispatchSemaphore(value: 0)
        startThread("supervisor") {
            try? supervisor.run()
            ended.signal()
        }
        let client = SupervisorClient(socketPath: layout.socket)
        try #require(eventually { (try? client.status()) != nil })
        defer {
            try? client.stop()
            ended.wait()
        }
        try client.apply(ApplyOptions(deployHooks: true))
        let status = try client.status()
        #expect(status.processes.allSatisfy { $0.phase == .running && $0.restarts == 0 })
        if geteuid() == 0 {
            let owners = try status.processes.map { try owner(of: #require($0.pid)) }
            #expect(owners.allSatisfy { $0 == user.uid })
        }
        let port = try #require(status.ports["ledger"])
        let posted = try post(port)
        #expect(posted.contains("201"), "\(posted)")

        let hold = try client.freezeHold(lease: .seconds(10))
        let quiesced = try hold.quiesce(timeout: .seconds(5))
        #expect(quiesced.quiesced == ["worker ledger.tally"])
        #expect(quiesced.late.isEmpty)
        #expect(try hold.freeze().workersFrozenInPlace.isEmpty)
        let current = try #require(try layout.readCurrent())
        let instance = try #require(try status.instances(layout: layout, current: current)["db"])
        #expect(try PostgreSQLAdapter().isReady(instance))
        try hold.thaw()
        #expect(try post(port).contains("201"))
        #expect(try client.runCron(app: "ledger", cron: "stamp").status == 0)
        #expect(try client.status().processes.allSatisfy { $0.restarts == 0 })
    }

    private func prepare(_ home: ScratchHome, _ user: ProcessUser) throws {
        let layout = home.layout
        let directory = try layout.absolute(try layout.nextDirectory("apps/ledger"))
        let path = ["PATH": "/usr/bin:/bin"]
        _ = try ProcessRunner().run(
            ProcessSpecification(
                executable: "cp", arguments: ["-r", ConfigurationSamples.ledger, directory], environment: path,
                directory: "/"))
        _ = try ProcessRunner().run(
            ProcessSpecification(
                executable: "chown", arguments: ["-R", "\(user.uid):\(user.gid)", directory], environment: path,
                directory: "/"))
        let yaml = try String(contentsOfFile: directory + "/.upsun/config.yaml", encoding: .utf8)
        try EnvironmentIdentity(
            project: .random(), environment: layout.environment, name: "main", type: .production,
            host: "main.localhost", entropy: Secret("noise")
        ).write(to: layout.directory)
        var state = CurrentState(
            deployment: DeploymentRecord(
                id: "d1", commit: String(repeating: "a", count: 40), createdAt: Date(timeIntervalSince1970: 0),
                configuration: yaml))
        state.apps = ["ledger": "apps/ledger/1"]
        state.services = [
            "db": ServiceRecord(type: "postgresql:15", directory: try layout.nextDirectory("services/db"))
        ]
        for placement in try EnvironmentConfiguration.parse(yaml).mountPlacements() {
            let directory = try layout.nextDirectory(placement.directoryPrefix)
            state.mounts[placement.app, default: [:]][placement.path] = directory
        }
        try layout.writeCurrent(state)
    }

    private func post(_ port: Int) throws -> String {
        let script = """
            import urllib.request
            request = urllib.request.Request('http://127.0.0.1:\(port)/events', data=b'hello', method='POST')
            print(urllib.request.urlopen(request, timeout=10).status)
            """
        let outcome = try ProcessRunner().run(
            ProcessSpecification(
                executable: "/usr/bin/python3", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin"],
                directory: "/"))
        return outcome.text + outcome.errorText
    }

    private func owner(of pid: Int32) throws -> UInt32 {
        var status = stat()
        try #require(stat("/proc/\(pid)", &status) == 0)
        return status.st_uid
    }

    private func removeUser(_ user: ProcessUser) {
        guard geteuid() == 0 else { return }
        _ = try? ProcessRunner().run(
            ProcessSpecification(
                executable: "userdel", arguments: [user.name], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
                directory: "/"))
    }
}
