import Foundation
import Synchronization

/// An app behind the gateway: threads, blocking sockets, and a book of every request that it carried out.
final class TestApp: Sendable {
    struct Request: Sendable {
        var method: String
        var target: String
        var fields: [String: String]
        var body: [UInt8]
        /// Which connection of this app it came on, from 1.
        var connection: Int

        var path: String { String(target.prefix { $0 != "?" }) }
        var milliseconds: UInt32 { target.split(separator: "=").last.flatMap { UInt32($0) } ?? 0 }
    }

    private struct State {
        var listener: Int32 = -1
        var sockets: [TestSocket] = []
        var executed: [String] = []
        var running = 0
        var mostRunning = 0
        var connections = 0
    }

    typealias Handler = @Sendable (Request, TestSocket) throws -> Bool

    let port: Int
    private let state = Mutex(State())
    private let idleMilliseconds: Int32

    /// - Parameters:
    ///   - idleMilliseconds: how long a connection may rest before the app closes it; -1 for ever.
    ///   - handler: answers a request itself and says whether the connection goes on; without one, see `standard`.
    init(port: Int = 0, idleMilliseconds: Int32 = -1, handler: @escaping Handler = TestApp.standard) throws {
        self.idleMilliseconds = idleMilliseconds
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(port)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, length) == 0 && listen(descriptor, 512) == 0
                    && getsockname(descriptor, raw, &length) == 0
            }
        }
        guard result else { throw SocketFailure("listen") }
        self.port = Int(UInt16(bigEndian: address.sin_port))
        state.withLock { $0.listener = descriptor }
        Thread { [self] in accept(descriptor, handler) }.start()
    }

    /// Listens on a Unix socket instead.
    init(unix path: String) throws {
        port = 0
        idleMilliseconds = -1
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(descriptor, 16) == 0
            }
        }
        guard result else { throw SocketFailure("listen") }
        state.withLock { $0.listener = descriptor }
        Thread { [self] in accept(descriptor, Self.standard) }.start()
    }

    deinit { stop() }

    var executed: [String] { state.withLock { $0.executed } }
    var connections: Int { state.withLock { $0.connections } }
    var mostRunning: Int { state.withLock { $0.mostRunning } }
    var running: Int { state.withLock { $0.running } }

    func stop() {
        state.withLock { state in
            guard state.listener >= 0 else { return }
            shutdown(state.listener, Int32(SHUT_RDWR))
            close(state.listener)
            state.listener = -1
            for socket in state.sockets { shutdown(socket.descriptor, Int32(SHUT_RDWR)) }
            state.sockets = []
        }
    }

    private func accept(_ listener: Int32, _ handler: @escaping Handler) {
        while true {
            let descriptor = Foundation.accept(listener, nil, nil)
            if descriptor < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            let socket = TestSocket(descriptor: descriptor)
            let number = state.withLock { state in
                state.sockets.append(socket)
                state.connections += 1
                return state.connections
            }
            Thread { [self] in
                serve(socket, number, handler)
                shutdown(socket.descriptor, Int32(SHUT_RDWR))
                state.withLock { state in state.sockets.removeAll { $0 === socket } }
            }.start()
        }
    }

    private func serve(_ socket: TestSocket, _ number: Int, _ handler: Handler) {
        do {
            while idleMilliseconds < 0 || socket.hasInput(within: idleMilliseconds) {
                guard let head = try socket.readHead() else { return }
                let words = head.first.split(separator: " ").map(String.init)
                guard words.count == 3 else { return }
                if head.fields["expect"] == "100-continue" { try socket.send("HTTP/1.1 100 Continue\r\n\r\n") }
                let body = try socket.readBody(head.fields, untilEnd: false)
                let request = Request(
                    method: words[0], target: words[1], fields: head.fields, body: body, connection: number)
                begin(request)
                defer { state.withLock { $0.running -= 1 } }
                guard try handler(request, socket) else { return }
            }
        } catch {
            // The other side went away; what was carried out is in the book.
        }
    }

    private func begin(_ request: Request) {
        state.withLock { state in
            state.executed.append(request.target)
            state.running += 1
            state.mostRunning = max(state.mostRunning, state.running)
        }
    }

    static func reply(_ body: String, _ socket: TestSocket, fields: String = "") throws {
        try socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)")
    }

    /// `/slow?ms=N` takes that long; `/fields` answers with the fields it got; all else with target and body.
    static let standard: Handler = { request, socket in
        switch request.path {
        case "/slow":
            usleep(request.milliseconds * 1000)
            try reply("slow", socket)
        case "/fields":
            let lines = request.fields.map { "\($0.key): \($0.value)" }.sorted()
            try reply(lines.joined(separator: "\n"), socket)
        default:
            let body = request.method + " " + request.target + " " + String(decoding: request.body, as: UTF8.self)
            if request.method == "HEAD" {
                try socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n")
            } else {
                try reply(body, socket)
            }
        }
        return true
    }
}
