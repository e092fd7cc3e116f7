import CMariaDB
import Foundation
import HoldfastModel
import Synchronization

/// Where and as whom to connect.
package struct MariaDBTarget: Sendable {
    package enum Place: Sendable, Hashable {
        /// Absolute path of a Unix socket.
        case socket(String)
        case address(String, port: Int)
    }

    package var place: Place
    package var user: String
    package var password: Secret?
    package var database: String?

    package init(_ place: Place, user: String, password: Secret? = nil, database: String? = nil) {
        self.place = place
        self.user = user
        self.password = password
        self.database = database
    }
}

/// One connection to a MariaDB server, used by one thread at a time; every call is bounded.
///
/// A server that does not answer in time costs the connection: what it holds there, a stage of a backup say, ends when
/// the server notices.
package final class MariaDBSession: Sendable {
    private struct Connection {
        var pointer: UnsafeMutablePointer<MYSQL>?
    }

    /// The library wants to be initialised once, before threads use it.
    private static let library = mysql_server_init(0, nil, nil)

    private let connection: Mutex<Connection>
    private let closing = Atomic<Bool>(false)
    private let time: any TimeSource
    /// Names the service in errors.
    private let name: String

    /// Connects.
    ///
    /// - Parameters:
    ///   - name: what errors call the server, such as `service 'db'`.
    /// - Throws: `unavailable` if nobody answers, `unauthenticated` if the server does not let us in.
    package init(_ target: MariaDBTarget, name: String, timeout: Duration, time: any TimeSource) throws {
        self.time = time
        self.name = name
        connection = Mutex(Connection(pointer: nil))
        try connection.withLock { connection in
            connection.pointer = try Self.connect(target, name: name, timeout: timeout)
        }
    }

    deinit {
        connection.withLock { connection in
            if let pointer = connection.pointer { mysql_close(pointer) }
        }
    }

    /// Runs one statement.
    ///
    /// - Returns: its rows as text; NULL is nil.
    /// - Throws: `timedOut`, `cancelled` if `close()` came, `unavailable` if the connection is lost, else what the
    ///   server's error stands for, with a `MariaDBFailure` as cause.
    @discardableResult
    package func query(_ statement: String, timeout: Duration) throws -> [[String?]] {
        try connection.withLock { connection in
            guard let pointer = connection.pointer, !closing.load(ordering: .acquiring) else { throw closedError() }
            do {
                return try run(statement, on: pointer, deadline: Deadline(after: timeout, time: time))
            } catch let error as HoldfastError where error.code == .timedOut && error.cause == nil {
                Self.drop(pointer)
                connection.pointer = nil
                throw error
            }
        }
    }

    /// The server's number of this connection; 0 if it is lost or closed.
    package var number: UInt { connection.withLock { $0.pointer.map { mysql_thread_id($0) } ?? 0 } }

    /// The first value of the first row.
    package func value(_ statement: String, timeout: Duration) throws -> String {
        guard let value = try query(statement, timeout: timeout).first?.first.flatMap({ $0 }) else {
            throw HoldfastError(.internalFault, "\(name) returned no value for: \(statement)")
        }
        return value
    }

    /// Ends the connection, from any thread; a statement that runs ends with `cancelled`.
    package func close() {
        closing.store(true, ordering: .releasing)
        connection.withLock { connection in
            if let pointer = connection.pointer { Self.drop(pointer) }
            connection.pointer = nil
        }
    }

    /// A string literal. Right for every SQL mode but NO_BACKSLASH_ESCAPES, which our sessions do not have.
    package static func literal(_ text: String) -> String {
        var result = "'"
        for scalar in text.unicodeScalars {
            switch scalar {
            case "'": result += "''"
            case "\\": result += "\\\\"
            case "\0": result += "\\0"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "'"
    }

    /// A name of a schema or table.
    package static func identifier(_ text: String) -> String {
        "`" + text.replacingOccurrences(of: "`", with: "``") + "`"
    }
}

extension MariaDBSession {
    private static func setTimeouts(_ pointer: UnsafeMutablePointer<MYSQL>, _ timeout: Duration) {
        var seconds = UInt32(min(max(timeout.components.seconds, 1), 3600))
        mysql_options(pointer, MYSQL_OPT_CONNECT_TIMEOUT, &seconds)
        // A server that stops in the middle of an answer; one that does not begin it is bounded by each call.
        var reading: UInt32 = 60
        mysql_options(pointer, MYSQL_OPT_READ_TIMEOUT, &reading)
        mysql_options(pointer, MYSQL_OPT_WRITE_TIMEOUT, &reading)
        mysql_options(pointer, MYSQL_SET_CHARSET_NAME, "utf8mb4")
        mysql_options(pointer, MYSQL_INIT_COMMAND, "SET SESSION sql_mode = '', time_zone = '+00:00'")
    }

    private static func connect(
        _ target: MariaDBTarget, name: String, timeout: Duration
    ) throws -> UnsafeMutablePointer<MYSQL> {
        guard library == 0, let pointer = mysql_init(nil) else {
            throw HoldfastError(.internalFault, "libmariadb has no memory for a connection to \(name)")
        }
        setTimeouts(pointer, timeout)
        let password = target.password?.reveal()
        let connected: UnsafeMutablePointer<MYSQL>?
        switch target.place {
        case .socket(let path):
            connected = mysql_real_connect(pointer, nil, target.user, password, target.database, 0, path, 0)
        case .address(let host, let port):
            connected = mysql_real_connect(
                pointer, host, target.user, password, target.database, UInt32(port), nil, 0)
        }
        guard connected != nil else {
            let failure = MariaDBFailure(pointer)
            mysql_close(pointer)
            throw HoldfastError(
                failure.isRefusal ? .unauthenticated : .unavailable, "\(name) does not take a connection",
                cause: failure)
        }
        return pointer
    }

    /// Closes without saying goodbye to a server that may not read.
    private static func drop(_ pointer: UnsafeMutablePointer<MYSQL>) {
        let socket = mysql_get_socket(pointer)
        if socket >= 0 { shutdown(Int32(socket), Int32(SHUT_RDWR)) }
        mysql_close(pointer)
    }

    private func run(
        _ statement: String, on pointer: UnsafeMutablePointer<MYSQL>, deadline: Deadline
    ) throws -> [[String?]] {
        guard mysql_send_query(pointer, statement, UInt(statement.utf8.count)) == 0 else { throw failure(pointer) }
        let socket = Int32(mysql_get_socket(pointer))
        // Short slices, because close() has no other way to reach a thread that waits here.
        while !deadline.wait(for: socket, events: Int16(POLLIN), atMost: 50) {
            if closing.load(ordering: .acquiring) { throw closedError() }
            if deadline.hasPassed { throw HoldfastError(.timedOut, "\(name) did not answer in time") }
        }
        guard mysql_read_query_result(pointer) == 0 else { throw failure(pointer) }
        guard let result = mysql_store_result(pointer) else {
            guard mysql_field_count(pointer) == 0 else { throw failure(pointer) }
            return []
        }
        defer { mysql_free_result(result) }
        let count = Int(mysql_num_fields(result))
        var rows: [[String?]] = []
        while let row = mysql_fetch_row(result) {
            let lengths = mysql_fetch_lengths(result)
            rows.append(
                (0..<count).map { index in
                    row[index].map { text in
                        let bytes = UnsafeRawBufferPointer(start: text, count: Int(lengths?[index] ?? 0))
                        return String(decoding: bytes, as: UTF8.self)
                    }
                })
        }
        return rows
    }

    private func failure(_ pointer: UnsafeMutablePointer<MYSQL>) -> HoldfastError {
        let cause = MariaDBFailure(pointer)
        if cause.isLoss {
            return HoldfastError(.unavailable, "the session with \(name) is lost", hint: "Try again", cause: cause)
        }
        return HoldfastError(cause.code, "\(name) refused a statement", cause: cause)
    }

    private func closedError() -> HoldfastError {
        closing.load(ordering: .acquiring)
            ? HoldfastError(.cancelled, "the session with \(name) was closed")
            : HoldfastError(.unavailable, "the session with \(name) is lost", hint: "Try again")
    }
}

/// What the server said when it refused something; see "MariaDB Error Codes" in the MariaDB documentation.
package struct MariaDBFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package let number: Int
    package let message: String

    init(_ pointer: UnsafeMutablePointer<MYSQL>) {
        number = Int(mysql_errno(pointer))
        message = String(cString: mysql_error(pointer))
    }

    package var description: String { "\(message) (error \(number))" }

    /// Access denied, for the user, the password or the database.
    var isRefusal: Bool { [1044, 1045, 1130, 1227, 1698].contains(number) }

    /// The connection is gone: the client's own numbers, and those of a server that ends or kills it.
    var isLoss: Bool { (2000..<3000).contains(number) || [1053, 1317, 1927].contains(number) }

    package var code: HoldfastError.Code {
        switch number {
        case 1205, 1969, 3024: .timedOut
        case 1021, 1114: .noSpace
        case 1034, 1035, 1194, 1195: .damaged
        case 1040, 1203: .unavailable
        case _ where isRefusal: .forbidden
        default: .system
        }
    }
}
