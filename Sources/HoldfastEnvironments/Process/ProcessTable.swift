import Foundation
import HoldfastModel

/// What `/proc` says of processes.
package enum ProcessTable {
    package struct Entry: Sendable, Hashable {
        package let pid: Int32
        package let parent: Int32
        package let session: Int32
        package let startTime: UInt64
        /// One letter, such as `S`, `R`, `T` (stopped) or `Z` (zombie).
        package let state: Character

        package let threads: Int

        /// Whether nothing of it runs. A first thread that has ended looks like a zombie while others go on.
        package var isZombie: Bool { (state == "Z" || state == "X") && threads <= 1 }
        package var handle: ProcessHandle { ProcessHandle(pid: pid, startTime: startTime) }
    }

    /// One process; nil if there is none of that number.
    package static func entry(_ pid: Int32) -> Entry? {
        guard let text = read("/proc/\(pid)/stat") else { return nil }
        return parse(text)
    }

    /// All processes that there are now.
    package static func all() -> [Entry] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var entries: [Entry] = []
        while let item = readdir(directory) {
            let name = withUnsafePointer(to: &item.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let pid = Int32(name), let entry = entry(pid) { entries.append(entry) }
        }
        return entries
    }

    /// The living processes of the session that a process leads or led.
    static func session(of leader: ProcessHandle) -> [ProcessHandle] {
        // A member older than the leader belongs to another session that had the same number.
        all().filter { $0.session == leader.pid && !$0.isZombie && $0.startTime >= leader.startTime }.map(\.handle)
    }

    /// The living processes of a leader's session and all that descend from them, though they left it.
    static func tree(of leader: ProcessHandle, in entries: [Entry]) -> [Entry] {
        var members = Set(
            entries.filter { $0.session == leader.pid && $0.startTime >= leader.startTime }.map(\.pid))
        var grew = true
        while grew {
            grew = false
            for entry in entries where !members.contains(entry.pid) && members.contains(entry.parent) {
                members.insert(entry.pid)
                grew = true
            }
        }
        return entries.filter { members.contains($0.pid) && !$0.isZombie }
    }

    /// Whether a process has a handler of its own for a signal.
    static func catches(_ pid: Int32, signal: Int32) -> Bool {
        guard let text = read("/proc/\(pid)/status") else { return false }
        for line in text.split(separator: "\n") where line.hasPrefix("SigCgt:") {
            let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) ?? 0
            return mask & (1 << UInt64(signal - 1)) != 0
        }
        return false
    }

    /// Parses `/proc/<pid>/stat`: the name in parentheses may contain anything, so the last `)` counts.
    package static func parse(_ text: String) -> Entry? {
        // Bytes: all processes are looked at while a service stands still, and characters take several times as long.
        let bytes = text.utf8
        guard let open = bytes.firstIndex(of: UInt8(ascii: "(")), let close = bytes.lastIndex(of: UInt8(ascii: ")")),
            let pid = words(bytes[..<open]).first.flatMap({ Int32($0) })
        else { return nil }
        let fields = words(bytes[bytes.index(after: close)...])
        guard fields.count > 19, let state = fields[0].first, let parent = Int32(fields[1]),
            let session = Int32(fields[3]), let threads = Int(fields[17]), let startTime = UInt64(fields[19])
        else { return nil }
        return Entry(pid: pid, parent: parent, session: session, startTime: startTime, state: state, threads: threads)
    }

    private static func words(_ bytes: Substring.UTF8View) -> [Substring] {
        bytes.split(separator: UInt8(ascii: " ")).map { Substring($0) }
    }

    /// A small file of `/proc` or of a cgroup.
    static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Foundation.read(file, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += buffer[..<count]
        }
    }
}
