import Foundation
import Glibc
import HoldfastCommands
import HoldfastModel
import HoldfastRepository
import Synchronization

/// One path of a backup.
struct BackupSource: Sendable {
    /// Absolute, on the disk.
    let path: String
    /// In the snapshot.
    let place: String
    let isDirectory: Bool
    let isMissing: Bool
}

enum BackupSources {
    /// As restic: an absolute path keeps its place, a relative one without `.` and `..` is put at the root.
    static func find(_ paths: [String], _ surroundings: Surroundings) throws -> [BackupSource] {
        try paths.map { text in
            let path = surroundings.absolute(text)
            let names = text.split(separator: "/")
            let isPlain = !text.hasPrefix("/") && !names.contains(".") && !names.contains("..") && !names.isEmpty
            var status = stat()
            let isMissing = lstat(path, &status) != 0
            let kind = status.st_mode & S_IFMT
            guard isMissing || kind == S_IFDIR || kind == S_IFREG else {
                throw HoldfastError(
                    .unsupported, "'\(text)' is neither a file nor a directory",
                    hint: "Name the directory that it is in")
            }
            if path == "/" {
                throw HoldfastError(
                    .unsupported, "'/' cannot be backed up as a whole", hint: "Name the directories below it")
            }
            return BackupSource(
                path: path, place: isPlain ? "/" + names.joined(separator: "/") : path, isDirectory: kind == S_IFDIR,
                isMissing: isMissing)
        }
    }

    /// Without those that lie in others.
    static func outermost(_ sources: [BackupSource]) -> [BackupSource] {
        var result: [BackupSource] = []
        for source in sources.sorted(by: { $0.place < $1.place }) {
            let isInside = result.contains {
                source.place == $0.place || ($0.isDirectory && source.place.hasPrefix($0.place + "/"))
            }
            if !isInside { result.append(source) }
        }
        return result
    }
}

/// Names what cannot be read, as it is found.
final class UnreadableFiles: Sendable {
    private let output: Output
    private let counted = Mutex(0)

    init(_ output: Output) { self.output = output }

    var count: Int { counted.withLock { $0 } }

    func add(_ text: String) {
        counted.withLock { $0 += 1 }
        output.error(PlainText.line("not read: \(text)"))
    }
}

/// What a backup of this verb did.
struct BackupResult {
    let finished: FinishedBackup
    var statistics = CaptureStatistics()
    let seconds: Double
}

/// Carries a backup out.
struct BackupRun {
    let context: VerbContext
    let info: SnapshotInfo
    let parent: SnapshotID?

    func files(_ sources: [BackupSource], _ rules: ExcludeRules, _ unreadable: UnreadableFiles) throws -> BackupResult {
        let meter = ProgressMeter()
        let start = context.surroundings.time.monotonicNanoseconds()
        let scan = Scan(sources, rules, meter)
        return try context.showing("backing up", meter) {
            if context.output.isLive || context.options.progress { scan.start() }
            defer { scan.stop() }
            let session = try beginSession(meter)
            defer { session.abandon() }
            var total = CaptureStatistics()
            for source in sources {
                let excludes = rules.excludes(below: source.path)
                if source.isDirectory {
                    var filter = CaptureFilter(excludes: excludes)
                    filter.unreadable = { path, error in
                        unreadable.add("\(source.path)/\(path): \(error.message)")
                        return true
                    }
                    total.add(try session.capture(source.path, as: source.place, filter: filter))
                } else {
                    guard access(source.path, R_OK) == 0 else {
                        unreadable.add("\(source.path): \(String(cString: strerror(errno)))")
                        continue
                    }
                    try session.add(file: source.path, as: source.place)
                    total.files += 1
                    total.filesRead += 1
                }
            }
            try describeParents(sources, session)
            let finished = try session.finish(info)
            return BackupResult(finished: finished, statistics: total, seconds: seconds(since: start))
        }
    }

