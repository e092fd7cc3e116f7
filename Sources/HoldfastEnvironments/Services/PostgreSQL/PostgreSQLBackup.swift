import Foundation
import HoldfastModel
import Synchronization

/// A physical backup while it is being taken, in the order that makes it restorable to the mark:
///
/// 1. `begin`: a temporary slot keeps the log, `pg_backup_start`; from here the files may be copied.
/// 2. `mark`, in the hold: `pg_backup_stop`, then `pg_create_restore_point`. The other way round the restore point
///    would lie before the point from which the copy is consistent, and recovery to it fails.
/// 3. `collect`, after the release: the log from the start to the mark, and the label.
///
/// Slot, lock and backup belong to one session of the server: however it ends, nothing of them stays.
final class PostgreSQLBackup: ServiceBackupSession {
    private enum Phase {
        case copying
        case marked(Marked)
        case failed
    }

    /// What the server said in the hold.
    private struct Marked {
        var mark: PostgreSQLMark
        var segments: LogSegments
        var start: LogPosition
        var position: LogPosition
        var label: String
        var tablespaceMap: String
        var control: [UInt8]
    }

    let dataDirectory: String
    let databases: [String: DatabaseManifest]?
    private let service: String
    private let configurationDirectory: String
    private let session: PostgreSQLSession
    private let options: PostgreSQLAdapter.Options
    private let segmentSize: UInt64
    private let systemIdentifier: String
    private let restorePoint: String
    private let phase = Mutex<Phase>(.copying)

    private init(
        _ instance: ServiceInstance, session: PostgreSQLSession, options: PostgreSQLAdapter.Options,
        segmentSize: UInt64, systemIdentifier: String, databases: [String: DatabaseManifest]
    ) {
        self.databases = databases
        dataDirectory = instance.dataDirectory
        service = instance.name
        configurationDirectory = instance.configurationDirectory
        self.session = session
        self.options = options
        self.segmentSize = segmentSize
        self.systemIdentifier = systemIdentifier
        var generator = SystemRandomNumberGenerator()
        restorePoint = "holdfast-" + BackupID.random(using: &generator).rawValue
    }

    /// Begins a backup; see `ServiceAdapter.beginBackup`.
    static func begin(
        _ instance: ServiceInstance, label: String, adapter: PostgreSQLAdapter
    ) throws -> PostgreSQLBackup {
        guard (1...200).contains(label.utf8.count), !label.unicodeScalars.contains(where: { $0.value < 32 }) else {
            throw HoldfastError(.invalidInput, "'\(label.prefix(200))' cannot be the label of a backup")
        }
        let session = try adapter.session(instance)
        do {
            let timeout = adapter.options.statementTimeout
            try PostgreSQLPreflight.check(session, instance: instance, timeout: timeout)
            try lock(session, instance: instance, options: adapter.options)
            let size = try session.value(
                "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'", timeout: timeout)
            guard let segmentSize = UInt64(size), segmentSize > 0 else {
                throw HoldfastError(.internalFault, "service '\(instance.name)' has log files of '\(size)' bytes")
            }
            let identifier = try session.value(
                "SELECT system_identifier FROM pg_control_system()", timeout: timeout)
            let backup = PostgreSQLBackup(
                instance, session: session, options: adapter.options, segmentSize: segmentSize,
                systemIdentifier: identifier,
                databases: try PostgreSQLNeeds.all(session, instance, adapter: adapter))
            try backup.start(label: label)
            return backup
        } catch {
            session.close()
            throw error
        }
    }

    func shouldSkip(_ relativePath: String) -> Bool { PostgreSQLCopyRules.leavesOut(relativePath) }

    /// Files that did not change since a look that found nothing are not read again: the engine does not either.
    func damage() -> [String] {
        do {
            let conf = try GuardedDirectory(configurationDirectory)
            let began = Int(options.time.now().timeIntervalSince1970)
            let pages = try PostgreSQLPages(
                try GuardedDirectory(dataDirectory), of: session, timeout: options.statementTimeout,
                changedSince: try Self.lastLook(conf))
            guard let findings = try pages?.check() else { return [] }
            guard findings.wrongPages == 0 else { return [findings.description] }
            try conf.write(Self.lookFile, Array(String(began).utf8), mode: 0o600)
            return []
        } catch {
            return ["its pages could not be checked: \(error)"]
        }
    }

    func mark(until end: UInt64?) throws -> [String: String] {
        try phase.withLock { phase in
            guard case .copying = phase else { throw wrongPhase("its mark was taken, or taking it failed") }
            // Whatever happens now, the backup cannot be marked a second time.
            phase = .failed
            let marked = try takeMark(until: end)
            phase = .marked(marked)
            return marked.mark.fields
        }
    }

    func collect(into staging: String) throws -> [CollectedFile] {
        let marked = try phase.withLock { phase in
            guard case .marked(let marked) = phase else { throw wrongPhase("it has no mark yet") }
            return marked
        }
        // Also writes back all of the log up to the mark.
        try session.query("SELECT pg_switch_wal()", timeout: options.statementTimeout)
        var files = [
            CollectedFile(path: "backup_label", content: .bytes(Array(marked.label.utf8))),
            CollectedFile(path: PostgreSQLCopyRules.control, content: .bytes(marked.control)),
        ]
        if !marked.tablespaceMap.isEmpty {
            files.append(CollectedFile(path: "tablespace_map", content: .bytes(Array(marked.tablespaceMap.utf8))))
        }
        let log = try GuardedDirectory(dataDirectory).directory("pg_wal")
        let names = marked.segments.names(from: marked.start, to: marked.position)
        for name in names {
            let isLast = name == names.last
            let length = isLast ? marked.segments.length(before: marked.position) : segmentSize
            let copy = staging + "/" + name
            try copySegment(name, of: log, to: copy, length: length)
            files.append(CollectedFile(path: "pg_wal/" + name, content: .file(copy)))
            // The slot kept the files only as long as the session lives.
            try session.query("SELECT 1", timeout: options.statementTimeout)
        }
        let history = String(marked.segments.name(0).prefix(8)) + ".history"
        if try log.status(history) != nil {
            let bytes = try log.read(history, limit: 1 << 20)
            files.append(CollectedFile(path: "pg_wal/" + history, content: .bytes(bytes)))
        }
        return files
    }

