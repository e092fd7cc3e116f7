import Foundation
import HoldfastCatalogue
import HoldfastModel

/// `Authorization: Bearer …`.
enum Bearer {
    static func token(_ header: String?) -> Secret? {
        guard let parts = header?.split(separator: " ", maxSplits: 1), parts.count == 2,
            parts[0].lowercased() == "bearer"
        else { return nil }
        return Secret(parts[1].trimmingCharacters(in: .whitespaces))
    }
}

/// Who asks, and what they may do: the user's permissions, narrowed by the token's scope.
package struct Principal: Sendable {
    package let session: Session
    private let catalogue: Catalogue

    package init(session: Session, catalogue: Catalogue) {
        self.session = session
        self.catalogue = catalogue
    }

    package var user: User { session.user }

    /// May create projects and users; a narrowed token never does.
    package var isOperator: Bool { session.user.isOperator && session.scope == nil }

    /// What they may do in a project; nil if they may not even know of it.
    package func permissions(in project: ProjectID) throws -> Permissions? {
        guard let own = try catalogue.permissions(of: session.user, in: project) else { return nil }
        guard let scope = session.scope else { return own }
        return scope.project == project ? own.narrowed(to: scope.permissions) : nil
    }

    /// - Throws: `notFound` if they may not know of it.
    package func requirePermissions(in project: ProjectID) throws -> Permissions {
        guard let permissions = try permissions(in: project) else {
            throw HoldfastError(
                .notFound, "there is no project '\(project)'", hint: "List those you can see with project:list")
        }
        return permissions
    }

    /// - Throws: `forbidden` with the role they have and the one they would need.
    package func require(_ role: Role, on environment: Environment) throws {
        try require(role, onType: environment.type, of: environment.name, in: environment.project)
    }

    /// The type that an environment had still says who may use its backups.
    ///
    /// - Throws: `forbidden` with the role they have and the one they would need.
    package func require(_ role: Role, on gone: GoneEnvironment) throws {
        try require(role, onType: gone.type, of: gone.name, in: gone.project)
    }

    private func require(
        _ role: Role, onType type: EnvironmentType, of name: String, in project: ProjectID
    ) throws {
        let own = try requirePermissions(in: project).role(on: type)
        guard let own, own >= role else {
            let has = own.map { "has the role \($0.rawValue)" } ?? "has no role"
            throw HoldfastError(
                .forbidden,
                "\(user.username) \(has) on \(type.rawValue) environments, this needs \(role.rawValue) on \(name)",
                hint: "Ask an admin of the project for \(type.rawValue):\(role.rawValue)")
        }
    }

    /// - Throws: `forbidden`, or `notFound` if they may not know of the project.
    package func requireProjectAdmin(_ project: ProjectID) throws {
        guard try requirePermissions(in: project).project == .admin else {
            throw HoldfastError(
                .forbidden, "\(user.username) is not admin of project \(project)",
                hint: "Ask an admin of the project for the role admin")
        }
    }

    /// - Throws: `forbidden`.
    package func requireOperator() throws {
        guard isOperator else {
            throw HoldfastError(
                .forbidden, "\(user.username) is not an operator of this installation",
                hint: "Use the token of an operator, not narrowed to a project")
        }
    }
}

extension Permissions {
    /// What both allow.
    func narrowed(to other: Permissions) -> Permissions {
        let isAdmin = project == .admin && other.project == .admin
        let isViewer = project != nil && other.project != nil
        var result = Permissions(project: isAdmin ? .admin : isViewer ? .viewer : nil)
        for type in EnvironmentType.allCases {
            if let left = role(on: type), let right = other.role(on: type) { result.types[type] = min(left, right) }
        }
        return result
    }
}

extension Permissions {
    /// The first of the wanted permissions that is more than these, as the contract writes it; nil if none is.
    func firstBeyond(_ wanted: Permissions) -> String? {
        if wanted.project == .admin, project != .admin { return "admin" }
        if wanted.project != nil, project == nil { return "viewer" }
        for type in EnvironmentType.allCases {
            guard let role = wanted.types[type] else { continue }
            if (self.role(on: type)).map({ $0 < role }) ?? true { return "\(type.rawValue):\(role.rawValue)" }
        }
        return nil
    }
}
