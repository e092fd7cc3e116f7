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
    /// When it was last changed: slots that were due before are nobody's fault.
    public var changedAt: Date

    public init(changedAt: Date) { self.changedAt = changedAt }

    /// What was set for a type; setting empty limits goes back to the default.
    public subscript(_ type: EnvironmentType) -> Limits {
        get { types[type.rawValue] ?? Limits() }
        set { types[type.rawValue] = newValue == Limits() ? nil : newValue }
    }

    /// The types of which something was set.
    public var setTypes: [EnvironmentType] { EnvironmentType.allCases.filter { types[$0.rawValue] != nil } }
}
