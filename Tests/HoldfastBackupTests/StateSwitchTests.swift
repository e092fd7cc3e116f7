import Foundation
import HoldfastBackup
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Synchronization
import Testing

/// A supervisor whose applies end as the test says.
private final class ScriptedSupervisor: Sendable {
    private let server: ControlServer

    /// - Parameters:
    ///   - processes: what its status says of them.
    ///   - apply: gets the number of the apply, from 1.
    init(
        _ layout: EnvironmentLayout, _ trace: Trace, processes: [[String: Any]] = [],
        apply: @escaping @Sendable (Int) throws -> Void
    ) throws {
        let status: [String: Any] = [
            "environment": layout.environment.rawValue, "pid": 1, "phase": "running", "generation": 1, "isHeld": false,
            "isFrozen": false, "freezeMethod": "signal", "processes": processes, "services": [Any](),
            "ports": [String: Int](),
            "user": try JSONSerialization.jsonObject(with: JSONEncoder().encode(ProcessUser.current)),
        ]
        let answers = ["status": try JSONSerialization.data(withJSONObject: status)]
        server = ControlServer(path: layout.socket) { Session(trace: trace, answers: answers, apply: apply) }
        try server.start()
    }

    deinit { server.stop() }

    private final class Session: ControlSession {
        private let trace: Trace
        private let answers: [String: Data]
        private let apply: @Sendable (Int) throws -> Void

        init(trace: Trace, answers: [String: Data], apply: @escaping @Sendable (Int) throws -> Void) {
            self.trace = trace
            self.answers = answers
            self.apply = apply
        }

        func handle(_ frame: Data) throws -> Data {
            let message = try JSONSerialization.jsonObject(with: frame) as? [String: Any]
            let name = message?.keys.first ?? ""
            if name != "status" { trace.add(name) }
            switch name {
            case "apply": try apply(trace.count(name))
            // As on a machine where it cannot run beside: the switch starts it in its place.
            case "startAppsAside": throw HoldfastError(.unavailable, "no room beside")
            default: break
            }
            return answers[name] ?? Data(#"{"lines":[]}"#.utf8)
        }

        func connectionClosed() {}
    }
}

private struct OneSupervisor: Supervisors {
    let layout: EnvironmentLayout
    let trace: Trace
    var publishing: @Sendable () -> Void = {}

    func client(_ environment: EnvironmentID) throws -> SupervisorClient { SupervisorClient(socketPath: layout.socket) }
    func stop(_ environment: EnvironmentID) throws {}
    func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws {
        publishing()
        trace.add("routes")
    }
    func routedPorts(_ environment: EnvironmentID) throws -> Set<Int> { [] }
    func strangers(of environment: EnvironmentID?) -> [String] { ["The gateway is old."] }
}

/// A switch that does not come to its end: whatever fails, `current.json` names all data that may be needed, and the
/// routes are published.
struct StateSwitchTests {
    /// An environment that was restored once: live is the mount 2, and before it was the mount 1.
    private final class Bench: Sendable {
        private let folder = "/tmp/hf-switch-\(UInt32.random(in: 0 ... .max))"
        let trace = Trace()
        let catalogue = MemoryCatalogue()
        let environment = Environment(
            id: .random(), project: .random(), name: "main", type: .production, status: .active,
            createdAt: Date(timeIntervalSince1970: 0))
        let layout: EnvironmentLayout
        let activity: Activity

        init() throws {
            layout = EnvironmentLayout(home: folder, run: "\(folder)/run", environment: environment.id)
            activity = Activity(
                id: .random(), project: environment.project, environment: environment.id, type: .restore,
                parameters: ["undo": "true"], user: nil, text: "an undo", createdAt: Date(timeIntervalSince1970: 0))
            try layout.create()
            try catalogue.createEnvironment(environment)
            for number in [1, 2] {
                let directory = try layout.nextDirectory("mounts/app/files")
                #expect(directory == "mounts/app/files/\(number)")
                try FileManager.default.createDirectory(
                    atPath: layout.absolute(directory), withIntermediateDirectories: true)
            }
            layout.settleAside()
            var current = Self.state(generation: 4, mount: 2)
            current.before = [Self.state(generation: 3, mount: 1)]
            try layout.writeCurrent(current)
        }

        /// As a restore to the mount 3 left it that was cut short right after its switch.
        ///
        /// - Parameter liveGeneration: of the state before; the supervisor here says that it runs generation 1.
        func interruptedRestore(liveGeneration: Int) throws -> Activity {
            let restore = Activity(
                id: .random(), project: environment.project, environment: environment.id, type: .restore,
                parameters: ["backup": "b1"], user: nil, text: "a restore", createdAt: Date(timeIntervalSince1970: 0))
            let directory = try layout.nextDirectory("mounts/app/files")
            #expect(directory == "mounts/app/files/3")
            try FileManager.default.createDirectory(
                atPath: layout.absolute(directory), withIntermediateDirectories: true)
            var new = Self.state(generation: liveGeneration + 1, mount: 3)
            new.switchedBy = restore.id
            new.before = [
                Self.state(generation: liveGeneration, mount: 2), Self.state(generation: liveGeneration - 1, mount: 1),
            ]
            try layout.writeCurrent(new)
            return restore
        }

