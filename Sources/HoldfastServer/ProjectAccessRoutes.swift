import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects/{p}/user-access` and `/projects/{p}/invitations`: who may do what in a project.
enum ProjectAccessRoutes {
    static func add(to routes: Routes) {
        let base = "/projects/:project/user-access"
        routes.on(.get, base, list)
        routes.on(.post, base) { try add($0, $0.input.decode(API.UserAddInput.self)) }
        routes.on(.get, "\(base)/:user", get)
        routes.on(.patch, "\(base)/:user", edit)
        routes.on(.delete, "\(base)/:user", remove)
        routes.on(.post, "/projects/:project/invitations") { try add($0, $0.input.decode(Invitation.self).input) }
    }

    private static func list(_ call: Call) throws -> Reply {
        let project = try call.project()
        let items = try grants(in: project.id, call).map { try view($0, call) }
        let ids = items.map(\.userId.rawValue).joined(separator: ",")
        let path = "\(Path.project(project.id))/user-access"
        return try .json(API.Collection(items: items, links: ["self": path, "ref:users:0": "/ref/users?in=\(ids)"]))
    }

    private static func get(_ call: Call) throws -> Reply {
        let project = try call.project()
        let user: UserID = try call.input.id("user")
        guard let grant = try grants(in: project.id, call).first(where: { $0.user.id == user }) else {
            throw HoldfastError(.notFound, "user '\(user)' has no access to project \(project.id)")
        }
        return try .json(view(grant, call))
    }

    /// Makes the user if there is none with that address.
    private static func add(_ call: Call, _ input: API.UserAddInput) throws -> Reply {
        let project = try call.project()
        let permissions = try Permissions(strings: input.permissions)
        let grant = try call.audited("user.add", in: project.id, on: input.email) {
            try call.principal.requireProjectAdmin(project.id)
        } _: {
            let user = try findOrMake(input, call)
            return try call.catalogue.grant(permissions, to: user.id, in: project.id)
        }
        return try .json(view(grant, call), 201)
    }

    private static func edit(_ call: Call) throws -> Reply {
        let permissions = try Permissions(strings: try call.input.decode(API.PermissionsInput.self).permissions)
        let project = try call.project()
        let user: UserID = try call.input.id("user")
        _ = try call.audited("user.edit", in: project.id, on: user.rawValue) {
            try call.principal.requireProjectAdmin(project.id)
        } _: {
            try call.catalogue.grant(permissions, to: user, in: project.id)
        }
        return .noContent
    }

    private static func remove(_ call: Call) throws -> Reply {
        let project = try call.project()
        let user: UserID = try call.input.id("user")
        try call.audited("user.remove", in: project.id, on: user.rawValue) {
            try call.principal.requireProjectAdmin(project.id)
        } _: {
            try call.catalogue.revoke(user: user, in: project.id)
        }
        return .noContent
    }

    /// Those who were given something, and the operators, who are admin everywhere.
    private static func grants(in project: ProjectID, _ call: Call) throws -> [Grant] {
        let given = try call.catalogue.grants(in: project).filter { !$0.user.isOperator }
        let operators = try call.catalogue.users().filter(\.isOperator).map { user in
            Grant(
                user: user, project: project, permissions: .admin, grantedAt: user.createdAt, updatedAt: user.createdAt)
        }
        return operators + given
    }

    private static func view(_ grant: Grant, _ call: Call) throws -> API.UserAccess {
        let path = "\(Path.project(grant.project))/user-access/\(grant.user.id)"
        var links: API.Links = ["self": path]
        if !grant.user.isOperator, try call.principal.permissions(in: grant.project)?.project == .admin {
            links["update"] = path
            links["delete"] = path
        }
        return API.UserAccess(
            user: grant.user.id, project: grant.project, organization: Path.organization,
            permissions: grant.permissions, at: grant.grantedAt, links: links)
    }

    private static func findOrMake(_ input: API.UserAddInput, _ call: Call) throws -> User {
        do {
            return try call.catalogue.user(matching: input.email)
        } catch let error as HoldfastError where error.code == .notFound {
            let name = input.username ?? String(input.email.prefix { $0 != "@" })
            let user = User(
                id: .random(), username: try Check.title(name), email: input.email,
                displayName: try Check.title(input.displayName ?? name), isOperator: false,
                createdAt: call.parts.time.now())
            try call.catalogue.createUser(user)
            return user
        }
    }

    /// What the contract's clients send to add somebody.
    private struct Invitation: Codable {
        var email: String
        var role: String?
        var permissions: [TypeRole]?

        struct TypeRole: Codable {
            var type: String
            var role: String
        }

        var input: API.UserAddInput {
            let types = (permissions ?? []).map { "\($0.type):\($0.role)" }
            return API.UserAddInput(email: email, permissions: (role.map { [$0] } ?? []) + types)
        }
    }
}
