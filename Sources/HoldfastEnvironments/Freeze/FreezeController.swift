import Foundation
import HoldfastControl
import HoldfastModel
import Logging

/// Drives the freeze of one environment: apps, workers and crons stand still while a lease is kept, never longer.
///
/// A thaw is a few writes under a short lock; nothing that may take time is ever done with that lock held.
final class FreezeController: Sendable {
    private struct Inner {
        var state = FreezeState()
        let guardian = FreezeGuard()
        /// Stopped one by one, where there are no cgroups.
        var stopped: Set<ProcessHandle> = []
        /// Workers that were told to stand still, and the signal that lets them go on.
        var resumes: [(process: ProcessHandle, signal: Int32)] = []
        /// How many processes are being started in the frozen set right now.
        var starting = 0
        var isShutDown = false
    }

    private let inner = Monitor(Inner())
    private let tree: CgroupTree?
    private let leaders: @Sendable () -> [ProcessHandle]
    private let time: any TimeSource
    private let logger: Logger
    private let timeout: Duration

    /// - Parameters:
    ///   - tree: nil for signals.
    ///   - leaders: the leaders of the sessions that belong to the frozen set.
    init(
        tree: CgroupTree?, leaders: @escaping @Sendable () -> [ProcessHandle], time: any TimeSource, logger: Logger,
        timeout: Duration = .seconds(3)
    ) {
        self.tree = tree
        self.leaders = leaders
        self.time = time
        self.logger = logger
        self.timeout = timeout
    }

    var method: FreezeMethod { tree?.method ?? .signal }

    /// Starts the guard and the clock of the lease.
    func start() throws {
        try inner.withLock { try $0.guardian.start() }
        startThread("freeze lease") { [self] in watchLease() }
    }

    /// Thaws and ends guard and clock.
    func shutDown() {
        inner.withLock { inner in
            if inner.state.end(inner.state.hold) { _ = thawNow(&inner) }
            inner.guardian.stop()
            inner.isShutDown = true
        }
    }

    var isOpen: Bool { inner.read { $0.state.isOpen } }
    var isFrozen: Bool { inner.read { $0.state.phase == .frozen } }
    var guardProcess: Int32 { inner.read { $0.guardian.processID } }

    /// Waits until no freeze is open; false if the deadline passed before.
    func waitUntilOpenForStarts(_ deadline: Deadline?) -> Bool {
        inner.wait(until: deadline) { $0.state.isOpen ? nil : true } ?? false
    }

    /// Runs the start of a process of the frozen set: never while that freezes or is frozen.
    ///
    /// A process that joined a frozen cgroup before its exec would hold us, and the guard's socket, until the thaw.
    func whileStarting<Result>(_ body: () throws -> Result) rethrows -> Result {
        _ = inner.wait(until: nil) { inner -> Bool? in
            guard !inner.state.isStopping else { return nil }
            inner.starting += 1
            return true
        }
        defer { inner.withLock { $0.starting -= 1 } }
        return try body()
    }

    // MARK: A hold

    /// Opens a hold; nothing stands still yet.
    func begin(lease: Duration) throws -> UInt64 {
        try inner.withLock { inner in
            let hold = try inner.state.begin(now: now, lease: Deadline.nanoseconds(lease))
            do {
                try inner.guardian.hold(lease: lease)
            } catch {
                _ = inner.state.end(hold)
                throw error
            }
            return hold
        }
    }

    /// - Parameter until: nanoseconds of this machine's monotonic clock; nil for a whole lease from now.
    func renew(_ hold: UInt64, until: UInt64? = nil) throws {
        try inner.withLock { inner in
            try inner.state.renew(hold, now: now, until: until)
            let left = inner.state.deadline - min(now, inner.state.deadline)
            try inner.guardian.renew(lease: .nanoseconds(Int64(left)))
        }
    }

    /// Sends a worker the signal to stand still, and makes sure that it gets the other one at the end of the hold.
    func quiesce(_ hold: UInt64, _ process: ProcessHandle, signal: Int32, resume: Int32) throws {
        try inner.withLock { inner in
            guard inner.state.isOpen, inner.state.hold == hold else { throw ended(hold) }
            try inner.guardian.add(signal: resume, to: process.pid)
            inner.resumes.append((process, resume))
            process.signal(signal)
        }
    }

    /// Whether the hold is still there.
    func isHeld(_ hold: UInt64) -> Bool { inner.read { $0.state.isOpen && $0.state.hold == hold } }

