import Foundation
import HoldfastModel

/// Makes the processes of one service stand still for a moment. A guard process lets them go on if ours dies.
///
/// Not synchronised: used by one thread at a time, under the lock of the backup that has it.
package final class ServiceFreeze: @unchecked Sendable {
    private let leader: ProcessHandle
    private let service: String
    private let time: any TimeSource
    private let guardian = FreezeGuard()
    /// The service's processes when they were last looked for; while it stands still, all that there are.
    private(set) var processes: [ProcessHandle]

    /// - Throws: `unavailable` if nobody knows the server's process, `forbidden` if it runs as another user.
    package init(_ instance: ServiceInstance, time: any TimeSource = SystemTime()) throws {
        guard let leader = instance.leader, leader.isAlive else {
            throw HoldfastError(
                .unavailable, "service '\(instance.name)' has no process that could be frozen",
                hint: "Wait until it has been started again")
        }
        var status = stat()
        guard stat("/proc/\(leader.pid)", &status) == 0, status.st_uid == instance.user.uid else {
            throw HoldfastError(
                .forbidden,
                "process \(leader.pid) does not run as user \(instance.user.name) of service "
                    + "'\(instance.name)'")
        }
        self.leader = leader
        self.time = time
        service = instance.name
        processes = Self.members(of: leader)
        // Before it is needed: starting a process takes longer than a mark may.
        try guardian.start()
    }

    deinit { guardian.stop() }

    /// Lets go on what somebody stopped who died over it, together with the guard.
    ///
    /// - Parameter leader: the first process of a service or an app.
    package static func thaw(_ leader: ProcessHandle) {
        for member in ProcessTable.tree(of: leader, in: ProcessTable.all()) where member.state == "T" {
            member.handle.signal(SIGCONT)
        }
    }

    /// Whether the server that was there at the beginning still runs.
    var isAlive: Bool { leader.isAlive }

    /// The same without a deadline for what is done.
    package func whileFrozen<Result>(bound: Duration, doing body: () throws -> Result) throws -> Result {
        try whileFrozen(bound: bound) { (_: Deadline) in try body() }
    }

    /// Freezes, does something, thaws.
    ///
    /// - Parameters:
    ///   - bound: the longest that the service may stand still.
    ///   - body: is given when it has to have ended.
    /// - Throws: `timedOut` if the processes do not stop, or stood still for longer than the bound: then what was done
    ///   meanwhile is worth nothing. `unavailable` if the server is gone or went on in between.
    func whileFrozen<Result>(bound: Duration, _ body: (Deadline) throws -> Result) throws -> Result {
        let deadline = Deadline(after: bound, time: time)
        try guardian.hold(lease: bound)
        var stopped: Set<ProcessHandle> = []
        defer {
            for process in stopped { process.signal(SIGCONT) }
            guardian.release()
        }
        try stopAll(&stopped, deadline)
        let result = try body(deadline)
        guard !deadline.hasPassed else {
            throw HoldfastError(
                .timedOut, "service '\(service)' could not be copied within \(bound.wholeMilliseconds) ms",
                hint: "Use a file system with reflinks, or look at the load of the disk")
        }
        // Nothing that stands still can have started another process.
        guard leader.isAlive, !processes.contains(where: Self.runs) else {
            throw HoldfastError(
                .unavailable, "service '\(service)' ended or went on while it was copied", hint: "Try again")
        }
        return result
    }

    /// Stops the processes that are known, and then those that a look at all of them finds, until it finds none that
    /// runs: such a look takes longer than all the rest.
    private func stopAll(_ stopped: inout Set<ProcessHandle>, _ deadline: Deadline) throws {
        while true {
            for process in processes where Self.runs(process) {
                if stopped.insert(process).inserted { try guardian.add(signal: SIGCONT, to: process.pid) }
                process.signal(SIGSTOP)
            }
            while let process = processes.first(where: Self.runs) {
                guard !deadline.hasPassed else { throw late(process) }
                usleep(300)
            }
            processes = Self.members(of: leader)
            guard !processes.isEmpty else {
                throw HoldfastError(.unavailable, "service '\(service)' has ended", hint: "Try again")
            }
            guard let new = processes.first(where: Self.runs) else { return }
            guard !deadline.hasPassed else { throw late(new) }
        }
    }

    private func late(_ process: ProcessHandle) -> HoldfastError {
        HoldfastError(
            .timedOut, "process \(process.pid) of service '\(service)' does not stand still",
            hint: "Look at its state: it may wait for a disk")
    }

    private static func members(of leader: ProcessHandle) -> [ProcessHandle] {
        ProcessTable.tree(of: leader, in: ProcessTable.all()).map(\.handle)
    }

    /// Whether a thread of it is not stopped. One inside a system call stops only when that is done.
    private static func runs(_ process: ProcessHandle) -> Bool {
        guard process.isAlive else { return false }
        let tasks = "/proc/\(process.pid)/task"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return names.contains { name in
            guard let text = ProcessTable.read("\(tasks)/\(name)/stat"), let entry = ProcessTable.parse(text)
            else { return false }
            return !["T", "t", "Z", "X"].contains(entry.state)
        }
    }
}
