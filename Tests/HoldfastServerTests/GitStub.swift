import Foundation
import HoldfastModel
import HoldfastServer
import Synchronization

/// Stands for `git http-backend`: what it does is written in the test.
final class GitStub: GitBackend {
    /// What an exchange does with its request.
    enum Script: Sendable {
        /// Says this at once, whatever the body is, and ends.
        case say(String)
        /// A good head at once, then every piece of the body as it came.
        case echo
        /// A good head at once; the body when the request's body is complete, or has broken off.
        case late(String)
        /// Nothing, until it is stopped.
        case silence
        /// A good head, and then no end of output.
        case flood
    }

    static let head = "Content-Type: application/x-git-test\r\nCache-Control: no-cache\r\nX-Odd: dropped\r\n\r\n"

    private let script: Script
    private let state = Mutex<(requests: [GitRequest], exchanges: [GitStubExchange])>(([], []))

    init(_ script: Script) { self.script = script }

    var requests: [GitRequest] { state.withLock { $0.requests } }
    var exchanges: [GitStubExchange] { state.withLock { $0.exchanges } }

    func start(_ request: GitRequest) throws -> any GitExchange {
        let exchange = GitStubExchange(script)
        state.withLock { state in
            state.requests.append(request)
            state.exchanges.append(exchange)
        }
        return exchange
    }
}

/// One run of the stub.
final class GitStubExchange: GitExchange, @unchecked Sendable {
    // Everything below is only touched with the condition locked.
    private let condition = NSCondition()
    private let script: GitStub.Script
    private var output: [[UInt8]] = []
    private var received = 0
    private var isClosed = false
    private var isStopped = false
    private var wasReadToTheEnd = false

    init(_ script: GitStub.Script) {
        self.script = script
        switch script {
        case .echo, .late, .flood: output = [Array(GitStub.head.utf8)]
        case .say(let text): output = text.isEmpty ? [] : [Array(text.utf8)]
        case .silence: break
        }
    }

    private var endsByItself: Bool { if case .say = script { true } else { false } }

    /// Bytes of the request's body.
    var receivedBytes: Int { locked { received } }
    var inputIsClosed: Bool { locked { isClosed } }
    var wasStopped: Bool { locked { isStopped } }
    /// Somebody has seen the end of the output, without a stop.
    var hasFinished: Bool { locked { wasReadToTheEnd && !isStopped } }

    func write(_ bytes: [UInt8]) throws {
        try locked {
            guard !isStopped else { throw HoldfastError(.unavailable, "nobody reads") }
            received += bytes.count
            if case .echo = script { output.append(bytes) }
        }
    }

    func closeInput() {
        locked {
            guard !isClosed else { return }
            isClosed = true
            switch script {
            case .late(let text): output.append(Array(text.utf8))
            case .say, .echo, .silence, .flood: break
            }
        }
    }

    func read() throws -> [UInt8] {
        locked {
            while true {
                if isStopped { return [] }
                if !output.isEmpty { return output.removeFirst() }
                if case .flood = script { return [UInt8](repeating: 65, count: 65536) }
                if case .silence = script {
                    condition.wait()
                    continue
                }
                if isClosed || endsByItself {
                    wasReadToTheEnd = true
                    return []
                }
                condition.wait()
            }
        }
    }

    /// Counts only while it runs: whoever lets go of an exchange stops it.
    func stop() { locked { isStopped = isStopped || !wasReadToTheEnd } }

    private func locked<Value>(_ body: () throws -> Value) rethrows -> Value {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        return try body()
    }
}

/// A connection that a test may cut where it likes. Blocks, on threads of its own.
final class RawConnection: Sendable {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw HoldfastError(.unavailable, "port \(port) does not answer") }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func send(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// What has come once it contains `mark`, or all until the end.
    func receive(until mark: String) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 { bytes += buffer[..<count] }
            let text = String(decoding: bytes, as: UTF8.self)
            if count <= 0 || text.contains(mark) { return text }
        }
    }

    /// Resets it, as when the client's machine is gone.
    func cut() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}

/// Runs blocking work on a thread of its own: the pool is the server's.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try work() }) }.start()
    }
}
