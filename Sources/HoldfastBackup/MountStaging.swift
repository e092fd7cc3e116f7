import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Whether what changed while the mounts were read is worth another round of reading before the hold.
///
/// What is left for the hold has to be small; and when a round finds nearly as much as the one before, then files
/// change faster than they are read, and only the hold will end that.
package struct PreCopyRounds: Sendable {
    /// What the hold may copy without being noticed.
    static let smallBytes: Int64 = 4 << 20
    static let smallFiles = 64
    static let limit = 5

    private var count = 0
    private var before: Int64?

    package init() {}

    /// - Parameters:
    ///   - bytes: of the files that had changed when the last round began.
    ///   - files: their number.
    package mutating func wantsAnother(bytes: Int64, files: Int) -> Bool {
        count += 1
        defer { before = bytes }
        guard count < Self.limit, bytes > Self.smallBytes || files > Self.smallFiles else { return false }
        return before.map { bytes <= $0 / 2 } ?? true
    }
}

/// The files of an environment's mounts: read in rounds before the hold, set aside in it, stored after it.
struct MountStaging {
    let mounts: [BackupSource.Mount]
    let session: BackupSession
    let staging: Staging
    let time: any TimeSource
    let log: (String) -> Void

    /// Reads again what changed while everything was read, until the rest is small or stops becoming less.
    ///
    /// - Returns: what the last round had to copy aside, which the hold may have to as well.
    func preCopyAgain() throws -> StagingNeed {
        var rounds = PreCopyRounds()
        var bytes: Int64 = 0
        var copied: Int64 = 0
        var files = 0
        repeat {
            (bytes, copied, files) = (0, 0, 0)
            let inUse = FilesInUse.now()
            for mount in mounts {
                let staged = try stage(mount, inUse)
                bytes += staged.bytesStaged
                copied += staged.bytesCopied
                files += staged.filesStaged
            }
            _ = try session.storeStaged()
            if files > 0 { log("Pre-copied again: \(files) files, \(ByteCount(bytes)), had changed meanwhile") }
        } while rounds.wantsAnother(bytes: bytes, files: files)
        return StagingNeed(folder: staging.root, bytes: copied)
    }

    /// What a live mark keeps still; looked for before the first mark, because it takes its time.
    func databases() -> [String: MountedDatabases] {
        Dictionary(mounts.map { ($0.treePath, MountedDatabases(below: $0.directory)) }) { first, _ in first }
    }

    /// Sets aside what changed in all mounts since they were read last.
    ///
    /// - Parameters:
    ///   - isHeld: nobody may write now; a file that changes all the same is an error.
    ///   - databases: by the mount's path in the backup; they stand still while their mount is copied.
    ///   - taken: called with each mount's name as soon as its files are aside.
    /// - Returns: the files that may be torn: they changed while they were copied, or are databases that did not stand
    ///   still. Such as `ledger/files/data.sqlite`.
    @discardableResult
    func mark(
        isHeld: Bool, databases: [String: MountedDatabases] = [:], taken: (String) -> Void
    ) throws -> [String] {
        var torn: [String] = []
        let inUse = FilesInUse.now()
        for mount in mounts {
            let still = databases[mount.treePath]?.hold(time: time)
            let staged = try stage(mount, inUse)
            still?.release()
            taken("\(mount.app)/\(mount.path)")
            guard !isHeld || staged.unstable.isEmpty else {
                throw HoldfastError(
                    .timedOut,
                    "files of mount \(mount.app)/\(mount.path) changed in the hold: "
                        + staged.unstable.prefix(3).joined(separator: ", "),
                    hint: "Look for a process outside of the environment that writes into the mount")
            }
            let files = TornFiles(unstable: staged.unstable, held: still?.held ?? [], missed: still?.missed ?? [])
            torn += files.paths.map { "\(mount.app)/\(mount.path)/\($0)" }
        }
        return torn
    }

    private func stage(_ mount: BackupSource.Mount, _ inUse: FilesInUse) throws -> StageStatistics {
        try session.stageChanges(of: mount.treePath, into: staging.directory(for: mount), inUse: inUse)
    }
}
