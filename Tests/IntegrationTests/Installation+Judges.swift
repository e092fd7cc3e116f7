import Foundation
import Synchronization
import Testing

extension Installation {
    /// `restic check --read-data`, then the number of snapshots.
    func resticSnapshots(site: String) throws -> Int {
        let text = try must("repository:key", "-p", project, "--format", "json")
        let key = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let password = try #require(key?["password"] as? String)
        let variables = [
            "RESTIC_REPOSITORY": "\(home)/sites/\(site)/projects/\(project)", "RESTIC_PASSWORD": password,
        ]
        let check = try Self.run("/usr/bin/restic", ["check", "--read-data", "--no-cache"], environment: variables)
        #expect(check.status == 0, "\(check.output) \(check.errors)")
        let list = try Self.run("/usr/bin/restic", ["snapshots", "--json", "--no-cache"], environment: variables)
        return (try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [Any])?.count ?? -1
    }

    /// The environment's address without a server to ask.
    func addressFromState() throws -> String {
        let file = URL(fileURLWithPath: "\(try environmentDirectory)/identity.json")
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        return "http://\(try #require(object?["host"] as? String))/"
    }

    /// Kills the supervisor, whose name is `holdfast`, or its guard, `holdfast-guard`, and not the other.
    func killSupervise(named name: String) throws {
        let list = try Self.run("/bin/ps", ["-eo", "pid=,comm=,args="]).output
        for line in list.split(separator: "\n") where line.contains("holdfast supervise --home \(home) ") {
            let fields = line.split(separator: " ")
            if fields.count > 2, fields[1] == name, let pid = Int32(fields[0]) { kill(pid, SIGKILL) }
        }
    }

    /// Posts events until one is answered, for a minute at most; its id.
    func postUntilAnswered(_ prefix: String) throws -> String {
        var number = 0
        let isAnswered = try waitUntil(seconds: 60) {
            number += 1
            return try postDirect("\(prefix)-\(number)") == 201
        }
        try #require(isAnswered, "the app does not answer")
        return "\(prefix)-\(number)"
    }

    /// Kills the live process of a service.
    func killService(_ name: String) throws {
        let live = try #require(try current().services[name]).directory
        let file = URL(fileURLWithPath: "\(try environmentDirectory)/processes.json")
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        let entry = (object?["processes"] as? [[String: Any]])?.first { entry in
            let record = entry["record"] as? [String: Any]
            return (record?["service"] as? [String: Any])?["directory"] as? String == live
        }
        let pid = try #require((entry?["handle"] as? [String: Any])?["pid"] as? Int)
        kill(pid_t(pid), SIGKILL)
    }

    /// Processes of the environment's user that were told to stop, and were not told to go on.
    func stoppedProcesses() throws -> [String] {
        let id = (try environmentDirectory as NSString).lastPathComponent
        let list = try Self.run("/bin/ps", ["-u", geteuid() == 0 ? "hf-\(id)" : "\(geteuid())", "-o", "state=,args="])
        return list.output.split(separator: "\n").filter { $0.hasPrefix("T") }.map { String($0) }
    }

    /// What the ledger says of itself.
    private func ledger() throws -> [String: Any] {
        let answer = try get("sets").output
        return try #require(
            try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any], "\(answer)")
    }

    /// Whether the worker has tallied an event, soon at least: it goes on.
    func isTallied(_ id: String) throws -> Bool {
        let events = try ledger()["database"] as? [[Any]]
        let event = try #require(events?.first { $0.count > 1 && $0[1] as? String == id }, "there is no event '\(id)'")
        return waitUntil(seconds: 60) {
            (try? ledger()["tally"] as? [String])?.contains("\(event[0])") == true
        }
    }

    /// The requests' events by place, and the number of events in each cache.
    func everywhere() throws -> (sets: [String: Set<String>], caches: [String: Int]) {
        let object = try ledger()
        func ids(_ value: Any?) -> Set<String> {
            Set((value as? [[Any]] ?? []).filter { $0.last as? String == "request" }.compactMap { $0[1] as? String })
        }
        var sets = (object["places"] as? [String: Any] ?? [:]).mapValues { ids($0) }
        for name in ["database", "file"] { sets[name] = ids(object[name]) }
        return (sets, object["caches"] as? [String: Int] ?? [:])
    }

    /// A figure for people, in the output of the tests.
    func note(_ text: String) { FileHandle.standardError.write(Data("measured: \(text)\n".utf8)) }

    /// `post` without a server to ask for the address.
    func postDirect(_ id: String) throws -> Int {
        BackgroundPost(address: try addressFromState(), id: id).wait(seconds: 25)
    }
}

