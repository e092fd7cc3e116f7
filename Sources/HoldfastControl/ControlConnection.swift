import CHoldfastSystem
import Foundation
import HoldfastModel
import Synchronization

/// The client's side of one connection. Calls from several threads are made one after another.
package final class ControlConnection: Sendable {
    private let path: String
    private let descriptor: Mutex<Int32>
    /// The descriptor again, for `close()` while another thread is in a call; -1 when closed.
    private let open: Mutex<Int32>

    /// Connects and looks who listens.
    ///
    /// - Parameter timeout: of the connecting.
    /// - Throws: `unavailable` if nobody listens, `forbidden` if it is another user's process.
    package convenience init(path: String, timeout: Duration = .seconds(5)) throws {
        try self.init(path: path, timeout: timeout, isTrusted: { Peer.isTrusted(uid: $0, own: geteuid()) })
    }

    package init(path: String, timeout: Duration, isTrusted: (UInt32) -> Bool) throws {
        let socket = holdfast_unix_connect(path, Int32(clamping: max(1, timeout.wholeMilliseconds)))
        guard socket >= 0 else {
            throw HoldfastError(
                socket == -EACCES ? .forbidden : .unavailable,
                "cannot connect to '\(path)': \(String(cString: strerror(-socket)))",
                hint: "Look whether the process that listens there runs")
        }
        do {
            guard isTrusted(try Peer(of: socket).uid) else {
                throw HoldfastError(
                    .forbidden, "'\(path)' belongs to a process of another user",
                    hint: "Run the command as the user that runs holdfast")
            }
        } catch {
            Foundation.close(socket)
            throw error
        }
        self.path = path
        descriptor = Mutex(socket)
        open = Mutex(socket)
    }

    deinit {
        descriptor.withLock { if $0 >= 0 { Foundation.close($0) } }
    }

    /// Asks and waits for the answer.
    ///
    /// After a time-out or a broken frame the connection is closed: a late answer must not be taken for another one's.
    ///
    /// - Throws: what the other side threw, `timedOut`, `unavailable` if the connection broke.
    package func call<Question: Encodable, Answer: Decodable>(
        _ question: Question, timeout: Duration = .seconds(30)
    ) throws -> Answer {
        let body = try Control.encode(question)
        let answer = try exchange(body, timeout: timeout)
        if let failure = try? Control.decode(ControlFailure.self, from: answer) { throw failure.holdfastError }
        return try Control.decode(Answer.self, from: answer)
    }

    /// Sends one frame's body and returns the answer's; errors are not looked for.
    package func exchange(_ body: Data, timeout: Duration) throws -> Data {
        try descriptor.withLock { socket in
            guard socket >= 0, open.withLock({ $0 >= 0 }) else { throw gone("is closed") }
            let stream = FrameStream(descriptor: socket)
            do {
                try stream.write(body, timeout: timeout)
                guard let answer = try stream.read(timeout: timeout) else { throw gone("was ended by the other side") }
                return answer
            } catch {
                open.withLock { $0 = -1 }
                Foundation.close(socket)
                socket = -1
                throw error
            }
        }
    }

    /// Ends the connection at once, also under a call of another thread, which then fails. May be called again.
    package func close() {
        open.withLock { socket in
            guard socket >= 0 else { return }
            shutdown(socket, Int32(SHUT_RDWR))
            socket = -1
        }
    }

    private func gone(_ what: String) -> HoldfastError {
        HoldfastError(.unavailable, "the control connection to '\(path)' \(what)")
    }
}
