import CLibPQ
import Foundation
import HoldfastModel
import Synchronization

/// Where and as whom to connect.
package struct PostgreSQLTarget: Sendable {
    /// Directory of the Unix socket, or a host's address.
    package var host: String
    package var port: Int
    package var user: String
    package var database: String
    package var password: Secret?
    /// The system user that the server behind a Unix socket has to run as.
    package var requiredPeer: String?
    /// Settings of the session, as the server names them.
    package var settings: [String: String]

    package init(
        host: String, port: Int, user: String, database: String, password: Secret? = nil,
        requiredPeer: String? = nil, settings: [String: String] = [:]
    ) {
        self.host = host
        self.port = port
        self.user = user
        self.database = database
        self.password = password
        self.requiredPeer = requiredPeer
        self.settings = settings
    }
}

/// One connection to a PostgreSQL server, used by one thread at a time; every call is bounded.
///
/// Values never become part of a statement's text. A server that does not answer in time costs the connection: it is
/// dropped without a word, and the server notices that by itself (`client_connection_check_interval`). Asking it to
/// cancel would be one more call that can hang.
package final class PostgreSQLSession: Sendable {
    private struct Connection {
        var pointer: OpaquePointer?
    }

    private let connection: Mutex<Connection>
    private let closing = Atomic<Bool>(false)
    private let time: any TimeSource
    /// Names the service in errors.
    private let name: String

    /// Connects.
    ///
    /// - Parameters:
    ///   - name: what errors call the server, such as `service 'db'`.
    /// - Throws: `unavailable` if nobody answers or the server refuses, `timedOut`.
    package init(_ target: PostgreSQLTarget, name: String, timeout: Duration, time: any TimeSource) throws {
        self.time = time
        self.name = name
        let deadline = Deadline(after: timeout, time: time)
        connection = Mutex(Connection(pointer: nil))
        let pairs = Self.parameters(of: target)
        try connection.withLock { connection in
            connection.pointer = try Self.connect(pairs, name: name, deadline: deadline)
        }
    }

    deinit {
        connection.withLock { connection in
            if let pointer = connection.pointer { PQfinish(pointer) }
        }
    }

    /// Whether a server takes connections there; false while it is down, starting or recovering.
    package static func answers(_ target: PostgreSQLTarget) -> Bool {
        var pairs = parameters(of: target)
        pairs["connect_timeout"] = "2"
        return withParameters(pairs) { keywords, values in PQpingParams(keywords, values, 0) } == PQPING_OK
    }

    /// Runs one statement.
    ///
    /// - Parameters:
    ///   - parameters: values of `$1`, `$2`, …; nil is NULL.
    /// - Returns: its rows as text; NULL is nil.
    /// - Throws: `timedOut`, `cancelled` if `close()` came, `unavailable` if the connection is lost, else what the
    ///   server's SQLSTATE stands for, with a `PostgreSQLFailure` as cause.
    @discardableResult
    package func query(_ statement: String, _ parameters: [String?] = [], timeout: Duration) throws -> [[String?]] {
        try connection.withLock { connection in
            guard let pointer = connection.pointer, !closing.load(ordering: .acquiring) else { throw closedError() }
            do {
                return try run(statement, parameters, on: pointer, deadline: Deadline(after: timeout, time: time))
            } catch let error as HoldfastError where error.code == .timedOut && error.cause == nil {
                PQfinish(pointer)
                connection.pointer = nil
                throw error
            }
        }
    }

    /// The first value of the first row.
    package func value(_ statement: String, _ parameters: [String?] = [], timeout: Duration) throws -> String {
        guard let value = try query(statement, parameters, timeout: timeout).first?.first.flatMap({ $0 }) else {
            throw HoldfastError(.internalFault, "\(name) returned no value for: \(statement)")
        }
        return value
    }

    /// The verifier that the server stores for a password, so that the password itself never reaches its log.
    package func verifier(for password: Secret, of user: String) throws -> String {
        try connection.withLock { connection in
            guard let pointer = connection.pointer,
                let text = PQencryptPasswordConn(pointer, password.reveal(), user, "scram-sha-256")
            else { throw closedError() }
            defer { PQfreemem(text) }
            return String(cString: text)
        }
    }

    /// Ends the connection, from any thread; a statement that runs ends with `cancelled`.
    package func close() {
        closing.store(true, ordering: .releasing)
        connection.withLock { connection in
            if let pointer = connection.pointer { PQfinish(pointer) }
            connection.pointer = nil
        }
    }

    private func closedError() -> HoldfastError {
        closing.load(ordering: .acquiring)
            ? HoldfastError(.cancelled, "the session with \(name) was closed")
            : HoldfastError(.unavailable, "the session with \(name) is lost", hint: "Try again")
    }
}

extension PostgreSQLSession {
    private static func parameters(of target: PostgreSQLTarget) -> [String: String] {
        var pairs = [
            "host": target.host, "port": String(target.port), "user": target.user, "dbname": target.database,
            "application_name": "holdfast", "client_encoding": "UTF8", "sslmode": "disable",
            "gssencmode": "disable", "passfile": "/nonexistent",
        ]
        if let password = target.password { pairs["password"] = password.reveal() }
        if let peer = target.requiredPeer { pairs["requirepeer"] = peer }
        let settings = target.settings.merging(["client_connection_check_interval": "250"]) { own, _ in own }
        pairs["options"] = settings.sorted { $0.key < $1.key }.map { "-c \($0.key)=\($0.value)" }
            .joined(separator: " ")
        return pairs
    }

