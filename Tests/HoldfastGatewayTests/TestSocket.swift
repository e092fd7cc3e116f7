import Foundation
import Synchronization

struct SocketFailure: Error, CustomStringConvertible {
    let description: String
    init(_ what: String) { description = "\(what): \(String(cString: strerror(errno)))" }
}

/// A blocking loopback connection that speaks HTTP/1.1 as plainly as a test wants to see it.
final class TestSocket: @unchecked Sendable {
    let descriptor: Int32
    private var buffer: [UInt8] = []
    private var isOpen = true

    init(descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    convenience init(port: Int) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SocketFailure("socket") }
        var address = loopback(port)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            Foundation.close(descriptor)
            throw SocketFailure("connect to \(port)")
        }
        self.init(descriptor: descriptor)
    }

    deinit { close() }

    func close() {
        if isOpen { Foundation.close(descriptor) }
        isOpen = false
    }

    /// Ends the connection so that the other side gets a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Foundation.send(
                    descriptor, raw.baseAddress?.advanced(by: offset), raw.count - offset, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw SocketFailure("send") }
            offset += count
        }
    }

    /// Nil at the end of the connection.
    func readSome() throws -> [UInt8]? {
        if !buffer.isEmpty {
            defer { buffer = [] }
            return buffer
        }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw SocketFailure("recv") }
        return count == 0 ? nil : Array(bytes[..<count])
    }

    /// Whether anything (also the end) comes within that time.
    func hasInput(within milliseconds: Int32) -> Bool {
        if !buffer.isEmpty { return true }
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&poller, 1, milliseconds) > 0
    }

    func readLine() throws -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = buffer[..<end].filter { $0 != 13 }
                buffer.removeFirst(end + 1)
                return String(decoding: line, as: UTF8.self)
            }
            let pending = buffer
            buffer = []
            guard let more = try readSome() else { return nil }
            buffer = pending + more
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            let pending = buffer
            buffer = []
            guard let more = try readSome() else { throw SocketFailure("the end came early") }
            buffer = pending + more
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    func readToEnd() throws -> [UInt8] {
        var all: [UInt8] = []
        while let more = try readSome() { all += more }
        return all
    }

    /// First line and fields (names in lower case); nil at the end of the connection.
    func readHead() throws -> (first: String, fields: [String: String])? {
        guard let first = try readLine() else { return nil }
        var fields: [String: String] = [:]
        while let line = try readLine(), !line.isEmpty {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { throw SocketFailure("'\(line)' is no field") }
            fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        return (first, fields)
    }

    func readBody(_ fields: [String: String], untilEnd: Bool) throws -> [UInt8] {
        if fields["transfer-encoding"] == "chunked" {
            var body: [UInt8] = []
            while let line = try readLine(), let size = Int(line, radix: 16) {
                if size == 0 {
                    while let trailer = try readLine(), !trailer.isEmpty {}
                    return body
                }
                body += try readExactly(size)
                _ = try readLine()
            }
            throw SocketFailure("the end came in the middle of a chunked body")
        }
        if let length = fields["content-length"].flatMap(Int.init) { return try readExactly(length) }
        return untilEnd ? try readToEnd() : []
    }

    struct Response {
        var status: Int
        var fields: [String: String]
        var body: String
    }

    func readResponse(toHead: Bool = false) throws -> Response {
        guard let head = try readHead() else { throw SocketFailure("no response, the connection ended") }
        let status = Int(head.first.split(separator: " ").dropFirst().first ?? "") ?? 0
        let hasBody = !toHead && status != 204 && status != 304 && status / 100 != 1
        let body = hasBody ? try readBody(head.fields, untilEnd: true) : []
        return Response(status: status, fields: head.fields, body: String(decoding: body, as: UTF8.self))
    }

    func get(_ path: String, host: String = "app.test") throws -> Response {
        try send("GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
        return try readResponse()
    }
}

func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port)).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return address
}

/// Runs blocking work on a thread of its own, so that a test does not block the pool that others run on.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try work() }) }
        thread.start()
    }
}

/// Work that has begun on a thread of its own, and whose result is wanted later.
final class Background<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ work: @escaping @Sendable () throws -> Value) {
        let thread = Thread { [self] in
            let outcome = Result { try work() }
            result.withLock { $0 = outcome }
            done.signal()
        }
        thread.start()
    }

    var isDone: Bool { result.withLock { $0 != nil } }

    /// Blocks; to be called on a thread.
    func value() throws -> Value {
        guard done.wait(timeout: .now() + 30) == .success, let outcome = result.withLock({ $0 }) else {
            throw SocketFailure("background work did not end")
        }
        done.signal()
        return try outcome.get()
    }
}