        /// What the next start of the control plane does about it.
        func recover(_ activity: Activity, processes: [[String: Any]] = []) throws -> RecoveryOutcome {
            let supervisor = try ScriptedSupervisor(layout, trace, processes: processes) { _ in }
            defer { withExtendedLifetime(supervisor) {} }
            let performer = HousePerformer(house: try house())
            let outcome = performer.recover(
                ActivityContext(activity: activity, catalogue: catalogue, time: SystemTime()))
            performer.settled()
            return outcome
        }

        /// Numbers of the mounts' directories that are there.
        func directories() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: layout.absolute("mounts/app/files")).sorted()
        }

        private func house(publishing: @escaping @Sendable () -> Void = {}) throws -> House {
            House(
                home: folder, run: "\(folder)/run", catalogue: catalogue, gate: ScriptedGate(trace: trace),
                runtime: (
                    ScriptedFreezer(trace: trace),
                    OneSupervisor(layout: layout, trace: trace, publishing: publishing)
                ),
                repositories: ProjectRepositories(
                    sites: [], quorum: 1, masterKey: try InstallationKey(text: InstallationKey.makeText()),
                    catalogue: catalogue))
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        private static func state(generation: Int, mount: Int) -> CurrentState {
            var state = CurrentState(
                deployment: DeploymentRecord(
                    id: "d1", commit: String(repeating: "a", count: 40), createdAt: Date(timeIntervalSince1970: 0),
                    configuration: """
                        applications:
                          app:
                            type: "python:3.11"
                            mounts: {"files": {source: storage, source_path: files}}
                            web: {commands: {start: "exec true"}}
                        """))
            state.generation = generation
            state.apps = ["app": "apps/app/1"]
            state.mounts = ["app": ["files": "mounts/app/files/\(mount)"]]
            return state
        }

        /// Undoes the restore.
        func undo(
            reached: @escaping @Sendable (CrashPoint) -> Void = { _ in },
            publishing: @escaping @Sendable () -> Void = {}, apply: @escaping @Sendable (Int) throws -> Void = { _ in }
        ) throws {
            let supervisor = try ScriptedSupervisor(layout, trace, apply: apply)
            defer { withExtendedLifetime(supervisor) {} }
            var house = try house(publishing: publishing)
            house.reached = reached
            try HousePerformer(house: house).perform(
                ActivityContext(activity: activity, catalogue: catalogue, time: SystemTime()))
        }

        /// From now on `current.json` can neither be read nor written, as on a disk that fails.
        func breakCurrent() {
            let manager = FileManager.default
            try? manager.moveItem(atPath: layout.currentFile, toPath: layout.currentFile + ".kept")
            try? manager.createDirectory(
                atPath: layout.currentFile + "/not-a-file", withIntermediateDirectories: true)
        }

        func repairCurrent() {
            let manager = FileManager.default
            guard manager.fileExists(atPath: layout.currentFile + ".kept") else { return }
            try? manager.removeItem(atPath: layout.currentFile)
            try? manager.moveItem(atPath: layout.currentFile + ".kept", toPath: layout.currentFile)
        }

        /// The mounts that the file names: what is live, and what an undo leads to.
        func mounts() throws -> [String] {
            let states = [try layout.readCurrent(), try layout.readPrevious()]
            return try states.map { try #require($0?.mounts["app"]?["files"]) }
        }

        /// Whether the gateway was told where the apps are, after the processes had been told to change.
        var routesAreFresh: Bool {
            guard let applied = trace.all.lastIndex(of: "apply") else { return false }
            return trace.all[applied...].contains("routes")
        }
    }

    private static let live = "mounts/app/files/2"
    private static let undone = "mounts/app/files/1"

    @Test func `a state that does not start is put back, and the undo can be asked for again`() throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try bench.undo(apply: { number in if number == 1 { throw HoldfastError(.timedOut, "no listener") } })
        }
        #expect(error?.message.contains("was put back") == true, "\(error?.description ?? "")")
        #expect(try bench.mounts() == [Self.live, Self.undone])
        #expect(try bench.layout.readCurrent()?.generation == 6)
        #expect(bench.routesAreFresh)
        // Whoever reads the log learns of an upgrade that was not finished.
        #expect(bench.catalogue.log(of: bench.activity.id).contains("The gateway is old.\n"))
        try bench.undo()
        #expect(try bench.mounts() == [Self.undone, Self.live])
    }

    @Test func `when not even the old state starts, the routes are published, and the undo stays what it was`() throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try bench.undo(apply: { _ in throw HoldfastError(.timedOut, "no listener") })
        }
        #expect(error?.code == .internalFault, "\(error?.description ?? "")")
        #expect(bench.trace.count("apply") == 2)
        #expect(bench.routesAreFresh)
        #expect(try bench.mounts() == [Self.live, Self.undone])
    }

    @Test func `when the old state cannot be written back, its data is still named, for an undo`() throws {
        let bench = try Bench()
        #expect(throws: HoldfastError.self) {
            try bench.undo(apply: { [bench] _ in
                bench.breakCurrent()
                throw HoldfastError(.timedOut, "no listener")
            })
        }
        bench.repairCurrent()
        // The new state is what the files say; what was live until now must be somewhere in them.
        #expect(try bench.mounts() == [Self.undone, Self.live])
        #expect(bench.routesAreFresh)
        try bench.undo()
        #expect(try bench.mounts() == [Self.live, Self.undone])
    }

    @Test func `when the new state cannot be written, the old one stays, and the undo can be asked for again`() throws {
        let bench = try Bench()
        #expect(throws: HoldfastError.self) {
            try bench.undo(
                reached: { [bench] point in if point == .switchHeld { bench.breakCurrent() } },
                publishing: { [bench] in bench.repairCurrent() })
        }
        #expect(try bench.mounts() == [Self.live, Self.undone])
        #expect(bench.trace.count("routes") > 0)
        try bench.undo()
        #expect(try bench.mounts() == [Self.undone, Self.live])
    }

    @Test func `at the moment of the switch one file names what is live and what was before it`() throws {
        let bench = try Bench()
        let seen = Mutex<[[String]]>([])
        try bench.undo(reached: { [bench] point in
            guard point == .switchWritten else { return }
            let mounts = (try? bench.layout.readStates())?.compactMap { $0.mounts["app"]?["files"] } ?? []
            seen.withLock { $0.append(mounts) }
        })
        #expect(seen.withLock { $0 } == [[Self.undone, Self.live]])
        #expect(try bench.mounts() == [Self.undone, Self.live])
        #expect(try bench.directories() == ["1", "2"])
    }

    /// `previous.json` was a file of its own, and said already what was live: the next start deleted the older data.
    @Test func `a restore that a crash cut short is put back, and an undo leads to what it led to before`() throws {
        let bench = try Bench()
        let restore = try bench.interruptedRestore(liveGeneration: 1)
        guard case .failed(let reason) = try bench.recover(restore) else {
            Issue.record("the processes never followed")
            return
        }
        #expect(reason.contains("as it was before"))
        #expect(try bench.mounts() == [Self.live, Self.undone])
        #expect(try bench.directories() == ["1", "2"])
        #expect(try bench.layout.readAside() == [])
        try bench.undo()
        #expect(try bench.mounts() == [Self.undone, Self.live])
    }

    @Test func `a service that a backup left standing when all was killed goes on after the next start`() throws {
        let bench = try Bench()
        let service = try DetachedProcess.spawn(
            ProcessSpecification(executable: "/bin/sleep", arguments: ["600"], environment: [:], directory: "/"))
        defer {
            service.killSession()
            _ = service.wait(timeout: .seconds(30))
        }
        func becomes(_ condition: (Character) -> Bool) -> Bool {
            for _ in 0..<3000 {
                if let state = ProcessTable.entry(service.pid)?.state, condition(state) { return true }
                Thread.sleep(forTimeInterval: 0.01)
            }
            return false
        }
        service.signal(SIGSTOP)
        #expect(becomes { $0 == "T" })
        let backup = Activity(
            id: .random(), project: bench.environment.project, environment: bench.environment.id, type: .backup,
            parameters: ["backup": BackupID.random().rawValue], user: nil, text: "a backup",
            createdAt: Date(timeIntervalSince1970: 0))
        let process: [String: Any] = [
            "key": "service:services/db/1", "kind": "service", "name": "db", "phase": "running",
            "pid": Int(service.pid), "restarts": 0,
        ]
        _ = try bench.recover(backup, processes: [process])
        #expect(becomes { $0 != "T" })
    }

    @Test func `a restore whose processes had followed is finished, and only then the older data go`() throws {
        let bench = try Bench()
        let restore = try bench.interruptedRestore(liveGeneration: 7)
        #expect(try bench.layout.readStates().count == 3)
        #expect(try bench.recover(restore) == .finished)
        #expect(try bench.mounts() == ["mounts/app/files/3", Self.live])
        #expect(try bench.layout.readStates().count == 2)
        #expect(try bench.directories() == ["2", "3"])
        #expect(try bench.layout.readAside() == [])
    }
}