    private static func withParameters<Result>(
        _ pairs: [String: String], _ body: ([UnsafePointer<CChar>?], [UnsafePointer<CChar>?]) -> Result
    ) -> Result {
        let keys = pairs.keys.sorted()
        let keywords = keys.map { strdup($0) }
        let values = keys.map { strdup(pairs[$0] ?? "") }
        defer { (keywords + values).forEach { free($0) } }
        return body(keywords.map { UnsafePointer($0) } + [nil], values.map { UnsafePointer($0) } + [nil])
    }

    private static func connect(
        _ pairs: [String: String], name: String, deadline: Deadline
    ) throws -> OpaquePointer {
        guard let pointer = withParameters(pairs, { PQconnectStartParams($0, $1, 0) }) else {
            throw HoldfastError(.internalFault, "libpq has no memory for a connection to \(name)")
        }
        PQsetNoticeProcessor(pointer, { _, _ in }, nil)
        var state = PQstatus(pointer) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        while state == PGRES_POLLING_WRITING || state == PGRES_POLLING_READING {
            let events = state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN
            guard deadline.wait(for: PQsocket(pointer), events: Int16(events)) else {
                if !deadline.hasPassed { continue }
                PQfinish(pointer)
                throw HoldfastError(.timedOut, "\(name) did not take a connection in time")
            }
            state = PQconnectPoll(pointer)
        }
        guard state == PGRES_POLLING_OK else {
            let reason = oneLine(String(cString: PQerrorMessage(pointer)))
            PQfinish(pointer)
            throw HoldfastError(.unavailable, "\(name) does not take a connection: \(reason)")
        }
        return pointer
    }

    private func run(
        _ statement: String, _ parameters: [String?], on pointer: OpaquePointer, deadline: Deadline
    ) throws -> [[String?]] {
        let values = parameters.map { $0.flatMap { strdup($0) } }
        defer { values.forEach { free($0) } }
        let pointers = values.map { UnsafePointer($0) }
        guard PQsendQueryParams(pointer, statement, Int32(pointers.count), nil, pointers, nil, nil, 0) == 1 else {
            throw lost(pointer)
        }
        var rows: [[String?]] = []
        var failure: HoldfastError?
        while let result = try nextResult(of: pointer, deadline: deadline) {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK: rows = Self.rows(of: result)
            default: failure = failure ?? self.failure(of: result, pointer)
            }
        }
        if let failure { throw failure }
        return rows
    }

    private func nextResult(of pointer: OpaquePointer, deadline: Deadline) throws -> OpaquePointer? {
        while PQisBusy(pointer) == 1 {
            if closing.load(ordering: .acquiring) { throw closedError() }
            if deadline.hasPassed {
                throw HoldfastError(.timedOut, "\(name) did not answer in time")
            }
            // A short slice, because closing() has no other way to reach a thread that waits here.
            guard deadline.wait(for: PQsocket(pointer), events: Int16(POLLIN), atMost: 50) else {
                continue
            }
            if PQconsumeInput(pointer) == 0 { throw lost(pointer) }
        }
        return PQgetResult(pointer)
    }

    private static func rows(of result: OpaquePointer) -> [[String?]] {
        (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in
                PQgetisnull(result, row, column) == 1
                    ? nil : PQgetvalue(result, row, column).map { String(cString: $0) }
            }
        }
    }

    private func failure(of result: OpaquePointer, _ pointer: OpaquePointer) -> HoldfastError {
        // 'C' and 'M' are PG_DIAG_SQLSTATE and PG_DIAG_MESSAGE_PRIMARY, macros that Swift does not see.
        let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) }
        let message = PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
        guard let state else { return lost(pointer) }
        let cause = PostgreSQLFailure(sqlState: state, message: Self.oneLine(message ?? "no message"))
        return HoldfastError(cause.code, "\(name) refused a statement", cause: cause)
    }

    private func lost(_ pointer: OpaquePointer) -> HoldfastError {
        let reason = Self.oneLine(String(cString: PQerrorMessage(pointer)))
        return HoldfastError(.unavailable, "the session with \(name) is lost: \(reason)", hint: "Try again")
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .joined(separator: "; ")
    }
}

/// What the server said when it refused a statement.
package struct PostgreSQLFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Five characters; see "PostgreSQL Error Codes" in the PostgreSQL manual, appendix A.
    package let sqlState: String
    package let message: String

    package var description: String { "\(message) (SQLSTATE \(sqlState))" }

    package var code: HoldfastError.Code {
        switch sqlState {
        case "57014": .timedOut
        case "53100": .noSpace
        case "42501": .forbidden
        case "55P03": .locked
        case "0A000": .unsupported
        case "XX001", "XX002", "58P01": .damaged
        default:
            switch sqlState.prefix(2) {
            case "08", "53", "57": .unavailable
            case "55": .conflict
            default: .system
            }
        }
    }
}

extension Deadline {
    /// Waits until a descriptor is ready, the slice has passed or the deadline is over.
    ///
    /// - Returns: whether it is ready.
    func wait(for descriptor: Int32, events: Int16, atMost slice: Int = .max) -> Bool {
        var request = pollfd(fd: descriptor, events: events, revents: 0)
        return poll(&request, 1, Int32(min(millisecondsLeft, slice, 60000))) > 0
    }
}

extension Duration {
    /// As the server's settings count.
    var wholeMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
