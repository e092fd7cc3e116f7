import Foundation
import HoldfastControl
import HoldfastModel
import Synchronization
import Testing

/// What tests ask their sessions for.
private enum Question: Codable {
    case echo(String)
    case fail
    case wait(milliseconds: UInt32)
}

private struct Answer: Codable, Equatable { var text: String }

/// What sessions were told, seen from the test.
private final class Ledger: Sendable {
    struct State {
        var opened = 0
        var closed = 0
    }
    private let state = Mutex(State())
    var opened: Int { state.withLock { $0.opened } }
    var closed: Int { state.withLock { $0.closed } }
    func open() { state.withLock { $0.opened += 1 } }
    func close() { state.withLock { $0.closed += 1 } }
}

private final class EchoSession: ControlSession {
    private let ledger: Ledger

    init(_ ledger: Ledger) {
        self.ledger = ledger
        ledger.open()
    }

    func handle(_ frame: Data) throws -> Data {
        switch try Control.decode(Question.self, from: frame) {
        case .echo(let text): return try Control.encode(Answer(text: text))
        case .fail: throw HoldfastError(.locked, "the thing 'x' is locked", hint: "Wait for it")
        case .wait(let milliseconds):
            usleep(milliseconds * 1000)
            return try Control.encode(Answer(text: "late"))
        }
    }

    func connectionClosed() { ledger.close() }
}

/// A server on a socket of its own; gone with the test.
private final class Playground {
    let path = "/tmp/hf-control-\(UInt64.random(in: 0...UInt64.max)).sock"
    let ledger = Ledger()
    let server: ControlServer

    init(isTrusted: @escaping @Sendable (UInt32) -> Bool = { $0 == geteuid() }) throws {
        let ledger = ledger
        server = ControlServer(path: path, isTrusted: isTrusted) { EchoSession(ledger) }
        try server.start()
    }

    deinit { server.stop() }

    func connect() throws -> ControlConnection { try ControlConnection(path: path) }
}

/// Waits until something is true; false after five seconds.
private func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<1000 {
        if condition() { return true }
        usleep(5000)
    }
    return condition()
}

/// A connected socket without our framing.
private func rawSocket(_ path: String) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { buffer in buffer.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    try #require(result == 0)
    return descriptor
}

private func send(_ bytes: [UInt8], to descriptor: Int32) {
    _ = Foundation.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
}

/// Whether the other side has ended the connection.
private func isAtEnd(_ descriptor: Int32) -> Bool {
    var byte: UInt8 = 0
    return eventually {
        let count = recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }
}

