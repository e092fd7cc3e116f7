import CHoldfastSystem
import Foundation
import HoldfastModel
import Synchronization

/// What answers on one connection. Its calls come one after another, from a thread of the connection's own.
package protocol ControlSession: AnyObject {
    /// Answers one frame. What it throws travels back as an error; the connection goes on.
    func handle(_ frame: Data) throws -> Data
    /// The other side is gone, whatever the reason. Called once, after the last `handle`.
    func connectionClosed()
}

/// Listens on a Unix socket and gives each connection a session and a thread.
package final class ControlServer: Sendable {
    private struct State {
        var listener: Int32 = -1
        var connections: Set<Int32> = []
        var isStopped = false
    }

    private let path: String
    private let mode: mode_t
    private let maximumConnections: Int
    private let makeSession: @Sendable () -> any ControlSession
    private let isTrusted: @Sendable (uid_t) -> Bool
    private let state = Mutex(State())
    /// Becomes readable when the server stops: it ends the accepting thread.
    private let stopPipe: Mutex<(reader: Int32, writer: Int32)> = Mutex((-1, -1))

    /// - Parameters:
    ///   - path: at most 107 bytes. A socket file that nobody listens on any more is replaced.
    ///   - makeSession: called for each connection, from its thread.
    package convenience init(
        path: String, maximumConnections: Int = 256, makeSession: @escaping @Sendable () -> any ControlSession
    ) {
        self.init(
            path: path, maximumConnections: maximumConnections,
            isTrusted: { Peer.isTrusted(uid: $0, own: geteuid()) }, makeSession: makeSession)
    }

    /// - Parameter isTrusted: who may speak, by uid of the other side.
    package init(
        path: String, maximumConnections: Int = 256, isTrusted: @escaping @Sendable (UInt32) -> Bool,
        makeSession: @escaping @Sendable () -> any ControlSession
    ) {
        self.path = path
        self.mode = 0o600
        self.maximumConnections = maximumConnections
        self.isTrusted = isTrusted
        self.makeSession = makeSession
    }

    /// Begins to listen; returns at once.
    ///
    /// - Throws: `conflict` if another process listens there, `invalidInput` for a path that is too long.
    package func start() throws {
        guard path.utf8.count <= Control.maximumPath else {
            throw HoldfastError(
                .invalidInput,
                "the socket path '\(path)' has \(path.utf8.count) bytes, more than \(Control.maximumPath)",
                hint: "Choose a shorter folder for sockets")
        }
        try removeStale()
        let listener = holdfast_unix_bind(path, 0, mode)
        guard listener >= 0 else {
            throw HoldfastError(
                -listener == EADDRINUSE ? .conflict : .system,
                "cannot listen on '\(path)': \(String(cString: strerror(-listener)))")
        }
        var ends: [Int32] = [-1, -1]
        guard holdfast_pipe(&ends) == 0 else {
            close(listener)
            throw HoldfastError(.system, "cannot make a pipe (errno \(errno))")
        }
        stopPipe.withLock { $0 = (ends[0], ends[1]) }
        state.withLock { $0.listener = listener }
        let reader = ends[0]
        startThread("control") { [self] in accept(listener, until: reader) }
    }

    /// Ends all connections and the listening. Sessions hear of it by `connectionClosed`.
    package func stop() {
        let listener = state.withLock { state -> Int32 in
            state.isStopped = true
            for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
            defer { state.listener = -1 }
            return state.listener
        }
        guard listener >= 0 else { return }
        unlink(path)
        stopPipe.withLock { pipe in
            close(pipe.writer)
            pipe.writer = -1
        }
    }

    /// How many connections there are now.
    package var connectionCount: Int { state.withLock { $0.connections.count } }

    private func accept(_ listener: Int32, until stop: Int32) {
        defer {
            close(listener)
            close(stop)
        }
        while true {
            var pollers = [
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&pollers, 2, -1)
            if pollers[1].revents != 0 { return }
            guard ready > 0 else { continue }
            let connection = holdfast_accept(listener)
            if connection >= 0 {
                take(connection)
            } else if connection == -EMFILE || connection == -ENFILE || connection == -ENOMEM {
                // The connection stays in the queue; without a pause this would be a busy loop.
                usleep(50_000)
            }
        }
    }

    private func take(_ connection: Int32) {
        let isTaken = state.withLock { state in
            guard !state.isStopped, state.connections.count < maximumConnections else { return false }
            return state.connections.insert(connection).inserted
        }
        guard isTaken else {
            close(connection)
            return
        }
        startThread("control connection") { [self] in serve(connection) }
    }

    private func serve(_ connection: Int32) {
        let stream = FrameStream(descriptor: connection)
        var session: (any ControlSession)?
        defer {
            session?.connectionClosed()
            state.withLock { state in
                state.connections.remove(connection)
                close(connection)
            }
        }
        do {
            guard isTrusted(try Peer(of: connection).uid) else {
                let refusal = HoldfastError(
                    .forbidden, "only root and the user of this process may use '\(path)'",
                    hint: "Run the command as the user that runs holdfast")
                try stream.write(Control.encode(error: refusal), timeout: .seconds(1))
                return
            }
            let opened = makeSession()
            session = opened
            while let frame = try stream.read(timeout: nil) {
                let answer: Data
                do {
                    answer = try opened.handle(frame)
                } catch {
                    answer = Control.encode(error: error)
                }
                try stream.write(answer, timeout: .seconds(10))
            }
        } catch {
            // Torn, oversized or stuck: there is nobody to tell, the connection's end says it.
            return
        }
    }

    /// A socket file is only removed if nobody listens on it, and only if it is a socket.
    private func removeStale() throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw HoldfastError(.conflict, "'\(path)' is there and is not a socket", hint: "Remove it")
        }
        let probe = holdfast_unix_connect(path, 1000)
        if probe >= 0 {
            close(probe)
            throw HoldfastError(
                .conflict, "another process listens on '\(path)'", hint: "Stop it first, or use another home")
        }
        // Only a refused connection proves that nobody is there; a full queue does not.
        guard probe == -ECONNREFUSED else {
            throw HoldfastError(.conflict, "'\(path)' is in use: \(String(cString: strerror(-probe)))")
        }
        unlink(path)
    }
}
