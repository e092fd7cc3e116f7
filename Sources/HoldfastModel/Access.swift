import Foundation

public enum Role: String, Sendable, Codable, CaseIterable, Comparable {
    case viewer
    case contributor
    case admin

    public static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }
    private var rank: Int {
        switch self {
        case .viewer: 0
        case .contributor: 1
        case .admin: 2
        }
    }
}

/// What somebody may do in one project: a project role, and a role per environment type.
///
/// Written as at Upsun: `admin`, `viewer`, `production:admin`, `staging:contributor`, ...
public struct Permissions: Sendable, Hashable, Codable {
    /// `admin` or `viewer` for the whole project; nil if only environment types are given.
    public var project: Role?
    public var types: [EnvironmentType: Role]

    public init(project: Role? = nil, types: [EnvironmentType: Role] = [:]) {
        self.project = project
        self.types = types
    }

    public static let admin = Permissions(project: .admin)

    /// The role that counts on environments of that type; a project's admin is admin everywhere.
    public func role(on type: EnvironmentType) -> Role? {
        if project == .admin { return .admin }
        return types[type] ?? (project == .viewer ? .viewer : nil)
    }

    /// Reads the strings of the contract, such as `["viewer", "production:admin"]`.
    ///
    /// - Throws: `invalidInput` naming the first string that is not of that form.
    public init(strings: [String]) throws {
        self.init()
        for string in strings {
            let parts = string.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            if parts.count == 1, let role = Role(rawValue: parts[0]), role != .contributor {
                project = max(project ?? role, role)
            } else if parts.count == 2, let type = EnvironmentType(rawValue: parts[0]),
                let role = Role(rawValue: parts[1])
            {
                types[type] = role
            } else {
                throw HoldfastError(
                    .invalidInput, "'\(string)' is not a permission",
                    hint: "Use admin, viewer, or TYPE:ROLE such as production:admin or staging:viewer")
            }
        }
    }

    public var strings: [String] {
        var strings = project.map { [$0.rawValue] } ?? []
        for type in EnvironmentType.allCases {
            if let role = types[type] { strings.append("\(type.rawValue):\(role.rawValue)") }
        }
        return strings
    }
}

public struct User: Sendable, Codable, Hashable, Identifiable {
    public let id: UserID
    public var username: String
    public var email: String
    public var displayName: String
    /// May create projects and users, and is admin of every project.
    public var isOperator: Bool
    public let createdAt: Date

    public init(
        id: UserID, username: String, email: String, displayName: String, isOperator: Bool, createdAt: Date
    ) {
        self.id = id
        self.username = username
        self.email = email
        self.displayName = displayName
        self.isOperator = isOperator
        self.createdAt = createdAt
    }
}
