import HoldfastModel

/// How a session is begun.
public struct BackupOptions: Sendable {
    /// A snapshot of the same things: files that did not change since are not read.
    public var parent: SnapshotID?
    /// Counts files, and bytes that were read or found unchanged.
    package var meter: ProgressMeter?

    public init(parent: SnapshotID? = nil) { self.parent = parent }
}

/// What a capture leaves out, and what it puts up with.
public struct CaptureFilter: Sendable {
    /// Whether to leave out the entry at this path, relative to the captured directory; of a directory all of it.
    public var excludes: @Sendable (String) -> Bool
    /// Files that vanish or change while they are being read are normal, as in a database's physical copy: what was
    /// read is stored, and nothing is counted as unsettled.
    public var mayVanish: Bool
    /// Asked about what cannot be opened or listed: whether to leave it out and go on. Nil ends the capture.
    package var unreadable: (@Sendable (_ path: String, _ error: HoldfastError) -> Bool)?

    public init(mayVanish: Bool = false, excludes: @escaping @Sendable (String) -> Bool = { _ in false }) {
        self.mayVanish = mayVanish
        self.excludes = excludes
    }

    public static let everything = CaptureFilter()
}

/// What a capture did. All sizes in bytes.
public struct CaptureStatistics: Sendable, Hashable {
    public var files = 0
    public var directories = 0
    /// Links, pipes, sockets and device nodes.
    public var others = 0
    /// Of all files, read or not.
    public var bytes: Int64 = 0
    public var filesRead = 0
    public var bytesRead: Int64 = 0
    /// Not read, because the parent snapshot has them unchanged.
    public var filesUnchanged = 0
    /// Added to the repository, sealed and packed.
    public var bytesAdded: Int64 = 0
    /// Vanished between the listing and the reading.
    public var vanished = 0
    /// Changed while they were read; `stageChanges` copies them again.
    public var changedWhileRead = 0

    public init() {}
}

/// What `stageChanges` did.
public struct StageStatistics: Sendable, Hashable {
    /// Entries looked at.
    public var entries = 0
    /// Files that changed or are new, and lie in the staging directory now.
    public var filesStaged = 0
    /// Of these, shared by reflink instead of copied.
    public var filesCloned = 0
    public var bytesStaged: Int64 = 0
    /// The room that the copies took, at least: nothing for what is shared, and nothing for holes.
    public var bytesCopied: Int64 = 0
    /// Entries of the capture that are gone.
    public var removed = 0
    /// Only what the kernel had told to be touched was looked at, instead of everything.
    public var isWatched = false
    /// Files that changed while they were copied: somebody was not frozen. Named by path.
    public var unstable: [String] = []

    public init() {}
}

/// A backup that is complete: everything is durable.
public struct FinishedBackup: Sendable, Hashable {
    public let id: SnapshotID
    /// Sizes of all files in it.
    public let logicalBytes: Int64
    /// What it added to the repository.
    public let addedBytes: Int64
    public let files: Int
    public let directories: Int
}