@Suite(.serialized) struct ControlTests {
    @Test func `a call is answered, and one connection carries many`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        for number in 0..<100 {
            let answer: Answer = try connection.call(Question.echo("\(number)"))
            #expect(answer.text == "\(number)")
        }
        #expect(playground.ledger.opened == 1)
    }

    @Test func `frames of some megabytes go both ways, larger ones are refused unsent`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let text = String(repeating: "x", count: 5 << 20)
        let answer: Answer = try connection.call(Question.echo(text))
        #expect(answer.text == text)
        let error = #expect(throws: HoldfastError.self) {
            let _: Answer = try connection.call(Question.echo(String(repeating: "x", count: 17 << 20)))
        }
        #expect(error?.code == .invalidInput)
    }

    @Test func `an error comes out as it was thrown, and the connection goes on`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let error = #expect(throws: HoldfastError.self) { let _: Answer = try connection.call(Question.fail) }
        #expect(error?.code == .locked)
        #expect(error?.message == "the thing 'x' is locked")
        #expect(error?.hint == "Wait for it")
        let answer: Answer = try connection.call(Question.echo("still"))
        #expect(answer.text == "still")
    }

    @Test func `a message of another kind is an error, not an end`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let error = #expect(throws: HoldfastError.self) { let _: Answer = try connection.call(["nonsense": 1]) }
        #expect(error?.code == .invalidInput)
        let answer: Answer = try connection.call(Question.echo("still"))
        #expect(answer.text == "still")
    }

    @Test func `the end of a connection is told to its session once`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let _: Answer = try connection.call(Question.echo("x"))
        #expect(playground.ledger.closed == 0)
        connection.close()
        connection.close()
        #expect(eventually { playground.ledger.closed == 1 })
        #expect(eventually { playground.server.connectionCount == 0 })
        #expect(throws: HoldfastError.self) { let _: Answer = try connection.call(Question.echo("x")) }
    }

    @Test func `a torn frame ends the connection and the session hears of it`() throws {
        let playground = try Playground()
        let descriptor = try rawSocket(playground.path)
        send([0, 0, 0, 100, 65, 66], to: descriptor)
        usleep(20000)
        shutdown(descriptor, Int32(SHUT_WR))
        #expect(isAtEnd(descriptor))
        close(descriptor)
        #expect(eventually { playground.ledger.closed == 1 })
        let answer: Answer = try playground.connect().call(Question.echo("next"))
        #expect(answer.text == "next")
    }

    @Test func `an oversized frame ends the connection before its body is read`() throws {
        let playground = try Playground()
        let descriptor = try rawSocket(playground.path)
        send([0xff, 0xff, 0xff, 0xff], to: descriptor)
        #expect(isAtEnd(descriptor))
        close(descriptor)
        #expect(eventually { playground.ledger.closed == 1 })
    }

    @Test func `a frame may come in small pieces`() throws {
        let playground = try Playground()
        let descriptor = try rawSocket(playground.path)
        defer { close(descriptor) }
        let body = Array(#"{"echo":{"_0":"slow"}}"#.utf8)
        for byte in [0, 0, 0, UInt8(body.count)] + body {
            send([byte], to: descriptor)
            usleep(500)
        }
        var answer = [UInt8](repeating: 0, count: 200)
        #expect(eventually { recv(descriptor, &answer, 200, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 4 })
        let count = recv(descriptor, &answer, 200, 0)
        #expect(String(decoding: answer[4..<max(4, count)], as: UTF8.self) == #"{"text":"slow"}"#)
    }

    @Test func `who is not trusted gets no session`() throws {
        let playground = try Playground(isTrusted: { _ in false })
        let error = #expect(throws: HoldfastError.self) {
            let _: Answer = try playground.connect().call(Question.echo("x"))
        }
        #expect(error?.code == .forbidden || error?.code == .unavailable)
        #expect(playground.ledger.opened == 0)
    }

    @Test func `a client does not speak to a server of another user`() throws {
        let playground = try Playground()
        let error = #expect(throws: HoldfastError.self) {
            _ = try ControlConnection(path: playground.path, timeout: .seconds(1), isTrusted: { _ in false })
        }
        #expect(error?.code == .forbidden)
    }

    /// In a directory that everybody may write to, another user may have been there first.
    @Test(.enabled(if: geteuid() == 0)) func `nothing is sent to a server that another user has put in our place`()
        throws
    {
        let folder = "/tmp/hf-other-\(UInt32.random(in: 0 ... .max))"
        mkdir(folder, 0o1777)
        chmod(folder, 0o1777)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let script = """
            import os, socket, sys
            os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534); os.umask(0)
            s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen()
            c, _ = s.accept(); data = c.recv(100)
            with open('heard.new', 'wb') as f: f.write(b'%d' % len(data))
            os.rename('heard.new', 'heard')
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script, folder]
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        #expect(eventually { access("\(folder)/sock", F_OK) == 0 })
        // It is bound a moment before it listens.
        var error: HoldfastError?
        for _ in 0..<100 where error == nil || error?.code == .unavailable {
            error = #expect(throws: HoldfastError.self) {
                let connection = try ControlConnection(path: "\(folder)/sock")
                let _: Answer = try connection.call(Question.echo("secret"))
            }
            usleep(20_000)
        }
        #expect(error?.code == .forbidden)
        #expect(eventually { access("\(folder)/heard", F_OK) == 0 })
        #expect(try String(contentsOfFile: "\(folder)/heard", encoding: .utf8) == "0")
    }

    @Test func `the socket can be used by its owner only`() throws {
        let playground = try Playground()
        var status = stat()
        #expect(lstat(playground.path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func `an answer that is late fails the call and is never taken for another one`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let error = #expect(throws: HoldfastError.self) {
            let _: Answer = try connection.call(Question.wait(milliseconds: 300), timeout: .milliseconds(50))
        }
        #expect(error?.code == .timedOut)
        usleep(350_000)
        let second = #expect(throws: HoldfastError.self) { let _: Answer = try connection.call(Question.echo("x")) }
        #expect(second?.code == .unavailable)
    }

    @Test func `closing ends a call of another thread at once`() async throws {
        let playground = try Playground()
        let connection = try playground.connect()
        startThread("closer") {
            usleep(50000)
            connection.close()
        }
        await #expect(throws: HoldfastError.self) {
            try await offload("call") {
                let _: Answer = try connection.call(Question.wait(milliseconds: 4000), timeout: .seconds(10))
            }
        }
    }

    @Test func `connections do not wait for each other`() async throws {
        let playground = try Playground()
        let (slow, fast) = (try playground.connect(), try playground.connect())
        async let late: Answer = offload("slow") { try slow.call(Question.wait(milliseconds: 1000)) }
        usleep(50000)
        let answer: Answer = try fast.call(Question.echo("now"), timeout: .milliseconds(500))
        #expect(answer.text == "now")
        #expect(try await late.text == "late")
    }

    @Test func `stopping ends all connections and frees the path`() throws {
        let playground = try Playground()
        let connection = try playground.connect()
        let _: Answer = try connection.call(Question.echo("x"))
        playground.server.stop()
        #expect(eventually { playground.ledger.closed == 1 })
        #expect(access(playground.path, F_OK) != 0)
        #expect(throws: HoldfastError.self) { let _: Answer = try connection.call(Question.echo("x")) }
    }

    @Test func `a socket file that nobody listens on is replaced`() throws {
        let playground = try Playground()
        playground.server.stop()
        // As a process that was killed leaves it.
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: playground.path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = bind(descriptor, $0, size) }
        }
        close(descriptor)
        #expect(access(playground.path, F_OK) == 0)
        let ledger = playground.ledger
        let next = ControlServer(path: playground.path) { EchoSession(ledger) }
        try next.start()
        defer { next.stop() }
        let answer: Answer = try playground.connect().call(Question.echo("next"))
        #expect(answer.text == "next")
    }

    @Test func `a server that listens is never pushed aside`() throws {
        let playground = try Playground()
        let ledger = playground.ledger
        let second = ControlServer(path: playground.path) { EchoSession(ledger) }
        let error = #expect(throws: HoldfastError.self) { try second.start() }
        #expect(error?.code == .conflict)
        let answer: Answer = try playground.connect().call(Question.echo("first"))
        #expect(answer.text == "first")
    }

    @Test func `a file that is no socket is not removed`() throws {
        let path = "/tmp/hf-control-\(UInt64.random(in: 0...UInt64.max)).txt"
        try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
        defer { unlink(path) }
        let ledger = Ledger()
        let error = #expect(throws: HoldfastError.self) {
            try ControlServer(path: path) { EchoSession(ledger) }.start()
        }
        #expect(error?.code == .conflict)
        #expect(FileManager.default.contents(atPath: path) == Data("mine".utf8))
    }

    @Test func `a path that is too long for a socket is refused with its length`() throws {
        let ledger = Ledger()
        let path = "/tmp/" + String(repeating: "a", count: 103)
        let error = #expect(throws: HoldfastError.self) {
            try ControlServer(path: path) { EchoSession(ledger) }.start()
        }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.contains("108 bytes") == true)
    }

    @Test func `nobody there is unavailable`() throws {
        let error = #expect(throws: HoldfastError.self) { _ = try ControlConnection(path: "/tmp/hf-nobody.sock") }
        #expect(error?.code == .unavailable)
    }

    @Test func `offloaded work gives its result or its error`() async throws {
        #expect(try await offload("sum") { 1 + 1 } == 2)
        let error = await #expect(throws: HoldfastError.self) {
            try await offload("fail") { throw HoldfastError(.noSpace, "full") }
        }
        #expect(error?.code == .noSpace)
    }
}
