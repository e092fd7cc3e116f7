import Foundation

/// One unit of work that a user can watch.
public struct Activity: Sendable, Codable, Hashable, Identifiable {
    public let id: ActivityID
    public let project: ProjectID
    public let environment: EnvironmentID?
    public let type: ActivityType
    public var state: ActivityState
    public var result: ActivityResult?
    /// Why it failed, for people: one line, and a hint if there is one.
    public var failure: String?
    /// 0 to 100; 100 exactly when complete.
    public var completionPercent: Int
    /// What it was asked to do; the keys depend on the type (see docs/architecture.md of the project).
    public var parameters: [String: String]
    /// Who asked; nil for Holdfast itself.
    public var user: UserID?
    public var text: String
    public let createdAt: Date
    public var updatedAt: Date
    public var startedAt: Date?
    public var completedAt: Date?

    public init(
        id: ActivityID, project: ProjectID, environment: EnvironmentID?, type: ActivityType,
        parameters: [String: String] = [:], user: UserID?, text: String, createdAt: Date
    ) {
        self.id = id
        self.project = project
        self.environment = environment
        self.type = type
        self.state = .pending
        self.completionPercent = 0
        self.parameters = parameters
        self.user = user
        self.text = text
        self.createdAt = createdAt
        self.updatedAt = createdAt
    }
}

public enum ActivityType: String, Sendable, Codable, CaseIterable {
    case push = "environment.push"
    case activate = "environment.activate"
    case deactivate = "environment.deactivate"
    case redeploy = "environment.redeploy"
    case delete = "environment.delete"
    case pause = "environment.pause"
    case resume = "environment.resume"
    case cron = "environment.cron"
    case backup = "environment.backup"
    case backupDelete = "environment.backup.delete"
    /// Does what the retention plan of an environment says.
    case retention = "environment.retention"
    case restore = "environment.restore"
    /// Restores a backup aside, checks it and throws it away: a proof that it can be restored.
    case drill = "environment.backup.drill"
    case projectCreate = "project.create"
    /// Frees what no backup of the project needs.
    case prune = "project.prune"

    /// Queues run independently of each other; in one environment only one activity runs at a time.
    public var queue: ActivityQueueName {
        switch self {
        case .backup, .backupDelete, .retention, .prune: .backup
        case .cron: .cron
        default: .default
        }
    }

    /// Whether it runs a build hook, which is the user's own code and may take long.
    public var builds: Bool {
        switch self {
        case .push, .activate, .redeploy: true
        default: false
        }
    }

    /// Whether it reads or writes the project's backup repository, so that it and a prune exclude each other.
    public var usesRepository: Bool {
        switch self {
        case .backup, .backupDelete, .retention, .restore, .drill, .prune: true
        default: false
        }
    }

    /// Whether an open activity of this type makes its environment dirty: it changes deployment or data.
    public var makesDirty: Bool {
        switch self {
        case .cron, .backup, .backupDelete, .retention, .drill, .projectCreate, .prune: false
        default: true
        }
    }
}

public enum ActivityQueueName: String, Sendable, Codable, CaseIterable {
    case `default`
    case backup
    case cron

    /// How many activities of the queue run at a time, in all projects together.
    public var workers: Int { self == .default ? 12 : 2 }

    /// How many run at a time in one project, as the API's settings say: builds for the default queue.
    public var projectLimit: Int { self == .default ? 4 : 2 }

    /// How many builds run at a time in all projects together: the other workers of the queue are for what must not
    /// wait for users' code, such as deletions and restores.
    public static let builds = 8
}

/// Legal moves: pending -> in_progress -> complete; pending -> cancelled.
public enum ActivityState: String, Sendable, Codable, CaseIterable {
    case pending
    case inProgress = "in_progress"
    case complete
    case cancelled

    public var isOpen: Bool { self == .pending || self == .inProgress }
}

public enum ActivityResult: String, Sendable, Codable {
    case success
    case failure
}

/// One line of an activity's log. `sequence` counts from 1 within the activity.
public struct ActivityLogLine: Sendable, Codable, Hashable {
    public let sequence: Int
    public let at: Date
    /// Ends with a newline.
    public let message: String

    public init(sequence: Int, at: Date, message: String) {
        self.sequence = sequence
        self.at = at
        self.message = message
    }
}
