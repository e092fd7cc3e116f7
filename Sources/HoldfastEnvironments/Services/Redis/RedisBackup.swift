import Foundation
import HoldfastModel
import Synchronization

/// A backup of a server that keeps its data: the point in time at which it forks.
///
/// 1. `begin`: rewrites of the log are held off, because they and a save exclude each other.
/// 2. `mark`, in the hold: writes are paused as a second fence, `BGSAVE` forks, the keys are counted, writes go on.
///    The server's memory at the fork is what the file will hold, however long writing it takes.
/// 3. `collect`, after the release: waits for the file, and stores it as the base of a log without entries. A server
///    that logs ignores a plain dump, and would come up empty beside it.
final class RedisBackup: ServiceBackupSession {
    private enum Phase {
        case copying
        /// How many saves the server had made before ours.
        case marked(saves: Int)
        case failed
        case closed
    }

    let dataDirectory: String
    private let service: String
    private let session: RedisSession
    private let options: RedisAdapter.Options
    private let phase = Mutex<Phase>(.copying)
    private let lock: Int32

    private init(_ instance: ServiceInstance, session: RedisSession, lock: Int32, options: RedisAdapter.Options) {
        dataDirectory = instance.dataDirectory
        service = instance.name
        self.session = session
        self.lock = lock
        self.options = options
    }

    /// Begins a backup; see `ServiceAdapter.beginBackup`.
    static func begin(_ instance: ServiceInstance, adapter: RedisAdapter) throws -> RedisBackup {
        let lock = try BackupLock.take(instance)
        let session: RedisSession
        do {
            session = try adapter.session(instance)
        } catch {
            Foundation.close(lock)
            throw error
        }
        let backup = RedisBackup(instance, session: session, lock: lock, options: adapter.options)
        do {
            let timeout = adapter.options.commandTimeout
            _ = try preflight(session, instance: instance, timeout: timeout)
            try setRewrites(false, session, timeout: timeout)
            // One that runs already is waited for now, and not in the hold.
            _ = try backup.waitUntilIdle(Deadline(after: adapter.options.saveTimeout, time: adapter.options.time))
            return backup
        } catch {
            backup.close()
            throw error
        }
    }

    deinit { close() }

    /// Nothing of the directory but that its folders are there: the log behind the mark is not part of the backup.
    func shouldSkip(_ relativePath: String) -> Bool { relativePath != RedisFiles.logDirectory }

    func mark(until end: UInt64?) throws -> [String: String] {
        try phase.withLock { phase in
            switch phase {
            case .copying: break
            case .closed: throw HoldfastError(.cancelled, "the backup of service '\(service)' was closed")
            case .marked, .failed: throw wrongPhase("its mark was taken, or taking it failed")
            }
            // Whatever happens now, the backup cannot be marked a second time.
            phase = .failed
            let bound = options.markTimeout
            let before = try state(options.time.left(of: bound, until: end))
            guard before.isIdle else {
                throw HoldfastError(.unavailable, "service '\(service)' writes another file", hint: "Try again")
            }
            // The server itself ends the pause, whatever becomes of us.
            let pause = try max(options.time.left(of: bound, until: end), .milliseconds(1))
            try session.call(["CLIENT", "PAUSE", String(pause.wholeMilliseconds), "WRITE"], timeout: pause)
            defer { _ = try? session.call(["CLIENT", "UNPAUSE"], timeout: .seconds(1)) }
            // The answer comes after the fork.
            try session.call(["BGSAVE"], timeout: options.time.left(of: bound, until: end))
            let keys = try session.info("keyspace", timeout: options.time.left(of: bound, until: end))
            phase = .marked(saves: before.saves)
            return ["keys": keys.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: ";")]
        }
    }

    func collect(into staging: String) throws -> [CollectedFile] {
        let saves = try phase.withLock { phase in
            guard case .marked(let saves) = phase else { throw wrongPhase("it has no mark") }
            return saves
        }
        let after = try waitUntilIdle(Deadline(after: options.saveTimeout, time: options.time))
        guard after.isGood, after.saves == saves + 1 else {
            throw HoldfastError(
                .damaged, "service '\(service)' could not write its point in time",
                hint: "Read the service's log; memory or disk may be short")
        }
        let data = try GuardedDirectory(dataDirectory)
        let copy = staging + "/" + RedisFiles.base
        var cloner = FileCloner()
        try cloner.copy(RedisFiles.dump, of: data, to: copy, deadline: nil)
        try data.remove(RedisFiles.dump)
        guard chmod(copy, 0o600) == 0 else { throw SystemFailure.error("change '\(copy)'") }
        return [
            CollectedFile(path: "\(RedisFiles.logDirectory)/\(RedisFiles.base)", content: .file(copy)),
            CollectedFile(
                path: "\(RedisFiles.logDirectory)/\(RedisFiles.manifest)",
                content: .bytes(Array(RedisFiles.manifestText.utf8))),
        ]
    }

    func close() {
        // A save that still runs ends by itself; its file is overwritten by the next one. Under the lock, because all
        // has to be over when this returns, whoever calls it: the next backup may begin at once.
        phase.withLock { phase in
            if case .closed = phase { return }
            phase = .closed
            try? Self.setRewrites(true, session, timeout: options.markTimeout)
            session.close()
            Foundation.close(lock)
        }
    }
}

extension RedisBackup {
    /// What the server says of its files.
    private struct State {
        var isIdle: Bool
        var isGood: Bool
        var saves: Int
    }

    /// - Throws: `unsupported` if the server does not log its writes.
    static func preflight(
        _ session: RedisSession, instance: ServiceInstance, timeout: Duration
    ) throws -> ServicePreflight {
        let fields = try session.info("persistence", timeout: timeout)
        guard fields["aof_enabled"] == "1", fields["loading"] == "0" else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' does not log its writes",
                hint: "Restart the service: Holdfast sets appendonly")
        }
        guard fields["aof_last_write_status"] == "ok" else {
            return ServicePreflight(notices: ["the server could not write its log the last time it tried"])
        }
        return ServicePreflight()
    }

    static func setRewrites(_ allowed: Bool, _ session: RedisSession, timeout: Duration) throws {
        try session.call(
            ["CONFIG", "SET", "auto-aof-rewrite-percentage", allowed ? "100" : "0"], timeout: timeout)
    }

    private func state(_ timeout: Duration) throws -> State {
        let fields = try session.info("persistence", timeout: timeout)
        let busy = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
        return State(
            isIdle: busy.allSatisfy { fields[$0] == "0" }, isGood: fields["rdb_last_bgsave_status"] == "ok",
            saves: fields["rdb_saves"].flatMap { Int($0) } ?? 0)
    }

    private func waitUntilIdle(_ deadline: Deadline) throws -> State {
        while true {
            let now = try state(options.commandTimeout)
            if now.isIdle { return now }
            guard !deadline.hasPassed else {
                throw HoldfastError(.timedOut, "service '\(service)' still writes a file of its own")
            }
            usleep(20_000)
        }
    }

    private func wrongPhase(_ reason: String) -> HoldfastError {
        HoldfastError(.conflict, "the backup of service '\(service)' cannot go on: \(reason)")
    }
}
