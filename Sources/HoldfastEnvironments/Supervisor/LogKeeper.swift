import Foundation
import HoldfastControl
import HoldfastModel
import Logging

/// Keeps the logs of an environment from filling the disk while their processes write.
///
/// The processes have the files open and outlive us, so nothing stands between them and the files: they are looked at
/// again and again, and one over the limit has its end copied to `<name>.log.1` and is emptied. That works because
/// every writer appends. A process that writes faster than we look loses the part in between, nobody else the disk.
struct LogKeeper {
    /// Absolute path of the folder.
    let directory: String
    /// Bytes that a log, and the one before it, may have.
    let limit: Int
    let logger: Logger
    private var sizes: [String: Int] = [:]

    init(directory: String, limit: Int, logger: Logger) {
        self.directory = directory
        self.limit = max(limit, 4096)
        self.logger = logger
    }

    /// Looks at all logs once.
    ///
    /// - Returns: how long to wait until the next look: less while one of them grows fast.
    mutating func look() -> Duration {
        var isFast = false
        var seen: [String: Int] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        where name.hasSuffix(".log") {
            let path = "\(directory)/\(name)"
            var size = LogFile.size(path)
            if size - (sizes[name] ?? size) > limit / 16 { isFast = true }
            if size > limit {
                do {
                    try putAside(path, size: size)
                    size = LogFile.size(path)
                } catch {
                    // Better no old log than a full disk.
                    truncate(path, 0)
                    logger.error("a log cannot be put aside", metadata: ["log": "\(path)", "error": "\(error)"])
                }
                isFast = true
            }
            seen[name] = size
        }
        sizes = seen
        return isFast ? .milliseconds(10) : .milliseconds(200)
    }

    /// Copies the end of a log to `.1`, then empties it.
    private func putAside(_ path: String, size: Int) throws {
        let log = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard log >= 0 else { throw SystemFailure.error("open '\(path)'") }
        defer { close(log) }
        let temporary = path + ".1.new"
        unlink(temporary)
        let old = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard old >= 0 else { throw SystemFailure.error("create '\(temporary)'") }
        do {
            defer { close(old) }
            try copy(log, from: size - limit, count: limit, to: old, path)
        } catch {
            unlink(temporary)
            throw error
        }
        guard ftruncate(log, 0) == 0 else { throw SystemFailure.error("empty '\(path)'") }
        guard rename(temporary, path + ".1") == 0 else { throw SystemFailure.error("replace '\(path).1'") }
    }

    private func copy(_ source: Int32, from start: Int, count: Int, to target: Int32, _ path: String) throws {
        var buffer = [UInt8](repeating: 0, count: min(count, 1 << 20))
        var done = 0
        while done < count {
            let piece = pread(source, &buffer, min(buffer.count, count - done), off_t(start + done))
            if piece == 0 { return }
            guard piece > 0 else { throw SystemFailure.error("read '\(path)'") }
            var written = 0
            while written < piece {
                let result = buffer.withUnsafeBytes { bytes in
                    write(target, bytes.baseAddress?.advanced(by: written), piece - written)
                }
                guard result > 0 else { throw SystemFailure.error("write '\(path).1'") }
                written += result
            }
            done += piece
        }
    }
}

extension Supervisor {
    /// Looks after the logs until the supervisor ends.
    func keepLogs() {
        startThread("logs") { [self] in
            var keeper = LogKeeper(directory: layout.logDirectory, limit: options.logLimit, logger: logger)
            while true {
                let pause = keeper.look()
                let isOver = state.wait(until: Deadline(after: pause, time: parts.time)) { $0.isFinished ? true : nil }
                if isOver != nil { return }
            }
        }
    }
}
