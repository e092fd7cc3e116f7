import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// One step with the engine: `<verb> <repository> [argument …]`, with the password in `HOLDFAST_PROOF_PASSWORD`.
enum EngineCommand {
    static func run(_ arguments: [String]) throws {
        guard arguments.count >= 2 else {
            throw HoldfastError(.invalidInput, "a verb and a repository are needed", hint: "Read the source")
        }
        let repository = try open(arguments[1])
        switch (arguments[0], arguments.count) {
        case ("backup", 3): try backup(arguments[2], to: repository)
        case ("forget", 3): try forget(keeping: arguments[2], in: repository)
        case ("prune", 2):
            let report = try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            say("removed \(report.packsRemoved) packs, wrote \(report.packsWritten)")
        case ("repair", 2): say("\(try repository.repair())")
        case ("restore", 4): try restore(arguments[2], from: repository, to: arguments[3])
        case ("lock", 3): try lock(repository, isExclusive: arguments[2] == "exclusive")
        default: throw HoldfastError(.invalidInput, "'\(arguments.joined(separator: " "))' is no step")
        }
    }

    static func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

    private static func open(_ root: String) throws -> Repository {
        let password = Secret(ProcessInfo.processInfo.environment["HOLDFAST_PROOF_PASSWORD"] ?? "")
        return try Repository.open(store: FileBlobStore(root: root), password: password)
    }

    /// Prints the snapshot's id when it is durable.
    private static func backup(_ directory: String, to repository: Repository) throws {
        let session = try repository.beginBackup()
        defer { session.abandon() }
        try session.capture(directory, as: "/data")
        let info = SnapshotInfo(time: SystemTime().now(), hostname: "proof", tags: ["proof"], paths: ["/"])
        say("\(try session.finish(info).id)")
    }

    /// Forgets all snapshots of this program but the given one.
    private static func forget(keeping id: String, in repository: Repository) throws {
        for entry in try repository.snapshots() where entry.snapshot.info.tags == ["proof"] && "\(entry.id)" != id {
            try repository.forget(entry.id)
        }
    }

    private static func restore(_ id: String, from repository: Repository, to directory: String) throws {
        guard let id = SnapshotID(id) else { throw HoldfastError(.invalidInput, "'\(id)' is not a snapshot's name") }
        let report = try repository.restore(TreePath(id, path: "/data"), to: directory)
        guard report.isComplete else { throw HoldfastError(.damaged, "not restored: \(report.problems)") }
        say("\(report.files) files")
    }

    /// Holds a lock until the input ends; says so when it has it.
    private static func lock(_ repository: Repository, isExclusive: Bool) throws {
        let session = isExclusive ? nil : try repository.beginBackup()
        let keeper = isExclusive ? try repository.lockExclusively() : nil
        say("held")
        _ = FileHandle.standardInput.readDataToEndOfFile()
        session?.abandon()
        keeper?.release()
    }
}
