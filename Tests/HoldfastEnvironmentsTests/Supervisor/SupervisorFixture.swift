import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import Testing

/// A service that is a shell script: it is ready when it has written a file.
struct ScriptService: ServiceAdapter {
    static let typeNames = ["script"]
    init() {}

    func prepare(_ instance: ServiceInstance) throws {
        try FileManager.default.createDirectory(atPath: instance.dataDirectory, withIntermediateDirectories: true)
        unlink(instance.dataDirectory + "/ready")
    }

    func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let script = """
            echo $$ >> starts; test -f broken && { echo cannot start >&2; exit 7; }
            trap 'echo stopped >> starts; exit 0' INT
            test -f family && { setsid sleep 3600 & echo $! > child; (setsid sleep 3600 & echo $! > orphan); }
            echo ready > ready; i=0; while :; do i=$((i+1)); echo $i > count; sleep 0.01; done
            """
        return .shell(
            script, environment: ["PATH": "/usr/bin:/bin"], directory: instance.dataDirectory, user: instance.user)
    }

    func isReady(_ instance: ServiceInstance) throws -> Bool { access(instance.dataDirectory + "/ready", F_OK) == 0 }

    func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        ServiceEndpoint(
            scheme: "script", host: "127.0.0.1", port: instance.port, username: "u", password: Secret("p"),
            path: instance.directory)
    }

    var stopSignal: Int32 { SIGINT }
    func serverVersion(_ instance: ServiceInstance) throws -> String { "1.0" }
    func preflight(_ instance: ServiceInstance) throws -> ServicePreflight { ServicePreflight() }
    func forecast(_ instance: ServiceInstance) throws -> ServiceForecast { ServiceForecast(method: "none", mark: "") }

    func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession {
        throw HoldfastError(.unsupported, "a script has no backups")
    }

    func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws {
        let manager = FileManager.default
        try manager.createDirectory(atPath: instance.directory, withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: instance.directory + "/restored"))
    }

    func verify(_ instance: ServiceInstance) throws -> [String] { ["stands at its mark"] }
}

/// An environment of small scripts with a supervisor, in this process or in one of its own; all gone with the test.
final class SupervisedPlayground {
    let home: ScratchHome
    var layout: EnvironmentLayout { home.layout }
    let options: SupervisorOptions
    var client: SupervisorClient { SupervisorClient(socketPath: layout.socket) }
    private var supervisor: Supervisor?
    private var ended = DispatchSemaphore(value: 0)

    /// An app that counts into the file `count` of its mount and answers on its port.
    static let counter = """
        import os, socket
        print('app begins', flush=True)
        if os.path.exists('broken'): raise SystemExit('broken on purpose')
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', int(os.environ['PORT']))); s.listen(); s.settimeout(0.005)
        open('starts', 'a').write('x')
        i = 0
        while True:
            i += 1
            with open('files/count.new', 'w') as f: f.write(str(i))
            os.rename('files/count.new', 'files/count')
            try:
                c, _ = s.accept(); c.close()
            except OSError: pass
        """
    /// A worker that counts, and can be asked to stand still unless it is told to be deaf, or busy.
    static let worker = """
        import os, signal, socket, time
        quiet = False
        def on(*_):
            global quiet; quiet = not os.path.exists('busy')
        def off(*_):
            global quiet; quiet = False
        if not os.path.exists('deaf'):
            signal.signal(signal.SIGUSR1, on); signal.signal(signal.SIGUSR2, off)
        i = 0
        while True:
            if quiet:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                    s.sendto(b'QUIESCED=1', os.environ['HOLDFAST_NOTIFY_SOCKET'])
                while quiet: time.sleep(0.002)
            i += 1
            with open('files/tally.new', 'w') as f: f.write(str(i))
            os.rename('files/tally.new', 'files/tally')
            time.sleep(0.005)
        """
    static let yaml = """
        applications:
          ledger:
            type: "python:3.11"
            relationships: {database: "db:script"}
            mounts: {"files": {source: storage, source_path: files}}
            web: {commands: {start: "exec /usr/bin/python3 app.py"}}
            workers:
              tally:
                commands: {start: "/usr/bin/python3 worker.py; exit 1"}
                quiesce: {signal: USR1, resume: USR2, timeout: 2}
            crons:
              stamp: {spec: "* * * * *", commands: {start: "echo tick; exit 4"}, timeout: 60}
              slow: {spec: "* * * * *", commands: {start: "echo begun; sleep 300"}, timeout: 1, shutdown_timeout: 1}
              brief: {spec: "* * * * *", commands: {start: "sleep 0.5; echo over"}, timeout: 60}
            hooks: {deploy: "echo deploying; test ! -f nodeploy"}
        services:
          db: {type: "postgresql:15"}
        """

    init(freeze: [FreezeMethod] = [.cgroup2, .cgroup1]) throws {
        home = try ScratchHome()
        var options = SupervisorOptions(user: .current)
        options.freezeMethods = freeze
        options.appReady = .seconds(20)
        options.appStop = .seconds(5)
        options.serviceReady = .seconds(20)
        options.backoff.first = 50
        self.options = options
        _ = try makeApp(1)
    }

    deinit { tearDown() }

