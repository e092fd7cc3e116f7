import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

/// A temporary directory with PostgreSQL services in it; all servers end and all files go when it is let go.
final class PostgreSQLFixture {
    private let folder: ScratchFolder
    var directory: String { folder.path }
    let adapter: PostgreSQLAdapter
    private var servers: [ProcessHandle] = []

    init(_ change: (inout PostgreSQLAdapter.Options) -> Void = { _ in }) throws {
        folder = try ScratchFolder()
        var options = PostgreSQLAdapter.Options()
        change(&options)
        adapter = PostgreSQLAdapter(options: options)
    }

    deinit {
        for server in servers {
            server.signal(SIGQUIT)
            if server.wait(timeout: .seconds(20)) == nil { server.killSession() }
        }
    }

    func instance(
        _ number: Int = 1, version: String = "15", configuration: ConfigurationValue = .map([:])
    ) throws -> ServiceInstance {
        ServiceInstance(
            directory: "\(directory)/services/db/\(number)", runDirectory: "\(directory)/r\(number)",
            port: try freeLoopbackPort(),
            user: try serverUser(),
            configuration: ServiceConfiguration(
                name: "db", type: TypeReference(name: "postgresql", version: version), configuration: configuration))
    }

    /// Prepares and starts a server, without waiting for it.
    ///
    /// - Parameter fromNothing: makes a cluster of its own instead of taking the one that all tests begin with.
    func launch(_ instance: ServiceInstance, fromNothing: Bool = false) throws {
        if !fromNothing, !FileManager.default.fileExists(atPath: instance.dataDirectory) {
            try EmptyCluster.shared.get().copy(to: instance)
        }
        try adapter.prepare(instance)
        var specification = try adapter.command(instance)
        specification.logFile = log(of: instance)
        servers.append(try DetachedProcess.spawn(specification))
    }

    /// Prepares and starts a server, waits for it and makes its role and database.
    func start(_ instance: ServiceInstance, fromNothing: Bool = false) throws -> ServiceEndpoint {
        try launch(instance, fromNothing: fromNothing)
        try waitUntil("'\(instance.directory)' is ready:\n\(logText(of: instance))") {
            try adapter.isReady(instance)
        }
        return try adapter.afterStart(instance)
    }

    func stop(_ instance: ServiceInstance) throws {
        let text = try String(contentsOfFile: instance.dataDirectory + "/postmaster.pid", encoding: .utf8)
        let pid = try #require(text.split(separator: "\n").first.flatMap { pid_t($0) })
        let server = try #require(servers.last { $0.pid == pid })
        server.signal(adapter.stopSignal)
        #expect(server.wait(timeout: .seconds(60)) == .exited(0))
    }

    func log(of instance: ServiceInstance) -> String {
        "\(directory)/" + (instance.runDirectory as NSString).lastPathComponent + ".log"
    }

    func logText(of instance: ServiceInstance) -> String {
        (try? String(contentsOfFile: log(of: instance), encoding: .utf8)) ?? ""
    }

    /// A session as an app has it: with the password, over the loopback address.
    func application(_ endpoint: ServiceEndpoint, host: String? = nil) throws -> PostgreSQLSession {
        try PostgreSQLSession(
            PostgreSQLTarget(
                host: host ?? endpoint.host, port: endpoint.port, user: endpoint.username, database: endpoint.path,
                password: endpoint.password), name: "the application's database", timeout: .seconds(10),
            time: SystemTime())
    }

    func superuser(_ instance: ServiceInstance, database: String = "postgres") throws -> PostgreSQLSession {
        try adapter.session(instance, database: database)
    }

    func manifest(_ instance: ServiceInstance, mark: [String: String]) throws -> ServiceManifest {
        ServiceManifest(
            type: instance.type.description, serverVersion: try adapter.serverVersion(instance), method: "physical",
            path: "/services/db", mark: mark, bytes: 0)
    }
}

/// A cluster that was made once, because making one takes longer than most tests.
private struct EmptyCluster {
    static let shared = Result { try EmptyCluster() }
    private let files: [(path: String, content: Data?)]

    private init() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        try fixture.adapter.prepare(instance)
        let enumerator = try #require(FileManager.default.enumerator(atPath: instance.dataDirectory))
        files = enumerator.compactMap { $0 as? String }.sorted().map { path in
            var isDirectory: ObjCBool = false
            let whole = instance.dataDirectory + "/" + path
            _ = FileManager.default.fileExists(atPath: whole, isDirectory: &isDirectory)
            return (path, isDirectory.boolValue ? nil : FileManager.default.contents(atPath: whole))
        }
    }

    func copy(to instance: ServiceInstance) throws {
        try FileManager.default.createDirectory(atPath: instance.dataDirectory, withIntermediateDirectories: true)
        for (path, content) in files {
            let target = instance.dataDirectory + "/" + path
            if let content {
                try content.write(to: URL(fileURLWithPath: target))
            } else {
                mkdir(target, 0o700)
            }
        }
        let data = try GuardedDirectory(instance.dataDirectory)
        try data.setMode(0o700)
        try data.giveAll(to: instance.user)
    }
}

/// Waits for something that another process does; fails after a generous while.
func waitUntil(_ what: @autoclosure () -> String, seconds: Double = 60, _ condition: () throws -> Bool) throws {
    let end = SystemTime().monotonicNanoseconds() + UInt64(seconds * 1e9)
    while try !condition() {
        guard SystemTime().monotonicNanoseconds() < end else {
            throw HoldfastError(.timedOut, "waited in vain until \(what())")
        }
        Thread.sleep(forTimeInterval: 0.05)
    }
}

/// What the engine does with a session's data directory: walk, leave out, copy. Files may vanish meanwhile.
func copyData(_ session: any ServiceBackupSession, to target: String) throws {
    func copy(_ relative: String) throws {
        let path = relative.isEmpty ? session.dataDirectory : session.dataDirectory + "/" + relative
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        let destination = relative.isEmpty ? target : target + "/" + relative
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            mkdir(destination, 0o700)
            for name in try FileManager.default.contentsOfDirectory(atPath: path).sorted() {
                let inner = relative.isEmpty ? name : relative + "/" + name
                if !session.shouldSkip(inner) { try copy(inner) }
            }
        case S_IFREG:
            guard let bytes = FileManager.default.contents(atPath: path) else { return }
            try bytes.write(to: URL(fileURLWithPath: destination))
            chmod(destination, 0o600)
        default: symlink("nowhere", destination)
        }
    }
    try copy("")
}

/// Puts what a session collected next to the copied files, as a restore finds them.
func placeCollected(_ files: [CollectedFile], in data: String) throws {
    for file in files {
        let target = data + "/" + file.path
        let parent = (target as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        unlink(target)
        switch file.content {
        case .bytes(let bytes): try Data(bytes).write(to: URL(fileURLWithPath: target))
        case .file(let path): try FileManager.default.copyItem(atPath: path, toPath: target)
        }
        chmod(target, file.mode)
    }
}

/// A user who may run a server: root has to step down, anybody else stays who he is.
func serverUser() throws -> ProcessUser {
    guard geteuid() == 0 else { return .current }
    return try #require(try ProcessUser.lookUp(name: "postgres") ?? ProcessUser.lookUp(name: "nobody"))
}

/// A port that nobody listens on now.
func freeLoopbackPort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            bind(descriptor, address, length) == 0 && getsockname(descriptor, address, &length) == 0
        }
    }
    try #require(bound)
    return Int(UInt16(bigEndian: address.sin_port))
}
