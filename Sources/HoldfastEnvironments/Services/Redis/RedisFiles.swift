import Foundation
import HoldfastModel

/// The files of a server that keeps its data, since Redis 7: a base, which may be a point in time, and logs behind it,
/// named by a manifest.
enum RedisFiles {
    static let dump = "dump.rdb"
    static let logDirectory = "appendonlydir"
    static let logName = "appendonly.aof"
    static let manifest = "appendonly.aof.manifest"
    static let base = "appendonly.aof.1.base.rdb"
    /// A manifest that names a point in time and no log.
    static let manifestText = "file \(base) seq 1 type b\n"

    /// Refuses data that is not whole: the server would begin with an empty database beside it.
    static func check(_ data: GuardedDirectory, of instance: ServiceInstance) throws {
        let names = try data.names().filter { !isTemporary($0) && $0 != dump }
        if names.isEmpty { return }
        guard RedisAdapter.isPersistent(instance.type), names == [logDirectory] else {
            throw damaged(data, instance, "holds '\(names.first { $0 != logDirectory } ?? logDirectory)'")
        }
        let directory = try data.directory(logDirectory)
        guard try directory.status(manifest) != nil else { throw damaged(directory, instance, "has no \(manifest)") }
        let text = String(decoding: try directory.read(manifest, limit: 1 << 20), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("file ") {
            let words = line.split(separator: " ")
            guard words.count >= 2 else { throw damaged(directory, instance, "has a manifest that cannot be read") }
            guard try directory.status(String(words[1])) != nil else {
                // What is only history may be gone.
                if words.last == "h" { continue }
                throw damaged(directory, instance, "has no \(words[1])")
            }
        }
    }

    private static func isTemporary(_ name: String) -> Bool { name.hasPrefix("temp-") }

    private static func damaged(
        _ directory: GuardedDirectory, _ instance: ServiceInstance, _ what: String
    ) -> HoldfastError {
        HoldfastError(
            .damaged, "the data directory '\(directory.path)' of service '\(instance.name)' \(what)",
            hint: "Restore a backup, or remove the directory to begin with an empty database")
    }
}