    static func parts() -> SupervisorParts {
        SupervisorParts(
            adapter: { _ in ScriptService() },
            configuration: { try EnvironmentConfiguration.parse($0.configuration) },
            variables: { request in
                var variables = ["PATH": "/usr/bin:/bin", "HOME": request.directory]
                if case .web(.port(let port)) = request.purpose { variables["PORT"] = "\(port)" }
                variables["DATABASE"] = request.endpoints["db"]?.path
                return variables
            })
    }

    /// Writes the app's files as a build would.
    func makeApp(_ number: Int) throws -> String {
        let relative = "apps/ledger/\(number)"
        let directory = try layout.absolute(relative)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Data(Self.counter.utf8).write(to: URL(fileURLWithPath: directory + "/app.py"))
        try Data(Self.worker.utf8).write(to: URL(fileURLWithPath: directory + "/worker.py"))
        return directory
    }

    func state(generation: Int = 1, app: Int = 1, service: Int = 1, mount: Int = 1) -> CurrentState {
        var state = CurrentState(
            deployment: DeploymentRecord(
                id: "d1", commit: String(repeating: "a", count: 40), createdAt: Date(timeIntervalSince1970: 0),
                configuration: Self.yaml))
        state.generation = generation
        state.apps = ["ledger": "apps/ledger/\(app)"]
        state.services = ["db": ServiceRecord(type: "postgresql:15", directory: "services/db/\(service)")]
        state.mounts = ["ledger": ["files": "mounts/ledger/files/\(mount)"]]
        return state
    }

    // MARK: Supervisors

    /// Runs a supervisor on threads of this process.
    func startHere() throws {
        let supervisor = try Supervisor(layout: layout, parts: Self.parts(), options: options)
        self.supervisor = supervisor
        let ended = DispatchSemaphore(value: 0)
        self.ended = ended
        startThread("supervisor") {
            do { try supervisor.run() } catch { Issue.record("the supervisor has ended: \(error)") }
            ended.signal()
        }
        try #require(eventually { (try? self.client.status()) != nil })
    }

    /// Runs a supervisor in a process of its own, which is this program again.
    func startProcess() throws -> ProcessHandle {
        var environment = ProcessInfo.processInfo.environment
        environment[SupervisorOfItsOwn.homeKey] = home.path
        environment[SupervisorOfItsOwn.environmentKey] = layout.environment.rawValue
        environment[SupervisorOfItsOwn.methodsKey] = options.freezeMethods.map(\.rawValue).joined(separator: ",")
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let specification = ProcessSpecification(
            executable: executable,
            arguments: ["--testing-library", "swift-testing", "--filter", SupervisorOfItsOwn.filter],
            environment: environment, directory: "/tmp", logFile: layout.superviseLog)
        let handle = try DetachedProcess.spawn(specification)
        try #require(
            eventually { (try? self.client.status().pid) == handle.pid },
            "\((try? String(contentsOfFile: self.layout.superviseLog, encoding: .utf8)) ?? "")")
        return handle
    }

    func tearDown() {
        if supervisor == nil { try? startHere() }
        try? client.stop()
        if supervisor != nil { ended.wait() }
        supervisor = nil
    }

    // MARK: Looking

    func pid(_ key: String) throws -> Int32? { try client.status().processes.first { $0.key == key }?.pid }

    func number(_ path: String) -> Int {
        let text = try? String(contentsOfFile: layout.directory + "/" + path, encoding: .utf8)
        return Int(text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "") ?? -1
    }

    var count: Int { number("mounts/ledger/files/1/count") }
    var tally: Int { number("mounts/ledger/files/1/tally") }

    func lines(_ path: String) -> [String] {
        let text = try? String(contentsOfFile: layout.directory + "/" + path, encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Whether a number grows within five seconds.
    func grows(_ number: () -> Int) -> Bool {
        let first = number()
        return eventually { number() > first }
    }

    /// Whether a number stays for a fifth of a second.
    func stands(_ number: () -> Int) -> Bool {
        let first = number()
        usleep(200_000)
        return number() == first && first > 0
    }
}

/// Waits until something is true; false after ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<2000 {
        if condition() { return true }
        usleep(5000)
    }
    return condition()
}

/// Not a test of its own: the supervisor that other tests start as a process, to kill it.
struct SupervisorOfItsOwn {
    static let homeKey = "HOLDFAST_TEST_SUPERVISOR_HOME"
    static let environmentKey = "HOLDFAST_TEST_SUPERVISOR_ENVIRONMENT"
    static let methodsKey = "HOLDFAST_TEST_SUPERVISOR_METHODS"
    static let filter = "a supervisor in a process of its own"
    private static var variables: [String: String] { ProcessInfo.processInfo.environment }

    @Test(.enabled(if: variables[homeKey] != nil)) func `a supervisor in a process of its own`() throws {
        let home = try #require(Self.variables[Self.homeKey])
        let environment = try #require(EnvironmentID(Self.variables[Self.environmentKey] ?? ""))
        var options = SupervisorOptions(user: .current)
        options.freezeMethods = (Self.variables[Self.methodsKey] ?? "").split(separator: ",")
            .compactMap { FreezeMethod(rawValue: String($0)) }
        options.backoff.first = 50
        try SupervisorEntry.run(
            layout: EnvironmentLayout(home: home, run: home + "/run", environment: environment),
            parts: SupervisedPlayground.parts(), options: options)
    }
}
