import CHoldfastSystem
import Foundation
import HoldfastModel
import Synchronization

/// A program whose input and output pass through piece by piece, however long they are.
///
/// One thread may write while another reads. Nothing of the program is left when the object is gone.
package final class StreamedProcess: Sendable {
    private let handle: ProcessHandle
    /// -1 when it is closed.
    private let input: Mutex<Int32>
    private let output: Int32
    private let errors: Int32
    private let state = Mutex(State())

    private struct State {
        var status: ProcessStatus?
        var errorTail: [UInt8] = []
        var errorsEnded = false
        var isStopped = false
    }

    private static let pieceSize = 65536
    private static let errorLimit = 4096
    /// Between SIGTERM and SIGKILL.
    private static let grace = Duration.seconds(5)

    /// Starts a program.
    ///
    /// - Throws: if it cannot be started.
    package init(_ specification: ProcessSpecification) throws {
        var ends: [Int32] = []
        do {
            for _ in 0..<3 { ends += try Self.pipe() }
            handle = try Self.start(specification, ends)
        } catch {
            for end in ends { close(end) }
            throw error
        }
        for end in [ends[0], ends[3], ends[5]] { close(end) }
        input = Mutex(ends[1])
        output = ends[2]
        errors = ends[4]
    }

    deinit {
        closeInput()
        close(output)
        close(errors)
        if state.withLock({ $0.status == nil }) { Self.end(handle, reap: true) }
    }

    /// Ends a session: first by SIGTERM, so that programs such as Git remove what is half done; what is left after the
    /// grace by SIGKILL. It may take a moment, and nobody is to wait for it.
    private static func end(_ handle: ProcessHandle, reap: Bool) {
        handle.signalSession(SIGTERM)
        let thread = Thread {
            _ = handle.wait(timeout: grace, reap: false)
            handle.killSession()
            if reap { _ = handle.wait(timeout: .seconds(60)) }
        }
        thread.name = "process end"
        thread.start()
    }

    private static func pipe() throws -> [Int32] {
        var ends: [Int32] = [-1, -1]
        guard holdfast_pipe(&ends) == 0 else { throw SystemFailure.error("make a pipe") }
        return ends
    }

    private static func start(_ specification: ProcessSpecification, _ ends: [Int32]) throws -> ProcessHandle {
        let pid = try specification.start(input: ends[0], output: ends[3], error: ends[5])
        return ProcessHandle(pid: pid) ?? ProcessHandle(pid: pid, startTime: 0)
    }

    /// Writes all of it to the program's input; waits while the program does not read.
    ///
    /// - Throws: `unavailable` if nobody reads it any more.
    package func write(_ bytes: [UInt8]) throws {
        try input.withLock { descriptor in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = descriptor < 0 ? -1 : rest.withUnsafeBytes { SafeWrite.pipe(descriptor, $0) }
                if count < 0, descriptor >= 0, errno == EINTR { continue }
                guard count > 0 else { throw HoldfastError(.unavailable, "the program does not read its input") }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// The program's input ends.
    package func closeInput() {
        input.withLock { descriptor in
            if descriptor >= 0 { close(descriptor) }
            descriptor = -1
        }
    }

    /// Waits for output; empty when the program has ended.
    package func read() throws -> [UInt8] {
        while true {
            let watchesErrors = state.withLock { !$0.errorsEnded }
            var pollers = [
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: watchesErrors ? errors : -1, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&pollers, 2, 1000)
            if ready < 0, errno != EINTR { throw SystemFailure.error("wait for a program's output") }
            if pollers[1].revents != 0 { readErrors() }
            if pollers[0].revents != 0 {
                let piece = try Self.piece(from: output)
                if piece.isEmpty { end() }
                return piece
            }
            // What outlives the program may hold on to its output; that is not waited for.
            if ready == 0, handle.childStatus(reap: false) != nil {
                end()
                return []
            }
        }
    }

    /// Ends the program and all in its session, from any thread. Does not wait for it.
    package func stop() {
        let isFirst = state.withLock { state in
            defer { state.isStopped = true }
            return state.status == nil && !state.isStopped
        }
        if isFirst { Self.end(handle, reap: false) }
    }

    /// How it ended and the last of what it said on its error output; nil while it runs.
    package var outcome: (status: ProcessStatus, errors: String)? {
        state.withLock { state in
            state.status.map { ($0, String(decoding: state.errorTail, as: UTF8.self)) }
        }
    }

    private static func piece(from descriptor: Int32) throws -> [UInt8] {
        var number: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: pieceSize) { buffer, count in
            var result = -1
            repeat {
                result = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
            } while result < 0
                && errno == EINTR
            number = result < 0 ? errno : 0
            count = max(0, result)
        }
        guard number == 0 else { throw SystemFailure.error("read a program's output", number) }
        return bytes
    }

    private func readErrors() {
        let piece = (try? Self.piece(from: errors)) ?? []
        state.withLock { state in
            if piece.isEmpty { state.errorsEnded = true }
            state.errorTail = Array((state.errorTail + piece).suffix(Self.errorLimit))
        }
    }

    /// The output has ended, so the program is about to.
    private func end() {
        guard state.withLock({ $0.status == nil }) else { return }
        _ = handle.wait(timeout: .seconds(10), reap: false)
        // Not yet reaped: its number cannot belong to anybody else while what it left behind is ended.
        handle.killSession()
        let status = handle.wait(timeout: .seconds(10)) ?? .unknown
        state.withLock { $0.status = status }
    }
}
