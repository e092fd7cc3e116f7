import Foundation
import HoldfastModel
import Synchronization

/// A connection to a server that speaks in lines, used by one thread at a time; every call is bounded.
package final class LineSocket: Sendable {
    package enum Place: Sendable, Hashable {
        /// Absolute path of a Unix socket.
        case socket(String)
        /// On the loopback address.
        case port(Int)
    }

    private struct Buffer {
        var bytes: [UInt8] = []
        var position = 0
    }

    /// Lines and blocks longer than this are refused.
    private static let limit = 64 << 20

    private let descriptor: Int32
    private let name: String
    private let time: any TimeSource
    private let buffer = Mutex(Buffer())
    private let closing = Atomic<Bool>(false)

    /// Connects.
    ///
    /// - Parameter name: what errors call the server, such as `service 'cache'`.
    /// - Throws: `unavailable` if nobody listens there.
    package init(_ place: Place, name: String, time: any TimeSource) throws {
        self.name = name
        self.time = time
        let family: Int32
        switch place {
        case .socket: family = AF_UNIX
        case .port: family = AF_INET
        }
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemFailure.error("make a socket") }
        let result = Self.connect(descriptor, place)
        let number = errno
        guard result == 0 else {
            Foundation.close(descriptor)
            throw HoldfastError(
                .unavailable, "\(name) does not take a connection: \(String(cString: strerror(number)))")
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        self.descriptor = descriptor
    }

    deinit { Foundation.close(descriptor) }

    /// Writes a text.
    package func send(_ text: String, timeout: Duration) throws {
        try send(Array(text.utf8), Deadline(after: timeout, time: time))
    }

    /// The next line without its end.
    package func line(timeout: Duration) throws -> String { try line(Deadline(after: timeout, time: time)) }

    /// Writes all bytes.
    func send(_ bytes: [UInt8], _ deadline: Deadline) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[sent...])
                return Foundation.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN || errno == EINTR {
                try wait(Int16(POLLOUT), deadline)
            } else {
                throw lost()
            }
        }
    }

    /// The next line without its end, which is CR LF or LF.
    func line(_ deadline: Deadline) throws -> String {
        try buffer.withLock { buffer in
            var searched = buffer.position
            while true {
                if let end = buffer.bytes[searched...].firstIndex(of: 10) {
                    var line = buffer.bytes[buffer.position..<end]
                    if line.last == 13 { line = line.dropLast() }
                    buffer.position = end + 1
                    return String(decoding: line, as: UTF8.self)
                }
                searched = buffer.bytes.count - Self.compact(&buffer)
                try fill(&buffer, deadline)
            }
        }
    }

    /// The next bytes.
    func block(_ count: Int, _ deadline: Deadline) throws -> [UInt8] {
        guard count <= Self.limit else { throw HoldfastError(.damaged, "\(name) answers with \(count) bytes") }
        return try buffer.withLock { buffer in
            while buffer.bytes.count - buffer.position < count {
                _ = Self.compact(&buffer)
                try fill(&buffer, deadline)
            }
            defer { buffer.position += count }
            return Array(buffer.bytes[buffer.position..<(buffer.position + count)])
        }
    }

    /// All that comes until the server closes the connection.
    func rest(_ deadline: Deadline) throws -> [UInt8] {
        try buffer.withLock { buffer in
            while try read(&buffer, deadline) {}
            defer { buffer.position = buffer.bytes.count }
            return Array(buffer.bytes[buffer.position...])
        }
    }

    /// From any thread: whoever waits in a call gets `cancelled`.
    package func close() {
        closing.store(true, ordering: .releasing)
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Forgets what was read; answers how many bytes that were.
    private static func compact(_ buffer: inout Buffer) -> Int {
        let count = buffer.position
        buffer.bytes.removeFirst(count)
        buffer.position = 0
        return count
    }

    private func fill(_ buffer: inout Buffer, _ deadline: Deadline) throws {
        guard try read(&buffer, deadline) else { throw lost() }
    }

    /// Reads what is there, at least one byte; false at the end.
    private func read(_ buffer: inout Buffer, _ deadline: Deadline) throws -> Bool {
        guard buffer.bytes.count < Self.limit else { throw HoldfastError(.damaged, "\(name) answers without an end") }
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                buffer.bytes += chunk[..<count]
                return true
            }
            if count == 0 { return false }
            guard errno == EAGAIN || errno == EINTR else { throw lost() }
            try wait(Int16(POLLIN), deadline)
        }
    }

    private func wait(_ events: Int16, _ deadline: Deadline) throws {
        while !deadline.wait(for: descriptor, events: events, atMost: 1000) {
            if closing.load(ordering: .acquiring) { throw lost() }
            if deadline.hasPassed { throw HoldfastError(.timedOut, "\(name) did not answer in time") }
        }
    }

    private func lost() -> HoldfastError {
        closing.load(ordering: .acquiring)
            ? HoldfastError(.cancelled, "the session with \(name) was closed")
            : HoldfastError(.unavailable, "the session with \(name) is lost", hint: "Try again")
    }

    private static func connect(_ descriptor: Int32, _ place: Place) -> Int32 {
        switch place {
        case .port(let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .socket(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
                errno = ENAMETOOLONG
                return -1
            }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }
}
