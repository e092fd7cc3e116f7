/// Something that is wrong in a repository.
public struct CheckProblem: Sendable, Hashable, CustomStringConvertible {
    /// The object or blob, such as `data/3f/3f2a…`.
    public let object: String
    public let reason: String

    public var description: String { "\(object): \(reason)" }
}

/// What a check found.
public struct CheckReport: Sendable, Hashable {
    public internal(set) var snapshots = 0
    public internal(set) var packs = 0
    public internal(set) var trees = 0
    public internal(set) var blobs = 0
    /// Packs that were read and have the bytes that their names say.
    public internal(set) var packsRead = 0
    /// Of packs that were read and verified.
    public internal(set) var bytesRead: Int64 = 0
    /// Damage: something may not be restorable. Sorted by object; the first thousand that were found.
    public internal(set) var problems: [CheckProblem] = []
    /// How many more problems there are.
    public internal(set) var furtherProblems = 0
    /// What single sites lack or have damaged; it says nothing about the others. Sorted by site and object.
    public internal(set) var siteProblems: [CheckProblem] = []
    /// Packs that no index names: left by backups that did not end. They only take space.
    public internal(set) var unusedPacks = 0

    /// Whether everything can be restored.
    public var isIntact: Bool { problems.isEmpty }
    /// Whether each site by itself has everything, too.
    public var isWhole: Bool { problems.isEmpty && siteProblems.isEmpty }
}
