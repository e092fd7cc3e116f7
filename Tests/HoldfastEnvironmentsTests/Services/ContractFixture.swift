import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

/// A temporary directory with services of one kind in it; all servers end and all files go when it is let go.
final class ContractFixture {
    let kind: ContractKind
    let adapter: any ServiceAdapter
    private let folder: ScratchFolder
    private var servers: [ProcessHandle] = []

    init(_ kind: ContractKind) throws {
        self.kind = kind
        folder = try ScratchFolder()
        adapter = try ServiceAdapters.adapter(for: TypeReference(kind.type))
        try Data(TwoFilesServer.script.utf8).write(to: URL(fileURLWithPath: folder("server.py")))
    }

    deinit { for server in servers { server.killSession() } }

    var directory: String { folder.path }

    func instance(_ number: Int = 1, type: String? = nil) throws -> ServiceInstance {
        var configuration = kind.configuration
        if case .map(var map) = configuration, map["start"] != nil {
            map["variables"] = .map(["SCRIPT": .string(folder("server.py"))])
            configuration = .map(map)
        }
        return ServiceInstance(
            directory: folder("services/data/\(number)"), runDirectory: folder("r\(number)"),
            port: try freeLoopbackPort(), user: try serverUser(),
            configuration: ServiceConfiguration(
                name: "data", type: try TypeReference(type ?? kind.type), configuration: configuration))
    }

    /// Prepares and starts a server, and waits for it.
    func start(_ instance: inout ServiceInstance) throws -> ServiceEndpoint {
        try adapter.prepare(instance)
        try launch(&instance)
        return try adapter.afterStart(instance)
    }

    func launch(_ instance: inout ServiceInstance) throws {
        var specification = try adapter.command(instance)
        specification.logFile = folder("log")
        let server = try DetachedProcess.spawn(specification)
        servers.append(server)
        instance.leader = server
        try waitUntil("'\(kind.type)' is ready:\n\(logText)") {
            if !server.isAlive { throw HoldfastError(.unavailable, "'\(kind.type)' has ended:\n\(logText)") }
            return try adapter.isReady(instance)
        }
    }

    /// Stops it in good order; nothing of it is left.
    func stop(_ instance: ServiceInstance) throws {
        let server = try #require(instance.leader)
        if adapter.signalsAll { server.signalSession(adapter.stopSignal) } else { server.signal(adapter.stopSignal) }
        #expect(server.wait(timeout: .seconds(60)) != nil)
        try expectNothingRuns(instance)
    }

    func kill(_ instance: ServiceInstance) throws {
        let server = try #require(instance.leader)
        // Servers may give their children sessions of their own.
        let family = Self.descendants(of: server.pid).map(\.handle)
        server.killSession()
        for process in family { process.signal(SIGKILL) }
        _ = server.wait(timeout: .seconds(60))
        try waitUntil("all of '\(kind.type)' has ended") { !family.contains { $0.isAlive } }
        try expectNothingRuns(instance)
    }

    private static func descendants(of pid: Int32) -> [ProcessTable.Entry] {
        let all = ProcessTable.all()
        var found: [ProcessTable.Entry] = []
        var parents: Set<Int32> = [pid]
        while !parents.isEmpty {
            let children = all.filter { parents.contains($0.parent) }
            found += children
            parents = Set(children.map(\.pid))
        }
        return found
    }

    func expectNothingRuns(_ instance: ServiceInstance) throws {
        let server = try #require(instance.leader)
        try waitUntil("nothing of '\(kind.type)' runs") {
            !ProcessTable.all().contains { $0.session == server.pid && !$0.isZombie }
        }
        #expect(try !adapter.isReady(instance))
    }

    var logText: String { (try? String(contentsOfFile: folder("log"), encoding: .utf8)) ?? "" }

    func client(_ endpoint: ServiceEndpoint) throws -> any ContractClient { try kind.client(endpoint) }

    /// A whole backup whose files lie in the target's data directory, as a restore finds them.
    func take(
        _ source: ServiceInstance, into target: ServiceInstance,
        marking: (() throws -> [String: String]) throws -> [String: String] = { try $0() }
    ) throws -> ServiceManifest {
        let backup = try takeBackup(adapter, source, into: target, marking: marking)
        return ServiceManifest(
            type: source.type.description, serverVersion: try adapter.serverVersion(source), method: backup.method,
            path: "/services/data", mark: backup.mark, bytes: 0)
    }

    /// Starts restored files, as the supervisor does.
    func restore(_ backup: ServiceManifest, into target: inout ServiceInstance) throws -> ServiceEndpoint {
        try adapter.prepareRestore(target, manifest: backup)
        // Harmless a second time.
        try adapter.prepareRestore(target, manifest: backup)
        try adapter.prepare(target)
        try launch(&target)
        #expect(try !adapter.verify(target).isEmpty)
        return try adapter.afterStart(target)
    }
}

/// Takes a backup and puts its files into the target's data directory, as a restore finds them.
func takeBackup(
    _ adapter: any ServiceAdapter, _ source: ServiceInstance, into target: ServiceInstance,
    marking: (() throws -> [String: String]) throws -> [String: String]
) throws -> (mark: [String: String], method: String) {
    let session = try adapter.beginBackup(source, label: "a test")
    defer { session.close() }
    try FileManager.default.createDirectory(atPath: target.directory, withIntermediateDirectories: true)
    try copyData(session, to: target.dataDirectory)
    let mark = try marking { try session.mark() }
    let staging = target.directory + "/staging"
    try FileManager.default.createDirectory(atPath: staging, withIntermediateDirectories: true)
    try placeCollected(try session.collect(into: staging), in: target.dataDirectory)
    return (mark, session.method)
}

/// Adds numbers one after the other until it is paused.
final class ContractWriter: Sendable {
    private struct State {
        var committed = 0
        var isRunning = false
        var hasStopped = true
        var failure: String?
    }

    private let client: any ContractClient
    private let state = Mutex(State())

    init(_ client: any ContractClient) { self.client = client }

    /// The last number of which the service said that it keeps it.
    var committed: Int { state.withLock { $0.committed } }

    func resume() {
        state.withLock {
            $0.isRunning = true
            $0.hasStopped = false
        }
        Thread { self.write() }.start()
    }

    /// Returns when no write is under way, as a hold does.
    func pause() {
        state.withLock { $0.isRunning = false }
        while !state.withLock({ $0.hasStopped }) { Thread.sleep(forTimeInterval: 0.002) }
    }

    func waitForMore(_ count: Int) throws {
        let wanted = committed + count
        try waitUntil("\(wanted) numbers are written: \(state.withLock { $0.failure } ?? "")") { committed >= wanted }
    }

    private func write() {
        while state.withLock({ $0.isRunning }) {
            let next = committed + 1
            do {
                try client.write(next)
                state.withLock { $0.committed = next }
            } catch {
                state.withLock { $0.failure = "\(error)" }
                break
            }
        }
        state.withLock { $0.hasStopped = true }
    }
}
