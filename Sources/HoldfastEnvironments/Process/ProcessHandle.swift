import CHoldfastSystem
import Foundation
import HoldfastModel

/// One process, told apart from a later one with the same number by the time at which it started.
package struct ProcessHandle: Sendable, Hashable, Codable {
    package let pid: Int32
    /// Clock ticks since the machine started (field 22 of `/proc/<pid>/stat`).
    package let startTime: UInt64

    package init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }

    /// The process that has this number now; nil if there is none.
    package init?(pid: Int32) {
        guard let entry = ProcessTable.entry(pid) else { return nil }
        self.init(pid: pid, startTime: entry.startTime)
    }

    /// Whether it runs (a zombie does not).
    package var isAlive: Bool {
        guard let entry = ProcessTable.entry(pid) else { return false }
        return entry.startTime == startTime && !entry.isZombie
    }

    /// Sends a signal to this process and no other; answers whether it was there.
    @discardableResult
    package func signal(_ number: Int32) -> Bool {
        let descriptor = holdfast_pidfd_open(pid)
        guard descriptor >= 0 else {
            // A kernel without pidfds; else the process is gone.
            return descriptor == -ENOSYS && isAlive && kill(pid, number) == 0
        }
        defer { close(descriptor) }
        // The descriptor is bound to a process: if that has our start time now, it cannot become another one.
        guard let entry = ProcessTable.entry(pid), entry.startTime == startTime else { return false }
        return holdfast_pidfd_signal(descriptor, number) == 0
    }

    /// Sends a signal to all processes of its session, itself among them. Works when the process itself has ended.
    package func signalSession(_ number: Int32) {
        for member in ProcessTable.session(of: self) { member.signal(number) }
    }

    /// Ends the session: every process in it gets SIGKILL, until none is left.
    package func killSession() {
        for _ in 0..<20 {
            let members = ProcessTable.session(of: self)
            if members.isEmpty { return }
            for member in members { member.signal(SIGKILL) }
            usleep(2000)
        }
    }

    /// Waits until the process has ended.
    ///
    /// - Parameter timeout: nil waits for ever.
    /// - Returns: how it ended (`unknown` unless it was started by this process), or nil if it still runs.
    package func wait(timeout: Duration?, reap: Bool = true) -> ProcessStatus? {
        let descriptor = holdfast_pidfd_open(pid)
        defer { if descriptor >= 0 { close(descriptor) } }
        let deadline = timeout.map { Deadline(after: $0) }
        while true {
            if let status = childStatus(reap: reap) { return status }
            if !isAlive { return childStatus(reap: reap) ?? .unknown }
            if let deadline, deadline.hasPassed { return nil }
            let left = deadline?.millisecondsLeft ?? 60000
            if descriptor >= 0 {
                var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&poller, 1, Int32(min(max(left, 1), 60000)))
            } else {
                usleep(UInt32(min(max(left, 1), 20)) * 1000)
            }
        }
    }

    /// How a child of ours ended; nil if it runs, or is not our child.
    func childStatus(reap: Bool) -> ProcessStatus? {
        var result = holdfast_exit()
        guard holdfast_child_status(pid, 0, reap ? 1 : 0, &result) == 0, result.ended == 1 else { return nil }
        return result.signalled == 1 ? .signalled(result.status) : .exited(result.status)
    }
}

/// How a process ended.
package enum ProcessStatus: Sendable, Hashable, Codable, CustomStringConvertible {
    case exited(Int32)
    /// The signal that ended it.
    case signalled(Int32)
    /// It was not our child, so nobody told us.
    case unknown

    /// As a shell counts: 128 and the signal's number for a process that a signal ended; 255 if unknown.
    package var exitCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let number): 128 + number
        case .unknown: 255
        }
    }

    package var isSuccess: Bool { self == .exited(0) }

    package var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let number): "signal \(number)"
        case .unknown: "unknown status"
        }
    }
}

/// A point on the monotonic clock.
struct Deadline: Sendable {
    private let time: any TimeSource
    private let at: UInt64

    init(after duration: Duration, time: any TimeSource = SystemTime()) {
        self.time = time
        at = time.monotonicNanoseconds() + Self.nanoseconds(duration)
    }

    /// - Parameter nanoseconds: a point on the clock of `time`.
    init(at nanoseconds: UInt64, time: any TimeSource) {
        self.time = time
        at = nanoseconds
    }

    /// At least 0, at most some hundred years.
    static func nanoseconds(_ duration: Duration) -> UInt64 {
        let parts = duration.components
        let seconds = min(max(0, parts.seconds), 4_000_000_000)
        return UInt64(seconds) * 1_000_000_000 + UInt64(max(0, parts.attoseconds / 1_000_000_000))
    }

    var hasPassed: Bool { time.monotonicNanoseconds() >= at }
    /// At least 0, rounded up.
    var millisecondsLeft: Int {
        let now = time.monotonicNanoseconds()
        return now >= at ? 0 : Int((at - now + 999_999) / 1_000_000)
    }
    var left: Duration { .milliseconds(millisecondsLeft) }
}

extension TimeSource {
    /// What is left of a bound for something that may have an end before it; more than 0.
    ///
    /// - Parameter end: nanoseconds of the monotonic clock.
    /// - Throws: `timedOut` if the end has come.
    func left(of bound: Duration, until end: UInt64?) throws -> Duration {
        guard let end else { return bound }
        let now = monotonicNanoseconds()
        guard now < end else { throw HoldfastError(.timedOut, "no time is left for the mark") }
        return min(bound, .nanoseconds(Int64(clamping: end - now)))
    }
}
