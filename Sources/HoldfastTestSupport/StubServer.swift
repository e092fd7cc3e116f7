import Foundation
import HoldfastModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A small HTTP/1.1 server on a free loopback port whose answers a test writes. One thread per connection,
/// keep-alive, bodies with a length; enough for tests of clients, and for nothing else.
package final class StubServer: Sendable {
    package struct Request: Sendable {
        package var method: String
        /// With its query.
        package var target: String
        /// Names in lower case.
        package var headers: [String: String]
        package var body: String
        /// Which connection it came on, from 1.
        package var connection: Int

        package var path: String { String(target.prefix { $0 != "?" }) }
    }

    package struct Reply: Sendable {
        var status: Int
        var headers: [String: String]
        var pieces: [Piece]
        var hasLength: Bool

        enum Piece: Sendable {
            case bytes(String)
            case wait(seconds: Double)
        }

        /// A whole answer.
        package init(_ status: Int = 200, _ body: String = "", headers: [String: String] = [:]) {
            self.status = status
            self.headers = headers
            pieces = [.bytes(body)]
            hasLength = true
        }

        /// An answer without a length, in pieces, whose end is the end of the connection.
        package static func stream(_ pieces: [String], silence seconds: Double = 0) -> Reply {
            var reply = Reply()
            reply.pieces = pieces.map(Piece.bytes) + (seconds > 0 ? [.wait(seconds: seconds)] : [])
            reply.hasLength = false
            return reply
        }

        /// The connection ends without an answer.
        package static let none = Reply(0)

        /// The same answer, later.
        package func after(seconds: Double) -> Reply {
            var reply = self
            reply.pieces.insert(.wait(seconds: seconds), at: 0)
            return reply
        }
    }

    private struct State {
        var requests: [Request] = []
        var connections: [Int32] = []
        var connectionCount = 0
    }

    package let port: Int
    private let listener: Int32
    private let state = Mutex(State())
    private let answer: @Sendable (Request) -> Reply

    /// - Throws: `system` if there is no socket to be had.
    package init(_ answer: @escaping @Sendable (Request) -> Reply) throws {
        self.answer = answer
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 && listen(descriptor, 128) == 0
                    && getsockname(descriptor, generic, &length) == 0
            }
        }
        guard isBound else { throw HoldfastError(.system, "no socket for a stub server: errno \(errno)") }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread { [self] in acceptAll() }.start()
    }

    package var url: String { "http://127.0.0.1:\(port)" }

    /// Everything that was asked so far.
    package var requests: [Request] { state.withLock { $0.requests } }

    package var connectionCount: Int { state.withLock { $0.connectionCount } }

    /// Ends all connections; new ones are refused.
    package func stop() {
        // The accepting thread closes it: the number of a closed socket may be another server's at once.
        shutdown(listener, Int32(SHUT_RDWR))
        state.withLock { state in
            for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
            state.connections = []
        }
    }

    private func acceptAll() {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { break }
            let number = state.withLock { state in
                state.connections.append(connection)
                state.connectionCount += 1
                return state.connectionCount
            }
            Thread { [self] in serve(connection, number: number) }.start()
        }
        close(listener)
    }

    private func serve(_ connection: Int32, number: Int) {
        var buffer: [UInt8] = []
        while let request = readRequest(from: connection, into: &buffer, number: number) {
            state.withLock { $0.requests.append(request) }
            guard send(answer(request), to: connection) else { break }
        }
        state.withLock { $0.connections.removeAll { $0 == connection } }
        close(connection)
    }

    private func readRequest(from connection: Int32, into buffer: inout [UInt8], number: Int) -> Request? {
        let mark = Array("\r\n\r\n".utf8)
        var end = buffer.firstRange(of: mark)
        while end == nil {
            guard receive(from: connection, into: &buffer) else { return nil }
            end = buffer.firstRange(of: mark)
        }
        guard let end else { return nil }
        let lines = String(decoding: buffer[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        buffer.removeSubrange(..<end.upperBound)
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            if parts.count == 2 { headers[parts[0].lowercased()] = parts[1] }
        }
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while buffer.count < length {
            guard receive(from: connection, into: &buffer) else { return nil }
        }
        let body = String(decoding: buffer[..<length], as: UTF8.self)
        buffer.removeSubrange(..<length)
        let words = lines[0].split(separator: " ").map(String.init)
        guard words.count == 3 else { return nil }
        return Request(method: words[0], target: words[1], headers: headers, body: body, connection: number)
    }

    private func receive(from connection: Int32, into buffer: inout [UInt8]) -> Bool {
        var piece = [UInt8](repeating: 0, count: 16_384)
        let count = recv(connection, &piece, piece.count, 0)
        guard count > 0 else { return false }
        buffer.append(contentsOf: piece[..<count])
        return true
    }

    /// - Returns: whether the connection goes on.
    private func send(_ reply: Reply, to connection: Int32) -> Bool {
        guard reply.status > 0 else { return false }
        var head = "HTTP/1.1 \(reply.status) Stub\r\n"
        for (name, value) in reply.headers { head += "\(name): \(value)\r\n" }
        if reply.hasLength {
            let length = reply.pieces.reduce(0) { total, piece in
                if case .bytes(let text) = piece { total + text.utf8.count } else { total }
            }
            head += "Content-Length: \(length)\r\n"
        } else {
            head += "Connection: close\r\n"
        }
        var isHeadSent = false
        for piece in reply.pieces {
            switch piece {
            case .wait(let seconds): Thread.sleep(forTimeInterval: seconds)
            case .bytes(let text):
                guard write((isHeadSent ? "" : head + "\r\n") + text, to: connection) else { return false }
                isHeadSent = true
            }
        }
        return reply.hasLength
    }

    private func write(_ text: String, to connection: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}
