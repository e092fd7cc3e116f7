import Foundation
import HoldfastModel
import Synchronization

/// `processes.json`: what a supervisor has running, for the one after it.
final class ProcessFile: Sendable {
    struct Entry: Codable, Sendable {
        var record: ProcessRecord
        var handle: ProcessHandle
    }

    private struct Content: Codable {
        var version = 1
        /// Numbers and start times mean something only until the machine is started again.
        var boot: String
        var processes: [Entry]
    }

    private let path: String
    /// Writers come from many threads.
    private let lock = Mutex(())

    init(path: String) { self.path = path }

    /// - Parameter collect: called with the lock held: else an older look could be written after a newer one.
    func write(_ collect: () -> [Entry]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try lock.withLock { _ in
            let entries = collect().sorted { $0.record.key < $1.record.key }
            let bytes = Array(try encoder.encode(Content(boot: Self.boot, processes: entries)))
            // After a power failure none of these processes is there: no need to wait for the disk.
            try DurableFile.write(bytes, to: path, durable: false)
        }
    }

    /// What was running; nothing if the machine was started since.
    func read() -> [Entry] {
        guard let bytes = try? DurableFile.read(path),
            let content = try? JSONDecoder().decode(Content.self, from: Data(bytes)), content.version == 1,
            content.boot == Self.boot
        else { return [] }
        return content.processes
    }

    private static var boot: String {
        ProcessTable.read("/proc/sys/kernel/random/boot_id")?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
    }

    /// Leaders of sessions whose environment says that they belong to a supervisor of this environment, each with the
    /// key of the process that they are, or come from; nil for what was run to its end.
    static func marked(_ environment: EnvironmentID) -> [(handle: ProcessHandle, key: String?)] {
        let marker = Array("\(ProcessSurroundings.environmentMarker)=\(environment)".utf8)
        let keyMarker = Array("\(ProcessSurroundings.processMarker)=".utf8)
        return ProcessTable.all().compactMap { entry in
            guard entry.session == entry.pid, !entry.isZombie, entry.pid != getpid(),
                let text = try? DurableFile.read("/proc/\(entry.pid)/environ")
            else { return nil }
            let variables = text.split(separator: 0)
            guard variables.contains(where: { $0.elementsEqual(marker) }) else { return nil }
            let key = variables.first { $0.starts(with: keyMarker) }
            return (entry.handle, key.map { String(decoding: $0.dropFirst(keyMarker.count), as: UTF8.self) })
        }
    }
}
