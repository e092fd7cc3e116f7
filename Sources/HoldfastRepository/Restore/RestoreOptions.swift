import HoldfastModel

/// A directory of a snapshot.
public struct TreePath: Sendable, Hashable {
    public var snapshot: SnapshotID
    /// `/` for everything.
    public var path: String

    public init(_ snapshot: SnapshotID, path: String = "/") {
        self.snapshot = snapshot
        self.path = path
    }
}

/// Whom restored files shall belong to.
public struct FileOwner: Sendable, Hashable {
    public var user: UInt32
    public var group: UInt32

    public init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }
}

/// How a restore is done.
public struct RestoreOptions: Sendable {
    /// Everything gets this owner; nil restores the owners as stored. Without root nothing changes its owner.
    public var owner: FileOwner?
    /// Whether to leave out the entry at this path, relative to the restored directory; of a directory all of it.
    public var excludes: @Sendable (String) -> Bool
    /// Write everything back to the disk before the restore counts as done.
    public var isDurable: Bool
    /// What becomes of the things that the target holds already.
    package enum Existing: Sendable {
        /// There must be none.
        case refused
        /// They stay, and files in the way of restored ones are replaced.
        case replaced
        /// They stay, and what they are in the way of is not restored.
        case kept
    }

    package var existing = Existing.refused
    /// Whether the directory at this path only leads to what is restored; one that exists keeps its metadata then.
    package var isOnlyOnTheWay: @Sendable (String) -> Bool = { _ in false }
    /// Counts bytes and files as they are written.
    package var meter: ProgressMeter?

    public init(
        owner: FileOwner? = nil, isDurable: Bool = true, excludes: @escaping @Sendable (String) -> Bool = { _ in false }
    ) {
        self.owner = owner
        self.isDurable = isDurable
        self.excludes = excludes
    }
}

/// Something that a restore could not bring back.
public struct RestoreProblem: Sendable, Hashable, CustomStringConvertible {
    /// Relative to the restored directory.
    public let path: String
    public let reason: String

    public var description: String { "\(path): \(reason)" }
}

/// What a restore did.
public struct RestoreReport: Sendable, Hashable {
    public internal(set) var files = 0
    public internal(set) var directories = 0
    /// Links, pipes and device nodes.
    public internal(set) var others = 0
    /// Of all restored files.
    public internal(set) var bytes: Int64 = 0
    /// What is not there now although it is in the snapshot, sorted by path.
    public internal(set) var problems: [RestoreProblem] = []
    /// What is there, but lacks an attribute or the like; sockets, which only their owners can make.
    public internal(set) var remarks: [RestoreProblem] = []

    /// Paths of files and the like that were there before, and stayed because they were to be kept; sorted.
    package internal(set) var kept: [String] = []

    public var isComplete: Bool { problems.isEmpty }
}
