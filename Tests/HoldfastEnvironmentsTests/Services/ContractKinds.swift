import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

/// One kind of service under the contract, and how an app uses it.
struct ContractKind: Sendable, CustomTestStringConvertible {
    let type: String
    var configuration: ConfigurationValue = .map([:])
    /// Whether data is kept over stops and in backups.
    var isPersistent = true
    /// Whether the service asks for a password.
    var hasPassword = true
    /// Whether it can tell data that is not its own.
    var knowsItsData = true
    /// Whether a start takes many seconds.
    var isSlow = false
    let client: @Sendable (ServiceEndpoint) throws -> any ContractClient

    var testDescription: String { type }

    static let all: [ContractKind] = [
        ContractKind(type: "postgresql:15", client: { try PostgreSQLClient($0) }),
        ContractKind(type: "mariadb:10.11", client: { try MariaDBClient($0) }),
        ContractKind(type: "redis-persistent:7.0", client: { try RedisClient($0) }),
        ContractKind(type: "redis:7.0", isPersistent: false, client: { try RedisClient($0) }),
        ContractKind(
            type: "memcached:1.6", isPersistent: false, hasPassword: false, client: { try MemcachedClient($0) }),
        ContractKind(type: "rabbitmq:3.10", isSlow: true, client: { try RabbitMQClient($0) }),
        ContractKind(type: "influxdb:1.6", client: { try InfluxDBClient($0) }),
        ContractKind(
            type: "binary",
            configuration: .map([
                "start": .string("echo started >&2; python3 \"$SCRIPT\""), "exclude": .list([.string("scratch")]),
            ]),
            hasPassword: false, knowsItsData: false, client: { try TwoFilesClient($0) }),
    ]

    static let persistent = all.filter(\.isPersistent)
    /// Without those that are slow and have no code of their own for what is asked: `binary` stands for them.
    static let quick = persistent.filter { !$0.isSlow }
}

/// What an app does with a service: it adds numbers, and reads them back in order.
protocol ContractClient: Sendable {
    /// Returns when the service has said that it keeps the number.
    func write(_ number: Int) throws
    func events() throws -> [Int]
    /// What does not fit together in the data, for people; nil if all does.
    func inconsistency() throws -> String?
}

extension ContractClient {
    func inconsistency() throws -> String? { nil }
}

private let patience = Duration.seconds(30)

struct PostgreSQLClient: ContractClient {
    private let session: PostgreSQLSession

    init(_ endpoint: ServiceEndpoint) throws {
        session = try PostgreSQLSession(
            PostgreSQLTarget(
                host: endpoint.host, port: endpoint.port, user: endpoint.username, database: endpoint.path,
                password: endpoint.password), name: "the app's database", timeout: patience, time: SystemTime())
        try session.query("CREATE TABLE IF NOT EXISTS events (number int PRIMARY KEY, filler text)", timeout: patience)
    }

    func write(_ number: Int) throws {
        try session.query(
            "INSERT INTO events VALUES ($1, $2)", [String(number), String(repeating: "x", count: 2000)],
            timeout: patience)
    }

    func events() throws -> [Int] {
        try session.query("SELECT number FROM events ORDER BY number", timeout: patience)
            .compactMap { $0[0].flatMap { Int($0) } }
    }
}

/// Writes to a table without transactions, and then to one with.
private struct MariaDBClient: ContractClient {
    private let session: MariaDBSession

    init(_ endpoint: ServiceEndpoint) throws {
        session = try MariaDBSession(
            MariaDBTarget(
                .address(endpoint.host, port: endpoint.port), user: endpoint.username, password: endpoint.password,
                database: endpoint.path), name: "the app's database", timeout: patience, time: SystemTime())
        for (table, engine) in [("events", "InnoDB"), ("plain", "MyISAM")] {
            try session.query(
                "CREATE TABLE IF NOT EXISTS \(table) (number INT PRIMARY KEY, filler TEXT) ENGINE = \(engine)",
                timeout: patience)
        }
    }

    func write(_ number: Int) throws {
        for table in ["plain", "events"] {
            try session.query(
                "INSERT INTO \(table) VALUES (\(number), REPEAT('x', 2000))", timeout: patience)
        }
    }

    func events() throws -> [Int] { try numbers("events") }

    func inconsistency() throws -> String? {
        let (plain, events) = (try numbers("plain"), try numbers("events"))
        return plain.starts(with: events) && plain.count - events.count <= 1
            ? nil : "\(plain.count) rows without transactions, \(events.count) with"
    }

    private func numbers(_ table: String) throws -> [Int] {
        try session.query("SELECT number FROM \(table) ORDER BY number", timeout: patience)
            .compactMap { $0[0].flatMap { Int($0) } }
    }
}