    func close() { session.close() }
}

extension PostgreSQLBackup {
    /// One backup of a service at a time. Waits a moment: the session of one that just ended may still be there.
    private static func lock(
        _ session: PostgreSQLSession, instance: ServiceInstance, options: PostgreSQLAdapter.Options
    ) throws {
        let deadline = Deadline(after: .seconds(2), time: options.time)
        repeat {
            // The number is "holdfast" in ASCII.
            let locked = try session.value(
                "SELECT pg_try_advisory_lock(7525404403417473908)", timeout: options.statementTimeout)
            if locked == "t" { return }
            Thread.sleep(forTimeInterval: 0.05)
        } while !deadline.hasPassed
        throw HoldfastError(
            .locked, "another backup of service '\(instance.name)' is running", hint: "Wait until it has ended")
    }

    private static let lookFile = "pages-checked"

    /// When the last look at the pages began that found nothing wrong, in seconds of the wall clock.
    private static func lastLook(_ conf: GuardedDirectory) throws -> Int? {
        guard try conf.status(lookFile) != nil else { return nil }
        return Int(String(decoding: try conf.read(lookFile, limit: 64), as: UTF8.self))
    }

    private func start(label: String) throws {
        try session.query(
            "SELECT pg_create_physical_replication_slot($1, true, true)",
            [restorePoint.replacingOccurrences(of: "-", with: "_")], timeout: options.statementTimeout)
        try setStatementTimeout(options.startTimeout)
        try session.query(
            "SELECT pg_backup_start($1, fast => true)", [label], timeout: options.startTimeout + .seconds(1))
        // From here on for the statements of the mark; none is spent in the hold on setting it.
        try setStatementTimeout(options.markTimeout)
    }

    private func setStatementTimeout(_ timeout: Duration) throws {
        try session.query(
            "SELECT set_config('statement_timeout', $1, false)", [String(timeout.wholeMilliseconds)],
            timeout: options.statementTimeout)
    }

    private func takeMark(until end: UInt64?) throws -> Marked {
        // The server ends a statement by itself in markTimeout; a server that does not is given up a little later.
        let bound = options.markTimeout + .milliseconds(500)
        let stopped = try session.query(
            "SELECT labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)",
            timeout: options.time.left(of: bound, until: end))
        let position = try LogPosition(
            session.value(
                "SELECT pg_create_restore_point($1)", [restorePoint],
                timeout: options.time.left(of: bound, until: end)))
        guard let row = stopped.first, let text = row[0] else {
            throw HoldfastError(.damaged, "service '\(service)' returned no backup label")
        }
        let label = try BackupLabel(text)
        let segments = LogSegments(timeline: label.timeline, size: segmentSize)
        let mark = PostgreSQLMark(
            restorePoint: restorePoint, range: (label.start, position), segments: segments,
            systemIdentifier: systemIdentifier)
        return Marked(
            mark: mark, segments: segments, start: label.start, position: position, label: text,
            tablespaceMap: row[1] ?? "", control: try readControl())
    }

    /// Reads `pg_control` until two readings agree: one taken while the server writes it may be torn.
    private func readControl() throws -> [UInt8] {
        let directory = try GuardedDirectory(dataDirectory).directory("global")
        var last: [UInt8] = []
        for _ in 0..<100 {
            let bytes = try directory.read("pg_control", limit: 65536)
            if bytes == last, !bytes.isEmpty { return bytes }
            last = bytes
        }
        throw HoldfastError(.damaged, "'\(dataDirectory)/global/pg_control' changes all the time")
    }

    /// Copies a log file up to a length; what lies behind it, and was written after the mark, becomes zeros.
    private func copySegment(_ name: String, of log: GuardedDirectory, to path: String, length: UInt64) throws {
        let source: (descriptor: Int32, size: Int)
        do {
            source = try log.openFile(name)
        } catch let error as HoldfastError where error.code == .notFound {
            throw HoldfastError(
                .damaged, "service '\(service)' no longer has the log file '\(name)'", hint: "Take the backup again",
                cause: error)
        }
        defer { Foundation.close(source.descriptor) }
        guard UInt64(source.size) == segmentSize else {
            throw HoldfastError(
                .damaged, "the log file '\(name)' of service '\(service)' has \(source.size) bytes, not \(segmentSize)")
        }
        let target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard target >= 0 else { throw staging(path) }
        defer { Foundation.close(target) }
        var rest = Int(length)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while rest > 0 {
            let count = read(source.descriptor, &buffer, min(rest, buffer.count))
            guard count > 0 else { throw HoldfastError(.damaged, "the log file '\(name)' ends too early") }
            guard write(target, buffer, count) == count else { throw staging(path) }
            rest -= count
        }
        guard ftruncate(target, off_t(segmentSize)) == 0 else { throw staging(path) }
    }

    private func staging(_ path: String) -> HoldfastError {
        let number = errno
        return HoldfastError(
            number == ENOSPC || number == EDQUOT ? .noSpace : .system,
            "cannot write '\(path)': \(String(cString: strerror(number)))")
    }

    private func wrongPhase(_ reason: String) -> HoldfastError {
        HoldfastError(.conflict, "the backup of service '\(service)' cannot go on: \(reason)")
    }
}