    func stream(_ descriptor: Int32, _ name: String) throws -> BackupResult {
        let meter = ProgressMeter()
        let start = context.surroundings.time.monotonicNanoseconds()
        return try context.showing("backing up", meter) {
            let session = try beginSession(meter)
            defer { session.abandon() }
            try session.add(stream: descriptor, as: "/" + name)
            return BackupResult(finished: try session.finish(info), seconds: seconds(since: start))
        }
    }

    private func beginSession(_ meter: ProgressMeter) throws -> BackupSession {
        var options = BackupOptions(parent: parent)
        options.meter = meter
        return try context.repository.beginBackup(options)
    }

    private func seconds(since start: UInt64) -> Double {
        Double(context.surroundings.time.monotonicNanoseconds() &- start) / 1e9
    }

    /// The directories that lead to what is backed up, with their owners and permissions.
    private func describeParents(_ sources: [BackupSource], _ session: BackupSession) throws {
        var known: Set<String> = []
        for source in sources {
            var place = source.place
            var path = source.path
            while true {
                place = (place as NSString).deletingLastPathComponent
                path = (path as NSString).deletingLastPathComponent
                if place == "/" || place.isEmpty || !known.insert(place).inserted { break }
                try session.describe(directory: path, as: place)
            }
        }
    }

    private struct Summary: Encodable {
        var message_type = "summary"
        let files_new_or_changed: Int
        let files_unmodified: Int
        let dirs: Int
        let data_added: Int64
        let total_files_processed: Int
        let total_bytes_processed: Int64
        let total_duration: Double
        let snapshot_id: String?
        let dry_run: Bool?
    }

    func report(_ result: BackupResult, dryRun: Bool) throws {
        let (finished, statistics) = (result.finished, result.statistics)
        if context.options.json {
            return try context.write(
                json: Summary(
                    files_new_or_changed: finished.files - statistics.filesUnchanged,
                    files_unmodified: statistics.filesUnchanged, dirs: finished.directories,
                    data_added: finished.addedBytes, total_files_processed: finished.files,
                    total_bytes_processed: finished.logicalBytes, total_duration: result.seconds,
                    snapshot_id: dryRun ? nil : "\(finished.id)", dry_run: dryRun ? true : nil))
        }
        if let parent { context.say("compared with snapshot \("\(parent)".prefix(8))") }
        context.say(
            "\(Amount.count(finished.files, "file")), \(Amount.bytes(finished.logicalBytes)); "
                + "\(statistics.filesUnchanged) unchanged; added \(Amount.bytes(finished.addedBytes)) "
                + "in \(Amount.milliseconds(result.seconds * 1000))")
        context.say(dryRun ? "nothing was stored" : "snapshot \("\(finished.id)".prefix(8)) saved")
    }
}

extension CaptureStatistics {
    mutating func add(_ other: CaptureStatistics) {
        files += other.files
        directories += other.directories
        others += other.others
        bytes += other.bytes
        filesRead += other.filesRead
        bytesRead += other.bytesRead
        filesUnchanged += other.filesUnchanged
        bytesAdded += other.bytesAdded
        vanished += other.vanished
        changedWhileRead += other.changedWhileRead
    }
}

/// Counts beside the backup what there is to do.
private final class Scan: Sendable {
    private let sources: [BackupSource]
    private let rules: ExcludeRules
    private let meter: ProgressMeter
    private let isStopped = Mutex(false)

    init(_ sources: [BackupSource], _ rules: ExcludeRules, _ meter: ProgressMeter) {
        self.sources = sources
        self.rules = rules
        self.meter = meter
    }

    func start() {
        let thread = Thread { [self] in
            var scan = BackupScan()
            for source in sources {
                let filter = CaptureFilter(excludes: rules.excludes(below: source.path))
                scan.add(source.path, filter: filter) { !isStopped.withLock { $0 } }
            }
            if !isStopped.withLock({ $0 }) { meter.expect(items: scan.files, bytes: scan.bytes) }
        }
        thread.name = "holdfast-scan"
        thread.start()
    }

    func stop() { isStopped.withLock { $0 = true } }
}
