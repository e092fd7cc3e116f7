import Foundation
import HoldfastModel
import Logging

/// Workers that are asked to stand between two units of work, and crons that come to an end.
extension Supervisor {
    /// Listens for what a worker says, if it can say anything.
    func listen(for record: ProcessRecord) {
        guard let path = record.notifySocket else { return }
        let key = record.key
        do {
            let socket = try NotifySocket(path: path, user: options.user) { [weak self] text in
                guard text.split(separator: "\n").contains("QUIESCED=1") else { return }
                self?.state.withLock { _ = $0.quiesced.insert(key) }
            }
            let old = state.withLock { $0.notifiers.updateValue(socket, forKey: key) }
            old?.close()
        } catch {
            logger.error(
                "a worker cannot say that it stands still", metadata: ["process": "\(key)", "error": "\(error)"])
        }
    }

    /// Opens a hold.
    ///
    /// - Throws: `conflict` while processes are being replaced or another hold is open.
    func beginFreeze(lease: Duration) throws -> UInt64 {
        try checkNotStopping()
        let hold = try freeze.begin(lease: lease)
        let operation = state.withLock { state in
            state.quiesced = []
            return state.operation
        }
        guard let operation, operation == "apply" else { return hold }
        try? freeze.end(hold, because: "apply")
        throw HoldfastError(
            .conflict, "processes of environment \(layout.environment) are being replaced",
            hint: "Try again when that has ended")
    }

    /// Asks all workers that can be asked, and waits for them and for running crons.
    func quiesce(_ hold: UInt64, timeout: Duration) throws -> QuiesceResult {
        let deadline = Deadline(after: timeout, time: parts.time)
        var waiting = quiescableWorkers().map { QuiescingWorker($0.process, $0.quiesce, deadline, parts.time) }
        while true {
            guard freeze.isHeld(hold) else {
                throw HoldfastError(
                    .unavailable, "freeze \(hold) has ended while workers were waited for",
                    hint: "Begin again; renew more often if this repeats")
            }
            let quiesced = state.read { $0.quiesced }
            for index in waiting.indices where !waiting[index].isAsked {
                try waiting[index].ask(freeze, hold)
                if waiting[index].isAsked { markQuiescing() }
            }
            let open = waiting.filter { !quiesced.contains($0.key) && !$0.process.hasEnded }
            let crons = runningCrons()
            if open.isEmpty && crons.isEmpty { break }
            if deadline.hasPassed || (crons.isEmpty && open.allSatisfy { $0.deadline.hasPassed }) { break }
            _ = state.wait(until: Deadline(after: .milliseconds(20), time: parts.time)) { state in
                state.quiesced.count > quiesced.count ? true : nil
            }
        }
        let quiesced = state.read { $0.quiesced }
        let late = waiting.filter { !quiesced.contains($0.key) && !$0.process.hasEnded }
        return QuiesceResult(
            quiesced: waiting.filter { quiesced.contains($0.key) }.map(\.process.record.title).sorted(),
            late: (late.map(\.lateness) + runningCrons().map(\.lateness)).sorted())
    }

    /// Makes everything of the frozen set stand still.
    func freezeAll(_ hold: UInt64) throws -> FreezeResult {
        try freeze.freeze(hold)
        let (workers, quiesced) = state.read { state in
            (state.processes.values.filter { $0.kind == .worker && $0.handle != nil }, state.quiesced)
        }
        return FreezeResult(
            method: freeze.method.rawValue,
            workersFrozenInPlace: workers.filter { !quiesced.contains($0.key) }
                .map { "\($0.record.app ?? "").\($0.record.name)" }.sorted())
    }

    /// Ends a hold; a file tells the next supervisor that workers may stand still, and is removed now.
    func endFreeze(_ hold: UInt64, because reason: String) throws {
        try freeze.end(hold, because: reason)
        unlink(quiescingFile)
    }