private struct RedisClient: ContractClient {
    private let session: RedisSession

    init(_ endpoint: ServiceEndpoint) throws {
        session = try RedisSession(
            port: endpoint.port, user: "default", password: endpoint.password, name: "the app's keys",
            time: SystemTime())
    }

    func write(_ number: Int) throws {
        try session.call(["SET", "filler:\(number)", String(repeating: "x", count: 2000)], timeout: patience)
        try session.call(["RPUSH", "events", "\(number)"], timeout: patience)
    }

    func events() throws -> [Int] {
        guard case .list(let items) = try session.call(["LRANGE", "events", "0", "-1"], timeout: patience) else {
            return []
        }
        return items.compactMap { $0.string.flatMap { Int($0) } }
    }

    func inconsistency() throws -> String? {
        let keys = try session.call(["DBSIZE"], timeout: patience).string.flatMap { Int($0) } ?? 0
        let events = try events().count
        // The list itself is a key, and one filler may be ahead of it.
        return (0...2).contains(keys - events) ? nil : "\(keys) keys, \(events) events"
    }
}

private struct MemcachedClient: ContractClient {
    private let socket: LineSocket

    init(_ endpoint: ServiceEndpoint) throws {
        socket = try LineSocket(.port(endpoint.port), name: "the app's cache", time: SystemTime())
    }

    func write(_ number: Int) throws {
        try socket.send("set event\(number) 0 0 1\r\nx\r\n", timeout: patience)
        guard try socket.line(timeout: patience) == "STORED" else {
            throw HoldfastError(.unavailable, "not stored")
        }
    }

    func events() throws -> [Int] {
        var found: [Int] = []
        while true {
            try socket.send("get event\(found.count + 1)\r\n", timeout: patience)
            guard try socket.line(timeout: patience) != "END" else { return found }
            _ = try socket.line(timeout: patience)
            _ = try socket.line(timeout: patience)
            found.append(found.count + 1)
        }
    }
}

/// Talks to `TwoFilesServer`.
private struct TwoFilesClient: ContractClient {
    private let socket: LineSocket

    init(_ endpoint: ServiceEndpoint) throws {
        socket = try LineSocket(.port(endpoint.port), name: "the app's files", time: SystemTime())
    }

    func write(_ number: Int) throws { _ = try ask("ADD \(number)") }
    func events() throws -> [Int] { try ask("EVENTS").split(separator: " ").compactMap { Int($0) } }

    func inconsistency() throws -> String? {
        let text = try ask("CHECK")
        return text == "same" ? nil : text
    }

    private func ask(_ request: String) throws -> String {
        try socket.send(request + "\n", timeout: patience)
        let answer = try socket.line(timeout: patience)
        guard answer.hasPrefix("OK") else { throw HoldfastError(.damaged, "answered '\(answer)'") }
        return String(answer.dropFirst(3))
    }
}

/// A server that any language could have: each number goes to one file, then to a counter that is mapped into memory,
/// then to a file in a folder of its own that changes with every hundred numbers.
enum TwoFilesServer {
    static let script = """
        import mmap, os, socketserver, struct, threading

        lock = threading.Lock()
        open("first", "a").close()
        if not os.path.exists("counter"):
            with open("counter", "wb") as file:
                file.write(bytes(4096))
        handle = open("counter", "r+b")
        counter = mmap.mmap(handle.fileno(), 4096)
        os.makedirs("scratch", exist_ok=True)
        open("scratch/not-backed-up", "w").close()

        def first():
            with open("first") as file:
                return [int(line) for line in file.read().split()]

        def parts():
            found = []
            for name in sorted(n for n in os.listdir(".") if n.startswith("part-")):
                with open(name + "/numbers") as file:
                    found += [int(line) for line in file.read().split()]
            return found

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    words = line.decode().split()
                    with lock:
                        answer = self.answer(words)
                    self.wfile.write(("OK " + answer + "\\n").encode())

            def answer(self, words):
                if words[0] == "ADD":
                    number = int(words[1])
                    with open("first", "a") as file:
                        file.write("%d\\n" % number)
                    counter[0:8] = struct.pack("<q", number)
                    folder = "part-%06d" % (number // 100)
                    os.makedirs(folder, exist_ok=True)
                    with open(folder + "/numbers", "a") as file:
                        file.write("%d\\n" % number)
                    return ""
                if words[0] == "EVENTS":
                    return " ".join(map(str, first()))
                a, b, c = len(first()), struct.unpack("<q", counter[0:8])[0], len(parts())
                return "same" if a >= b >= c and a - c <= 1 else "%d %d %d" % (a, b, c)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

        """
}