    /// Makes everything of the frozen set stand still; when this returns, it does.
    ///
    /// - Throws: `timedOut` or what the system says; everything is thawed then.
    func freeze(_ hold: UInt64) throws {
        do {
            try inner.withLock { try $0.state.startFreezing(hold, now: now) }
            let deadline = Deadline(after: timeout, time: time)
            let noStarts = try inner.wait(until: deadline) { inner -> Bool? in
                guard inner.state.phase == .freezing, inner.state.hold == hold else { throw ended(hold) }
                return inner.starting == 0 ? true : nil
            }
            guard noStarts != nil else { throw late("a process is still being started") }
            if let tree { try freeze(tree, hold, deadline) } else { try stopAll(hold, deadline) }
            try inner.withLock { try $0.state.completeFreezing(hold, now: now) }
        } catch {
            try? end(hold, because: "freezing failed")
            throw error
        }
    }

    /// Ends a hold and lets everything go on.
    ///
    /// - Throws: `unavailable` if it, or its lease, has ended before.
    func end(_ hold: UInt64, because reason: String) throws {
        let (failure, isLate) = try inner.withLock { inner -> ((any Error)?, Bool) in
            // After a pause of this whole process the guard may have thawed before our own clock was looked at.
            let isLate = inner.state.expired(now: now) == hold
            guard inner.state.end(hold) else { throw ended(hold) }
            return (thawNow(&inner), isLate)
        }
        if let failure { throw failure }
        logger.info("thawed", metadata: ["hold": "\(hold)", "reason": "\(reason)"])
        if isLate { throw ended(hold) }
    }

    /// Ends whatever hold is open.
    func endAny(because reason: String) throws {
        let hold = inner.read { $0.state.isOpen ? $0.state.hold : nil }
        if let hold { try end(hold, because: reason) }
    }

    // MARK: Parts

    private var now: UInt64 { time.monotonicNanoseconds() }

    private func ended(_ hold: UInt64) -> HoldfastError {
        HoldfastError(
            .unavailable, "freeze \(hold) has ended, everything was thawed",
            hint: "Begin again; renew more often if this repeats")
    }

    private func late(_ why: String) -> HoldfastError {
        HoldfastError(.timedOut, "the processes did not stand still within \(timeout): \(why)")
    }

    private func freeze(_ tree: CgroupTree, _ hold: UInt64, _ deadline: Deadline) throws {
        try inner.withLock { inner in
            guard inner.state.phase == .freezing, inner.state.hold == hold else { throw ended(hold) }
            try inner.guardian.add(file: tree.freezeFile, text: tree.thawedText)
            try tree.freeze()
        }
        var round = 0
        while !tree.isFrozen {
            guard !deadline.hasPassed else { throw late("the cgroup is not frozen") }
            usleep(round < 20 ? 200 : 2000)
            round += 1
            try inner.withLock { inner in
                guard inner.state.phase == .freezing, inner.state.hold == hold else { throw ended(hold) }
                // The v1 freezer may lose a race with a fork, and then has to be asked again.
                if tree.method == .cgroup1, round % 10 == 0 { try tree.freeze() }
            }
        }
    }

    /// Stops process after process until a look at all of them finds none that runs.
    private func stopAll(_ hold: UInt64, _ deadline: Deadline) throws {
        while true {
            let entries = ProcessTable.all()
            let running = leaders().flatMap { ProcessTable.tree(of: $0, in: entries) }
                .filter { $0.state != "T" && $0.state != "t" }
            if running.isEmpty { return }
            guard !deadline.hasPassed else { throw late("process \(running[0].pid) runs on") }
            try inner.withLock { inner in
                guard inner.state.phase == .freezing, inner.state.hold == hold else { throw ended(hold) }
                for entry in running {
                    if inner.stopped.insert(entry.handle).inserted {
                        try inner.guardian.add(signal: SIGCONT, to: entry.pid)
                    }
                    entry.handle.signal(SIGSTOP)
                }
            }
            usleep(300)
        }
    }

    /// With the lock held. Goes through all of it whatever fails; answers the first failure.
    private func thawNow(_ inner: inout Inner) -> (any Error)? {
        var failure: (any Error)?
        if let tree {
            do { try tree.thaw() } catch { failure = error }
        }
        for process in inner.stopped { process.signal(SIGCONT) }
        for resume in inner.resumes { resume.process.signal(resume.signal) }
        inner.stopped = []
        inner.resumes = []
        // Only after a thaw that worked: else the guard is to try again.
        if failure == nil { inner.guardian.release() }
        return failure
    }

    private func watchLease() {
        inner.wait { inner -> Monitor<Inner>.Step<Void> in
            if inner.isShutDown { return .done(()) }
            if let hold = inner.state.expired(now: now), inner.state.end(hold) {
                let failure = thawNow(&inner)
                logger.error(
                    "the lease of a freeze ran out, thawed",
                    metadata: ["hold": "\(hold)", "failure": "\(failure.map { "\($0)" } ?? "none")"])
            }
            return .sleep(until: inner.state.isOpen ? Deadline(at: inner.state.deadline, time: time) : nil)
        }
    }
}
