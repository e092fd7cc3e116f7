import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/users`: people, and the projects they may see.
enum UserRoutes {
    static func add(to routes: Routes) {
        routes.on(.get, "/users/me") { try .json(API.User($0.user)) }
        routes.on(.get, "/me") { try .json(API.User($0.user)) }
        routes.on(.get, "/users/:user") { try .json(API.User(subject($0))) }
        routes.on(.get, "/users/:user/extended-access", extendedAccess)
    }

    /// The user in the path: oneself, or anybody for an operator.
    static func subject(_ call: Call) throws -> User {
        let name = try call.input.parameter("user")
        if name == "me" || name == call.user.id.rawValue { return call.user }
        guard call.principal.isOperator else {
            throw HoldfastError(.forbidden, "\(call.user.username) may not see the user '\(name.prefix(40))'")
        }
        return try call.catalogue.user(matching: name)
    }

    private static func extendedAccess(_ call: Call) throws -> Reply {
        let subject = try subject(call)
        let isSelf = subject.id == call.user.id
        var items: [API.ExtendedAccess] = []
        for project in try call.catalogue.projects() {
            let own = try call.catalogue.permissions(of: subject, in: project.id)
            guard let permissions = isSelf ? try call.principal.permissions(in: project.id) : own else { continue }
            items.append(
                API.ExtendedAccess(
                    user: subject.id, project: project.id, organization: Path.organization, permissions: permissions,
                    at: project.createdAt))
        }
        let ids = items.map(\.resourceId).joined(separator: ",")
        let links: API.Links = [
            "self": "/users/\(subject.id)/extended-access", "ref:projects:0": "/ref/projects?in=\(ids)",
            "ref:organizations:0": "/ref/organizations?in=\(Path.organization)",
        ]
        return try .json(API.Collection(items: items, links: links))
    }
}

/// `/users/{u}/tokens`: API tokens, our addition.
enum UserTokenRoutes {
    static func add(to routes: Routes) {
        routes.on(.get, "/users/:user/tokens", list)
        routes.on(.post, "/users/:user/tokens", create)
        routes.on(.delete, "/users/:user/tokens/:token", revoke)
    }

    private static func list(_ call: Call) throws -> Reply {
        try requireFullToken(call)
        let user = try UserRoutes.subject(call)
        return try .json(call.catalogue.tokens(of: user.id).map(view))
    }

    /// The answer holds the token; nothing else ever does.
    private static func create(_ call: Call) throws -> Reply {
        let input = try call.input.decode(API.TokenCreateInput.self)
        let made = try call.audited("token.create", in: input.project, on: input.user ?? call.user.username) {
            try requireFullToken(call)
            if input.user != nil { try call.principal.requireOperator() }
        } _: {
            let user = try input.user.map(call.catalogue.user(matching:)) ?? UserRoutes.subject(call)
            try checkIsWithin(user, input, call)
            return try call.catalogue.createToken(named: input.name, for: user.id, scope: scope(input))
        }
        var token = view(made.record)
        token.token = made.secret
        var reply = try Reply.json(token, 201)
        reply.headers["Cache-Control"] = "no-store"
        return reply
    }

    private static func revoke(_ call: Call) throws -> Reply {
        let id: TokenID = try call.input.id("token")
        let user = try UserRoutes.subject(call)
        try call.audited("token.revoke", in: nil, on: id.rawValue) {
            try requireFullToken(call)
        } _: {
            try call.catalogue.revokeToken(id, of: user.id)
        }
        return .noContent
    }

    /// A narrowed token must not be a way to a wider one.
    private static func requireFullToken(_ call: Call) throws {
        guard call.principal.session.scope == nil else {
            throw HoldfastError(.forbidden, "a token that is narrowed to a project cannot be used to manage tokens")
        }
    }

    /// A token never does more than its owner may; one that says so would only mislead.
    private static func checkIsWithin(_ user: User, _ input: API.TokenCreateInput, _ call: Call) throws {
        guard let scope = try scope(input) else { return }
        guard let own = try call.catalogue.permissions(of: user, in: scope.project) else {
            throw HoldfastError(
                .forbidden, "\(user.username) has no access to project \(scope.project)",
                hint: "Give it first, with user:add \(user.email) -p \(scope.project)")
        }
        guard let beyond = own.firstBeyond(scope.permissions) else { return }
        throw HoldfastError(
            .forbidden,
            "\(user.username) has \(own.strings.joined(separator: ", ")) in project \(scope.project), so no token of "
                + "theirs can have \(beyond)",
            hint: "Leave it out, or give it to them first, with user:add")
    }

    private static func scope(_ input: API.TokenCreateInput) throws -> TokenScope? {
        switch (input.project, input.permissions) {
        case (nil, nil): return nil
        case (let project?, let permissions?):
            return TokenScope(project: project, permissions: try Permissions(strings: permissions))
        default:
            throw HoldfastError(
                .invalidInput, "a token is narrowed by a project and permissions together",
                hint: "Give both, or neither")
        }
    }

    private static func view(_ record: TokenRecord) -> API.Token {
        var token = API.Token(
            id: record.id, name: record.name, user: record.user, createdAt: record.createdAt,
            links: ["self": "/users/\(record.user)/tokens/\(record.id)"])
        token.project = record.scope?.project
        token.permissions = record.scope?.permissions.strings
        token.lastUsedAt = record.lastUsedAt
        return token
    }
}
