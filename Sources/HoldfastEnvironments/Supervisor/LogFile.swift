import Foundation
import HoldfastModel

/// The logs of processes: appended to by them, read from their end by us.
enum LogFile {
    static func size(_ path: String) -> Int {
        var status = stat()
        return lstat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// An offset shortly before its end: for a process that may have said already why it will fail.
    static func recent(_ path: String) -> Int { max(0, size(path) - 2048) }

    /// What was appended since it had `offset` bytes: its last `limit` bytes, from the beginning of a line.
    static func tail(_ path: String, from offset: Int = 0, limit: Int = 4096) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return "" }
        defer { close(file) }
        let end = Int(lseek(file, 0, Int32(SEEK_END)))
        // A log that is shorter than it was has been put aside meanwhile.
        let offset = offset > end ? 0 : offset
        let start = max(offset, end - limit)
        guard end > start else { return "" }
        var bytes = [UInt8](repeating: 0, count: end - start)
        var count = 0
        while count < bytes.count {
            let result = bytes.withUnsafeMutableBytes { buffer in
                pread(file, buffer.baseAddress?.advanced(by: count), buffer.count - count, off_t(start + count))
            }
            guard result > 0 else { break }
            count += result
        }
        var text = bytes.prefix(count)[...]
        if start > offset, let newline = text.firstIndex(of: 10) { text = text[(newline + 1)...] }
        return String(decoding: text, as: UTF8.self)
    }

    /// The last lines, for an error's message.
    static func lastLines(_ path: String, from offset: Int) -> String {
        let lines = tail(path, from: offset, limit: 2048).split(separator: "\n").suffix(8)
        return lines.isEmpty ? "it printed nothing" : "its last lines: " + lines.joined(separator: " | ")
    }
}
