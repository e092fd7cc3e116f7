import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// `holdfast-bench engine`: one step with our engine.
enum EngineCommand {
    /// - Parameter arguments: verb, repository, and what the verb needs.
    static func run(_ arguments: [String]) throws {
        guard arguments.count >= 2 else { throw BenchError("engine is called by run") }
        let password = Secret(ProcessInfo.processInfo.environment["HOLDFAST_BENCH_PASSWORD"] ?? Tool.password)
        let root = arguments[1]
        switch (arguments[0], arguments.count) {
        case ("init", 2): _ = try Repository.create(store: FileBlobStore.create(root: root), password: password)
        case ("open", 2): try list(open(root, password))
        case ("backup", 3): try backup(arguments[2], to: open(root, password))
        case ("restore", 3): try restore(open(root, password), to: arguments[2])
        case ("check", 2): try check(open(root, password))
        case ("prune", 2): try prune(open(root, password))
        default: throw BenchError("'\(arguments.joined(separator: " "))' is not a verb of engine")
        }
    }

    private static func open(_ root: String, _ password: Secret) throws -> Repository {
        try Repository.open(store: FileBlobStore(root: root), password: password)
    }

    private static func list(_ repository: Repository) throws {
        for entry in try repository.snapshots() { say("\(entry.id) \(entry.snapshot.info.paths)") }
    }

    private static func backup(_ directory: String, to repository: Repository) throws {
        let session = try repository.beginBackup(BackupOptions(parent: try newest(repository)?.id))
        do {
            let statistics = try session.capture(directory, as: "/data")
            let info = SnapshotInfo(time: SystemTime().now(), hostname: "bench", tags: [], paths: [directory])
            let finished = try session.finish(info)
            say(
                "\(finished.id) \(finished.files) files, \(statistics.filesRead) read, \(finished.addedBytes) bytes added"
            )
        } catch {
            session.abandon()
            throw error
        }
    }

    /// As restic, without waiting for the disk at the end.
    private static func restore(_ repository: Repository, to directory: String) throws {
        guard let id = try newest(repository)?.id else { throw BenchError("there is no snapshot") }
        let report = try repository.restore(
            TreePath(id, path: "/data"), to: directory, options: RestoreOptions(isDurable: false))
        guard report.isComplete else { throw BenchError("not restored: \(report.problems)") }
        say("restored \(report.files) files, \(report.bytes) bytes")
    }

    private static func check(_ repository: Repository) throws {
        let report = try repository.check(readData: true)
        guard report.isIntact else { throw BenchError("damaged: \(report.problems)") }
        say("checked \(report.packs) packs, \(report.bytesRead) bytes")
    }

    private static func prune(_ repository: Repository) throws {
        for entry in try repository.snapshots().dropLast() { try repository.forget(entry.id) }
        let report = try repository.planPrune().execute()
        say("removed \(report.packsRemoved) packs, wrote \(report.packsWritten), freed \(report.bytesFreed) bytes")
    }

    private static func newest(_ repository: Repository) throws -> SnapshotEntry? { try repository.snapshots().last }

    private static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
}
