import Foundation
import HoldfastModel

/// One connection to a Redis or Valkey server, used by one thread at a time; every call is bounded.
///
/// Source: "Redis serialization protocol specification", version 2.
package final class RedisSession: Sendable {
    /// What a server answers.
    package enum Reply: Sendable, Hashable {
        case text(String)
        case number(Int)
        case list([Reply])
        case none

        package var string: String? {
            switch self {
            case .text(let text): text
            case .number(let number): String(number)
            case .list, .none: nil
            }
        }
    }

    private let socket: LineSocket
    private let name: String
    private let time: any TimeSource

    /// Connects to a Unix socket and logs in.
    ///
    /// - Throws: `unavailable` if nobody answers, `unauthenticated` if the password is wrong.
    package convenience init(
        socket: String, user: String, password: Secret, name: String, time: any TimeSource
    ) throws {
        try self.init(.socket(socket), user: user, password: password, name: name, time: time)
    }

    /// Connects to a port of this machine and logs in, as an app does.
    package convenience init(
        port: Int, user: String, password: Secret, name: String, time: any TimeSource
    ) throws {
        try self.init(.port(port), user: user, password: password, name: name, time: time)
    }

    private init(
        _ place: LineSocket.Place, user: String, password: Secret, name: String, time: any TimeSource
    ) throws {
        socket = try LineSocket(place, name: name, time: time)
        self.name = name
        self.time = time
        do {
            try call(["AUTH", user, password.reveal()], timeout: .seconds(10))
        } catch let error as HoldfastError where (error.cause as? RedisFailure)?.kind == "WRONGPASS" {
            throw HoldfastError(.unauthenticated, "\(name) does not let user '\(user)' in", cause: error.cause)
        }
    }

    /// Sends a command and waits for its answer.
    ///
    /// - Throws: `timedOut`, `cancelled`, `unavailable`, or what the server's error stands for, with a `RedisFailure`.
    @discardableResult
    package func call(_ command: [String], timeout: Duration) throws -> Reply {
        let deadline = Deadline(after: timeout, time: time)
        var request = "*\(command.count)\r\n"
        for part in command { request += "$\(part.utf8.count)\r\n\(part)\r\n" }
        try socket.send(Array(request.utf8), deadline)
        return try reply(deadline, depth: 0)
    }

    /// The fields of `INFO <section>`.
    package func info(_ section: String, timeout: Duration) throws -> [String: String] {
        var fields: [String: String] = [:]
        let text = try call(["INFO", section], timeout: timeout).string ?? ""
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
        }
        return fields
    }

    /// Ends the connection, from any thread.
    package func close() { socket.close() }

    private func reply(_ deadline: Deadline, depth: Int) throws -> Reply {
        let line = try socket.line(deadline)
        let rest = String(line.dropFirst())
        switch line.first {
        case "+": return .text(rest)
        case "-":
            let failure = RedisFailure(message: rest)
            throw HoldfastError(failure.code, "\(name) refused a command", cause: failure)
        case ":": return .number(Int(rest) ?? 0)
        case "$":
            guard let count = Int(rest), count >= 0 else { return .none }
            let bytes = try socket.block(count + 2, deadline)
            return .text(String(decoding: bytes.dropLast(2), as: UTF8.self))
        case "*" where depth < 8:
            guard let count = Int(rest), count >= 0 else { return .none }
            var items: [Reply] = []
            for _ in 0..<count { items.append(try reply(deadline, depth: depth + 1)) }
            return .list(items)
        default: throw HoldfastError(.damaged, "\(name) does not answer as Redis does: '\(line.prefix(80))'")
        }
    }
}

/// An error that the server answered with.
package struct RedisFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package let message: String

    /// The first word, such as `WRONGPASS`, `LOADING` or `ERR`.
    package var kind: String { String(message.prefix { $0 != " " }) }
    package var description: String { message }

    package var code: HoldfastError.Code {
        switch kind {
        case "NOPERM", "NOAUTH", "WRONGPASS": .forbidden
        case "LOADING", "BUSY", "MASTERDOWN": .unavailable
        case "OOM", "MISCONF": .noSpace
        default: .system
        }
    }
}
