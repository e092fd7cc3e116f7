import Foundation

/// A project: a Git repository, its environments and one backup repository.
public struct Project: Sendable, Codable, Hashable, Identifiable {
    public let id: ProjectID
    public var title: String
    /// The branch whose environment is the production one.
    public var defaultBranch: String
    public var region: String
    /// IANA name of the time zone that civil schedules are read in.
    public var timeZone: String
    public let createdAt: Date
    public var updatedAt: Date
    /// What was set of the backup policy; nil while nothing was.
    public var retention: RetentionSettings?

    public init(
        id: ProjectID, title: String, defaultBranch: String, region: String, timeZone: String, createdAt: Date
    ) {
        self.id = id
        self.title = title
        self.defaultBranch = defaultBranch
        self.region = region
        self.timeZone = timeZone
        self.createdAt = createdAt
        self.updatedAt = createdAt
    }
}

public enum EnvironmentType: String, Sendable, Codable, CaseIterable {
    case production
    case staging
    case development
}

/// What is stored of an environment's state. `dirty` is derived: an activity that changes deployment or data is open.
public enum EnvironmentStatus: String, Sendable, Codable, CaseIterable {
    case active
    case inactive
    case paused
    case dirty
    case deleting

    /// What somebody has to do so that it becomes active; nil if only waiting helps, or nothing does.
    public var wayToActive: String? {
        switch self {
        case .paused: "Resume it first, with environment:resume"
        case .inactive: "Activate it first, with environment:activate"
        case .active, .dirty, .deleting: nil
        }
    }
}

extension Environment {
    /// The name as a host name can hold it, made unique by a hash, such as `main-bvxea6i`.
    public static func machineName(project: ProjectID, name: String) -> String {
        let allowed = name.lowercased().utf8.map { byte -> UInt8 in
            (97...122).contains(byte) || (48...57).contains(byte) ? byte : UInt8(ascii: "-")
        }
        let text = String(decoding: allowed.prefix(40), as: UTF8.self)
        let trimmed = text.trimmingCharacters(in: CharacterSet(charactersIn: "-"))
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        var hash = StableHash.of("\(project)/\(name)")
        var suffix = ""
        for _ in 0..<7 {
            suffix.unicodeScalars.append(Unicode.Scalar(alphabet[Int(hash & 31)]))
            hash >>= 5
        }
        return trimmed.isEmpty ? suffix : "\(trimmed)-\(suffix)"
    }

    public var machineName: String { Self.machineName(project: project, name: name) }
}

/// A branch of a project with, when active, its running code, services and mounts.
public struct Environment: Sendable, Codable, Hashable, Identifiable {
    public let id: EnvironmentID
    public let project: ProjectID
    /// The branch; unique in the project. The API's `id` and `name`.
    public let name: String
    public var title: String
    public var type: EnvironmentType
    /// Never `dirty` in storage.
    public var status: EnvironmentStatus
    public var parent: String?
    /// The commit the branch points to, 40 hexadecimal digits; nil before the first push.
    public var headCommit: String?
    public let createdAt: Date
    public var updatedAt: Date

    public init(
        id: EnvironmentID, project: ProjectID, name: String, type: EnvironmentType, status: EnvironmentStatus,
        createdAt: Date
    ) {
        self.id = id
        self.project = project
        self.name = name
        self.title = name
        self.type = type
        self.status = status
        self.createdAt = createdAt
        self.updatedAt = createdAt
    }
}
