import Foundation
import HoldfastModel
import Testing

/// A whole installation in a state directory of its own, driven by the built binary as a user would.
final class Installation: @unchecked Sendable {
    // One test drives it from one thread; only the two processes change.
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    let home: String
    let apiPort: Int
    let gatewayPort: Int
    var project = ""
    private var server: Process?
    /// The point that the server was told to stand still at.
    private var standsAt: String?

    /// The binary that `make test` built, or the one beside these tests.
    static let binary: String = {
        if let path = ProcessInfo.processInfo.environment["HOLDFAST_BINARY"] { return path }
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        return ["release", "debug"].map { "\(root)/.build/\($0)/holdfast" }
            .first { FileManager.default.fileExists(atPath: $0) } ?? "holdfast"
    }()

    static let exampleDirectory =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path + "/Examples/ledger"

    init() throws {
        let base = geteuid() == 0 ? "/var/lib" : NSTemporaryDirectory()
        home = "\(base)/hf-test-\(String(UInt32.random(in: 0 ... .max), radix: 36))"
        apiPort = try Self.freePort()
        gatewayPort = try Self.freePort()
        try FileManager.default.createDirectory(
            atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
    }

    /// Stops everything and removes the state directory.
    func end() {
        // What stands at a point never ends its activity, which a server that is asked to end waits for.
        if standsAt != nil { killServer() }
        if server?.isRunning != true { try? start() }
        server?.terminate()
        server?.waitUntilExit()
        killLeftovers()
        _ = try? Self.run("/bin/umount", ["-q", "\(home)/sites"])
        try? FileManager.default.removeItem(atPath: home)
    }

    /// What a failed test may have left running. Users of environments are removed with them.
    private func killLeftovers() {
        _ = try? Self.run("/usr/bin/pkill", ["-KILL", "-f", home])
        for id in (try? FileManager.default.contentsOfDirectory(atPath: "\(home)/environments")) ?? [] {
            _ = try? Self.run("/usr/bin/pkill", ["-KILL", "-u", "hf-\(id)"])
            _ = try? Self.run("/usr/sbin/userdel", ["hf-\(id)"])
        }
    }

    // MARK: The server

    /// - Parameter settings: changes to `settings.json`, which an earlier start has written.
    func start(stopAt: String? = nil, settings: [String: Any]? = nil, schedules: Bool = false) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.binary)
        if let settings { try change(settings) }
        process.arguments = [
            "serve", "--home", home, "--listen", "127.0.0.1:\(apiPort)", "--gateway-listen", "127.0.0.1:\(gatewayPort)",
            "--stop-everything",
        ]
        // Most tests count backups, and none but their own may come between.
        if !schedules { process.arguments?.append("--no-schedules") }
        var variables = ProcessInfo.processInfo.environment
        variables["HOLDFAST_STOP_AT"] = stopAt
        standsAt = stopAt
        process.environment = variables
        // Else a point would be taken for reached, or not stood at, because an earlier server was there.
        for file in ["stopped-at", "go-on"] { try? FileManager.default.removeItem(atPath: "\(home)/\(file)") }
        let log = "\(home)/serve.log"
        if !FileManager.default.fileExists(atPath: log) { FileManager.default.createFile(atPath: log, contents: nil) }
        let handle = FileHandle(forWritingAtPath: log)
        handle?.seekToEndOfFile()
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        try process.run()
        server = process
        let isUp = waitUntil(seconds: 30) { (try? holdfast("project:list").status) == 0 || !process.isRunning }
        guard isUp, process.isRunning else { throw Unexpected("the server did not start: \(tail("serve.log"))") }
    }

    private func change(_ settings: [String: Any]) throws {
        let file = URL(fileURLWithPath: "\(home)/settings.json")
        var object = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        for (key, value) in settings { object[key] = value }
        try JSONSerialization.data(withJSONObject: object).write(to: file)
    }

    func killServer() {
        guard let server else { return }
        kill(server.processIdentifier, SIGKILL)
        server.waitUntilExit()
    }

    /// Such as SIGSTOP: the control plane stands still, and its connections stay open.
    func signalServer(_ number: Int32) {
        if let server { kill(server.processIdentifier, number) }
    }

    /// As an operator does; with it go gateway and environments.
    func stopServer() {
        server?.terminate()
        server?.waitUntilExit()
    }

    var serverIsRunning: Bool { server?.isRunning == true }

    func killSupervisor() throws {
        _ = try Self.run("/usr/bin/pkill", ["-KILL", "-f", "holdfast supervise --home \(home) "])
    }

    /// Waits until the server stands at the point that `start(stopAt:)` named.
    func waitUntilStopped() throws {
        let file = "\(home)/stopped-at"
        guard waitUntil(seconds: 60, { FileManager.default.fileExists(atPath: file) }) else {
            throw Unexpected("the point was not reached: \(tail("serve.log"))")
        }
        try FileManager.default.removeItem(atPath: file)
        guard standsAt == "backup.marking" else { return }
        // Here all of it stops, just after it has said so.
        let isStopped = try waitUntil(seconds: 20) {
            let process = "\(server?.processIdentifier ?? 0)"
            return try Self.run("/bin/ps", ["-o", "state=", "-p", process]).output.hasPrefix("T")
        }
        guard isStopped else { throw Unexpected("the server did not stop: \(tail("serve.log"))") }
    }

    // MARK: The command line

    /// Runs a verb and returns how it ended.
    @discardableResult
    func holdfast(_ arguments: String..., token: String? = nil) throws -> Outcome {
        var variables = ["HOLDFAST_HOME": home]
        variables["HOLDFAST_TOKEN"] = token
        return try Self.run(Self.binary, arguments, environment: variables)
    }

    /// Runs a verb that has to succeed and returns what it printed.
    @discardableResult
    func must(_ arguments: String...) throws -> String {
        let outcome = try Self.run(Self.binary, arguments, environment: ["HOLDFAST_HOME": home])
        guard outcome.status == 0 else {
            throw Unexpected("\(arguments.joined(separator: " ")) ended with \(outcome.status): \(outcome.errors)")
        }
        return outcome.output
    }

    func createProject() throws {
        project = try must("project:create", "--title", "Ledger").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Commits the ledger, changed by `edit`, and pushes it to `branch`.
    @discardableResult
    func push(_ branch: String = "main", edit: (String) throws -> Void = { _ in }) throws -> Outcome {
        let checkout = "\(home)/checkout"
        if !FileManager.default.fileExists(atPath: checkout) {
            try FileManager.default.copyItem(atPath: Self.exampleDirectory, toPath: checkout)
            try git("init", "--quiet", "--initial-branch=main")
        }
        try edit(checkout)
        try git("add", "--all")
        try git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return try Self.run(
            "/usr/bin/git",
            ["-C", checkout, "push", "\(home)/projects/\(project)/repository.git", "HEAD:refs/heads/\(branch)"],
            environment: ["HOLDFAST_HOME": home])
    }

    @discardableResult
    func git(_ arguments: String...) throws -> String {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        let outcome = try Self.run("/usr/bin/git", ["-C", "\(home)/checkout"] + identity + arguments)
        guard outcome.status == 0 else { throw Unexpected("git \(arguments): \(outcome.errors)") }
        return outcome.output
    }

    /// A running ledger: project made, first version pushed.
    ///
    /// - Parameter edit: changes the checkout.
    func deployLedger(edit: (String) throws -> Void = { _ in }) throws {
        try createProject()
        let outcome = try push(edit: edit)
        guard outcome.status == 0 else { throw Unexpected("the push failed: \(outcome.errors)") }
    }

    // MARK: The environment

    var environmentDirectory: String {
        get throws {
            let id = try #require(FileManager.default.contentsOfDirectory(atPath: "\(home)/environments").first)
            return "\(home)/environments/\(id)"
        }
    }

    func current() throws -> CurrentState {
        let file = try URL(fileURLWithPath: "\(environmentDirectory)/current.json")
        return try JSONDecoder().decode(CurrentState.self, from: Data(contentsOf: file))
    }

    func address() throws -> String { try addressFromState() }

    /// Asks the app through the gateway.
    func get(_ path: String) throws -> Outcome {
        try Self.run("/usr/bin/curl", ["-sS", "--fail", "--max-time", "20", "\(try address())\(path)"])
    }

    /// Writes one event; the status that came back.
    func post(_ id: String) throws -> Int {
        let outcome = try Self.run(
            "/usr/bin/curl",
            [
                "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Event-Id: \(id)", "-d",
                "x",
                "\(try address())events",
            ])
        return Int(outcome.output) ?? 0
    }

    /// Ids in the database and in the file.
    func sets() throws -> (database: Set<String>, file: Set<String>) {
        let object = try JSONSerialization.jsonObject(with: Data(get("sets").output.utf8)) as? [String: Any]
        func ids(_ key: String) -> Set<String> {
            Set(((object?[key] as? [[Any]]) ?? []).compactMap { $0.count > 1 ? $0[1] as? String : nil })
        }
        return (ids("database"), ids("file"))
    }

    func backups() throws -> [String] {
        let outcome = try holdfast(
            "backup:list", "-p", project, "-e", "main", "--format", "plain", "--no-header", "-c", "id")
        return outcome.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    // MARK: Helpers

    func tail(_ file: String) -> String {
        let text = (try? String(contentsOfFile: "\(home)/\(file)", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(6).joined(separator: " | ")
    }

    @discardableResult
    func waitUntil(seconds: Double, _ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<Int(seconds * 20) {
            if try condition() { return true }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return false
    }

    static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = [
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": NSTemporaryDirectory(), "LANG": "C.UTF-8",
        ]
        .merging(environment) { $1 }
        let folder = NSTemporaryDirectory() + "hf-run-\(UInt64.random(in: 0 ... .max))"
        let files = ["\(folder).out", "\(folder).err"]
        for file in files { FileManager.default.createFile(atPath: file, contents: nil) }
        defer { for file in files { try? FileManager.default.removeItem(atPath: file) } }
        process.standardOutput = FileHandle(forWritingAtPath: files[0])
        process.standardError = FileHandle(forWritingAtPath: files[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let texts = try files.map { try String(contentsOfFile: $0, encoding: .utf8) }
        return Outcome(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    static func freePort() throws -> Int {
        let outcome = try run(
            "/usr/bin/python3",
            ["-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"])
        return try #require(Int(outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)))
    }
}

struct Unexpected: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
