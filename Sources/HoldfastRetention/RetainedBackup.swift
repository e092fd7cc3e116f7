import HoldfastModel

/// What retention has to know of a backup.
public struct RetainedBackup: Sendable, Hashable {
    public let id: BackupID
    /// Grows with each backup of the environment: the order in which they were recorded, whatever the clock said.
    public let order: Int
    public let isAutomated: Bool
    /// Consistent: taken under an unbroken hold.
    public let isSafe: Bool
    /// Complete, and durable on as many sites as are required.
    public var isGood: Bool
    /// The sites on which it is complete, as far as that is on record.
    public var sites: Set<String>
    /// Protected by somebody, or locked until a date that has not come.
    public var isProtected: Bool
    /// An open activity reads it.
    public var isInUse: Bool
    /// The slots that were due when it began, and that nobody else had claimed when it was done.
    public var claims: Set<Slot>

    public init(
        id: BackupID, order: Int, isAutomated: Bool, isSafe: Bool = false, isGood: Bool = true,
        claims: Set<Slot> = []
    ) {
        self.id = id
        self.order = order
        self.isAutomated = isAutomated
        self.isSafe = isSafe
        self.isGood = isGood
        sites = []
        isProtected = false
        isInUse = false
        self.claims = claims
    }
}
