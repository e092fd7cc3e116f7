import CHoldfastSystem
import Foundation
import HoldfastControl
import HoldfastModel

/// The small process that thaws when the supervisor dies or falls silent. Started before it is needed.
///
/// Not synchronised: used under the lock of the controller.
final class FreezeGuard {
    private var process: ProcessHandle?
    private var socket: Int32 = -1

    deinit { stop() }

    /// Begins a hold, with a new guard if the old one is gone.
    ///
    /// - Throws: `system` if there can be no guard: then nothing may be frozen.
    func hold(lease: Duration) throws {
        if socket < 0 || !send(HOLDFAST_GUARD_HOLD, value: milliseconds(lease)) {
            try start()
            guard send(HOLDFAST_GUARD_HOLD, value: milliseconds(lease)) else {
                throw HoldfastError(.system, "the guard process of the freeze does not listen")
            }
        }
    }

    /// What has to be written to thaw.
    func add(file: String, text: String) throws {
        guard holdfast_guard_tell(socket, Int32(HOLDFAST_GUARD_FILE.rawValue), 0, 0, file, text) == 0 else {
            throw lost
        }
    }

    /// What has to be sent to thaw.
    func add(signal: Int32, to pid: Int32) throws {
        guard send(HOLDFAST_GUARD_SIGNAL, pid: pid, value: Int64(signal)) else { throw lost }
    }

    func renew(lease: Duration) throws {
        guard send(HOLDFAST_GUARD_RENEW, value: milliseconds(lease)) else { throw lost }
    }

    func release() { _ = send(HOLDFAST_GUARD_RELEASE) }

    /// Starts the guard if there is none.
    func start() throws {
        stop()
        let started = holdfast_guard_start(&socket)
        guard started > 0 else {
            socket = -1
            throw SystemFailure.error("start the guard process of the freeze", -started)
        }
        // A child that was killed would else stay in the process table until somebody asks.
        let handle = ProcessHandle(pid: started)
        if let handle { startThread("guard") { _ = handle.wait(timeout: nil) } }
        process = handle
    }

    /// Ends the guard; it thaws what is held.
    func stop() {
        if socket >= 0 { close(socket) }
        socket = -1
        _ = process?.wait(timeout: .seconds(2))
        process = nil
    }

    var processID: Int32 { process?.pid ?? 0 }

    private var lost: HoldfastError {
        HoldfastError(.system, "the guard process of the freeze is gone", hint: "Try again: a new one is started")
    }

    private func milliseconds(_ lease: Duration) -> Int64 {
        // A little more than the supervisor's own, which is the one that should act; and less than the gate's.
        let own = Int64(Deadline.nanoseconds(lease) / 1_000_000)
        return own + min(250, own / 16)
    }

    private func send(_ kind: holdfast_guard_kind, pid: Int32 = 0, value: Int64 = 0) -> Bool {
        holdfast_guard_tell(socket, Int32(kind.rawValue), pid, value, nil, nil) == 0
    }
}