/// One event that is sent on a thread of its own.
final class BackgroundPost: Sendable {
    private let status = Mutex<Int?>(nil)

    init(address: String, id: String) {
        let thread = Thread { [self] in
            let outcome = try? Installation.run(
                "/usr/bin/curl",
                [
                    "-sS", "--max-time", "25", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Event-Id: \(id)", "-d",
                    "x", "\(address)events",
                ])
            status.withLock { $0 = Int(outcome?.output ?? "") ?? 0 }
        }
        thread.start()
    }

    var isDone: Bool { status.withLock { $0 != nil } }

    /// The HTTP status; 0 if there was none in time.
    func wait(seconds: Double) -> Int {
        for _ in 0..<Int(seconds * 50) {
            if let status = status.withLock({ $0 }) { return status }
            Thread.sleep(forTimeInterval: 0.02)
        }
        return 0
    }
}

/// A client that sends the beginning of a request and then nothing, until it is told to end.
final class StalledUpload: Sendable {
    private let process: Mutex<Process>

    /// - Parameter host: with the gateway's port, as in `host:7080`.
    init(host: String, port: Int) throws {
        let script = """
            import socket, sys
            s = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
            s.sendall(('POST /events?secret=1 HTTP/1.1\\r\\nHost: %s\\r\\nX-Event-Id: stalled\\r\\n'
                'Content-Length: 100\\r\\n\\r\\nabc' % sys.argv[1]).encode())
            sys.stdin.read()
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script, host, "\(port)"]
        process.standardInput = Pipe()
        try process.run()
        self.process = Mutex(process)
    }

    func end() {
        process.withLock { process in
            // A child of a thread that blocks signals blocks them too, all but this one.
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
    }
}

/// Posts one event after another on a thread of its own, and remembers how long the slowest took.
final class Prober: Sendable {
    private struct State {
        var isStopped = false
        var isDone = false
        var slowest = 0.0
        var statuses: Set<Int> = []
        var accepted: Set<String> = []
    }
    private let state = Mutex(State())

    init(_ installation: Installation) throws {
        let address = try installation.addressFromState()
        let name = UInt32.random(in: 0 ... .max)
        let thread = Thread { [self] in
            for number in 0... {
                if state.withLock({ $0.isStopped }) { break }
                let id = "probe-\(name)-\(number)"
                let outcome = try? Installation.run(
                    "/usr/bin/curl",
                    [
                        "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "-H",
                        "X-Event-Id: \(id)", "-d", "x", "\(address)events",
                    ])
                let parts = (outcome?.output ?? "").split(separator: " ")
                let status = parts.first.flatMap { Int($0) } ?? 0
                state.withLock { state in
                    state.statuses.insert(status)
                    if status == 201 { state.accepted.insert(id) }
                    state.slowest = max(state.slowest, parts.last.flatMap { Double($0) } ?? 0)
                }
                Thread.sleep(forTimeInterval: 0.02)
            }
            state.withLock { $0.isDone = true }
        }
        thread.start()
    }

    /// Events whose requests got 201.
    var accepted: Set<String> { state.withLock { $0.accepted } }

    /// Seconds of the slowest request, and all statuses.
    func stop() -> (slowest: Double, statuses: Set<Int>) {
        state.withLock { $0.isStopped = true }
        for _ in 0..<700 where !state.withLock({ $0.isDone }) { Thread.sleep(forTimeInterval: 0.05) }
        return state.withLock { ($0.slowest, $0.statuses) }
    }
}