    /// Workers that a supervisor asked before it was killed, and its guard with it, must not stand for ever.
    func resumeQuiesced(_ entries: [ProcessFile.Entry]) {
        guard access(quiescingFile, F_OK) == 0 else { return }
        defer { unlink(quiescingFile) }
        guard let current = try? layout.readCurrent(),
            let configuration = try? parts.configuration(current.deployment)
        else { return }
        for entry in entries where entry.record.kind == .worker {
            let worker = entry.record.app.flatMap { configuration.applications[$0]?.workers[entry.record.name] }
            guard let quiesce = worker?.quiesce else { continue }
            for process in QuiescingWorker.whoCatch(quiesce.resumeNumber, below: entry.handle) {
                process.signal(quiesce.resumeNumber)
            }
        }
    }

    private var quiescingFile: String { layout.environmentRunDirectory + "/quiescing" }

    private func markQuiescing() {
        let file = open(quiescingFile, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if file >= 0 { close(file) }
    }

    private func quiescableWorkers() -> [(process: ManagedProcess, quiesce: QuiesceConfiguration)] {
        let (processes, applied) = state.read { state in
            (state.processes.values.filter { $0.kind == .worker && $0.handle != nil }, state.applied)
        }
        return processes.compactMap { process in
            let record = process.record
            let worker = record.app.flatMap { applied?.configuration.applications[$0]?.workers[record.name] }
            return worker?.quiesce.map { (process, $0) }
        }
    }

    private func runningCrons() -> [ManagedProcess] {
        state.read { $0.processes.values.filter { $0.kind == .cron } }.filter { !$0.hasEnded }
    }
}

/// One worker on its way to standing still.
private struct QuiescingWorker {
    let process: ManagedProcess
    let deadline: Deadline
    private let quiesce: QuiesceConfiguration
    private let time: any TimeSource
    private(set) var isAsked = false
    /// When it was asked, or while it was not, since when that is tried: nanoseconds of the monotonic clock.
    private var since: UInt64

    init(_ process: ManagedProcess, _ quiesce: QuiesceConfiguration, _ limit: Deadline, _ time: any TimeSource) {
        self.process = process
        self.quiesce = quiesce
        self.time = time
        since = time.monotonicNanoseconds()
        let own = Deadline(after: .seconds(quiesce.timeoutSeconds), time: time)
        deadline = own.millisecondsLeft < limit.millisecondsLeft ? own : limit
    }

    var key: String { process.key }

    /// What to say of it if it does not stand still.
    var lateness: String {
        let waited = Duration.nanoseconds(Int64(clamping: time.monotonicNanoseconds() - since)).text
        return process.record.title
            + (isAsked
                ? ", asked to stand still \(waited) ago" : ", without a handler for its quiesce signal for \(waited)")
    }

    /// Sends the signal to who has a handler for it: the shell around a command would die of it, and so would a worker
    /// that has only just begun to start.
    mutating func ask(_ freeze: FreezeController, _ hold: UInt64) throws {
        guard let leader = process.handle else { return }
        let able = Self.whoCatch(quiesce.signalNumber, below: leader)
        for member in able {
            try freeze.quiesce(hold, member, signal: quiesce.signalNumber, resume: quiesce.resumeNumber)
        }
        guard !able.isEmpty else { return }
        isAsked = true
        since = time.monotonicNanoseconds()
    }

    /// The processes nearest to the leader that handle a signal; none below one that does.
    static func whoCatch(_ signal: Int32, below leader: ProcessHandle) -> [ProcessHandle] {
        let entries = ProcessTable.all()
        var level = entries.filter { $0.pid == leader.pid && $0.startTime == leader.startTime }
        var found: [ProcessHandle] = []
        while !level.isEmpty {
            let able = level.filter { ProcessTable.catches($0.pid, signal: signal) }
            found += able.map(\.handle)
            let parents = Set(level.map(\.pid)).subtracting(able.map(\.pid))
            level = entries.filter { parents.contains($0.parent) && !$0.isZombie }
        }
        return found
    }
}

extension ManagedProcess {
    /// What to say of a cron that does not end.
    fileprivate var lateness: String { record.title + (age.map { ", running for \($0.text)" } ?? ", being started") }
}

extension Duration {
    /// For people: `12.4 s`.
    fileprivate var text: String { "\(Double(wholeMilliseconds / 100) / 10) s" }
}
