import Foundation
import HoldfastModel

/// Small files of our own that survive a power failure whole.
package enum DurableFile {
    /// The bytes; nil if there is no such file.
    package static func read(_ path: String) throws -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw SystemFailure.error("open '\(path)'")
        }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Foundation.read(file, &buffer, buffer.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes += buffer[..<count]
            } else if errno != EINTR {
                throw SystemFailure.error("read '\(path)'")
            }
        }
    }

    /// Replaces a file: new file, fsync, rename, fsync of the folder.
    ///
    /// - Parameter durable: false leaves out both fsyncs, for what is of no use after a power failure.
    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o600, durable: Bool = true) throws {
        let temporary = "\(path).\(getpid()).\(pthread_self()).new"
        unlink(temporary)
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw SystemFailure.error("create '\(temporary)'") }
        do {
            defer { close(file) }
            try writeAll(bytes, file, path)
            if durable, fsync(file) != 0 { throw SystemFailure.error("write '\(path)'") }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let failure = SystemFailure.error("replace '\(path)'")
            unlink(temporary)
            throw failure
        }
        if durable { try syncDirectory((path as NSString).deletingLastPathComponent) }
    }

    package static func syncDirectory(_ path: String) throws {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw SystemFailure.error("open '\(path)'") }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw SystemFailure.error("write '\(path)'") }
    }

    private static func writeAll(_ bytes: [UInt8], _ file: Int32, _ path: String) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Foundation.write(file, buffer.baseAddress?.advanced(by: offset), bytes.count - offset)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemFailure.error("write '\(path)'") }
            offset += count
        }
    }
}
