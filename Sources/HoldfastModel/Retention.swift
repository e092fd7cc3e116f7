import Foundation

/// One tick of a schedule that a backup stands for: an interval such as `1d`, and the number of its period.
public struct SlotClaim: Sendable, Codable, Hashable {
    public let interval: String
    public let slot: Int

    public init(interval: String, slot: Int) {
        self.interval = interval
        self.slot = slot
    }
}

/// What says how long a backup stays, and what people wrote on it. All of it can change during a backup's life, except
/// for the claims.
public struct BackupKeeping: Sendable, Codable, Hashable {
    /// The slots of schedules that it claimed when it was recorded; none for a manual one.
    public var claims: [SlotClaim] = []
    /// No policy deletes it, and nobody by hand without saying so twice.
    public var isProtected = false
    /// Until then nobody deletes it at all.
    public var lockedUntil: Date?
    /// It was deleted, and can be brought back until its grace is over.
    public var deletedAt: Date?
    /// Why it was deleted, for people.
    public var deletedBecause: String?
    public var label: String?
    public var note: String?

    public init() {}

    public var isDeleted: Bool { deletedAt != nil }

    public func isLocked(at now: Date) -> Bool { lockedUntil.map { $0 > now } ?? false }

    /// A lock cannot be taken off by anybody, so one that is longer can only be a mistake: ten years, in seconds.
    public static let longestLock: TimeInterval = 3653 * 86_400

    /// Whether the backup may be deleted, as far as people protected it.
    ///
    /// - Parameter force: also if it is protected; one that is locked never goes.
    /// - Throws: `conflict` with the reason.
    public func checkMayGo(_ backup: BackupID, force: Bool, at now: Date) throws {
        if isLocked(at: now), let lockedUntil {
            throw HoldfastError(
                .conflict,
                "backup \(backup) is locked until \(lockedUntil.formatted(.iso8601)), and goes for nobody before",
                hint: "Wait until then")
        }
        if isProtected, !force {
            throw HoldfastError(
                .conflict, "backup \(backup) is protected",
                hint: "Unprotect it with backup:protect --off, or delete it with --force")
        }
    }
}

extension KeyedDecodingContainer {
    /// Backups that were written before there was retention; the compiler picks this one for `Backup`.
    func decode(_ type: BackupKeeping.Type, forKey key: Key) throws -> BackupKeeping {
        try decodeIfPresent(type, forKey: key) ?? BackupKeeping()
    }
}

/// What was set of a project's backup policy, for each type of environment. What was not set has its default.
public struct RetentionSettings: Sendable, Codable, Hashable {
    public struct Schedule: Sendable, Codable, Hashable {
        /// A number and a unit, such as `1d`.
        public var interval: String
        public var count: Int
        /// Consistent backups instead of live ones.
        public var safe: Bool?

        public init(interval: String, count: Int, safe: Bool? = nil) {
            self.interval = interval
            self.count = count
            self.safe = safe
        }
    }

    public struct Limits: Sendable, Codable, Hashable {
        /// Manual and automated ones together; nil for no limit.
        public var maxBackups: Int?
        /// Nil for no limit.
        public var manualCount: Int?
        /// Nil for the default of the type; empty for no automated backups.
        public var schedule: [Schedule]?

        public init() {}
    }

    /// By the type's name; a type that is missing has the default.
    private var types: [String: Limits] = [:]
    /// When anything of it was last changed.
    public var changedAt: Date
    /// By the type's name; nil in settings that were written before there was this key.
    private var changes: [String: Date]?

    public init(changedAt: Date) { self.changedAt = changedAt }

    /// When the policy of a type was last changed: slots of a new schedule that were due before are nobody's fault. Nil
    /// if it never was.
    public func changedAt(of type: EnvironmentType) -> Date? {
        guard let changes else { return changedAt }
        return changes[type.rawValue]
    }

    /// Notes which types differ from what was set before.
    ///
    /// - Parameter old: nil if nothing was set.
    public mutating func noteChanges(from old: RetentionSettings?, at now: Date) {
        var changes: [String: Date] = [:]
        for type in EnvironmentType.allCases {
            let isChanged = self[type] != (old?[type] ?? Limits())
            changes[type.rawValue] = isChanged ? now : old?.changedAt(of: type)
        }
        self.changes = changes
        changedAt = now
    }

    /// What was set for a type; setting empty limits goes back to the default.
    public subscript(_ type: EnvironmentType) -> Limits {
        get { types[type.rawValue] ?? Limits() }
        set { types[type.rawValue] = newValue == Limits() ? nil : newValue }
    }

    /// The types of which something was set.
    public var setTypes: [EnvironmentType] { EnvironmentType.allCases.filter { types[$0.rawValue] != nil } }
}
