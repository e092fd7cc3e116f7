import Foundation

/// What somebody is told: that something is wrong, that it is well again, or that there is nothing more to say of it.
public struct Notice: Sendable, Codable, Hashable, Identifiable {
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// The last backup of an environment that was tried failed, whoever asked for it.
        case backupFailed = "backup.failed"
        /// An automated backup that should be there is not.
        case backupOverdue = "backup.overdue"
        /// The newest backup is not on all of its sites.
        case backupDegraded = "backup.degraded"
        /// What the policy of an environment deletes could not be deleted.
        case policyFailed = "policy.failed"
        /// What no backup needs could not be freed.
        case pruneFailed = "prune.failed"
        /// A backup could not be restored aside.
        case drillFailed = "drill.failed"
        /// The wall clock cannot be trusted.
        case clockJumped = "clock.jumped"
        /// Somebody wants to see whether notices arrive.
        case test
    }

    public enum Change: String, Sendable, Codable {
        /// It is so from now on; it is told once.
        case raised
        /// It is over, because what had failed has worked.
        case recovered
        /// It is over, because there is nothing left that it could be about.
        case ended
    }

    /// The same in every try to deliver it, so that who gets it twice can tell.
    public let id: String
    public var kind: Kind
    public var change: Change
    /// When it was noticed.
    public var at: Date
    /// Since when it is, or was, so.
    public var since: Date
    public var project: ProjectID?
    public var projectTitle: String?
    public var environment: EnvironmentID?
    /// The environment's name.
    public var environmentName: String?
    /// What happened, in one sentence without a full stop, for people.
    public var text: String
    /// The activity that failed.
    public var activity: ActivityID?

    public init(id: String, kind: Kind, change: Change, at: Date, since: Date, text: String) {
        self.id = id
        self.kind = kind
        self.change = change
        self.at = at
        self.since = since
        self.text = text
    }
}

/// What a channel was told last of one thing that is wrong.
public struct ToldAlarm: Sendable, Hashable {
    public let channel: String
    /// What is wrong with what: the kind and the id of the environment or project.
    public let key: String
    public let notice: Notice

    public init(channel: String, key: String, notice: Notice) {
        self.channel = channel
        self.key = key
        self.notice = notice
    }
}

/// A notice on its way to a channel.
public struct WaitingNotice: Sendable, Hashable {
    /// The order in which they go, within a channel.
    public let sequence: Int64
    public let channel: String
    public let notice: Notice
    /// How often it was tried.
    public let attempts: Int
    /// Not tried again before.
    public let nextAt: Date
    /// Why the last try failed.
    public let problem: String?

    public init(sequence: Int64, channel: String, notice: Notice, attempts: Int, nextAt: Date, problem: String?) {
        self.sequence = sequence
        self.channel = channel
        self.notice = notice
        self.attempts = attempts
        self.nextAt = nextAt
        self.problem = problem
    }
}

/// When a backup that is late is called overdue, by whoever says so.
public enum Overdue {
    /// Seconds that an automated backup may take and be tried again before it is overdue.
    public static let patience = 900
}
