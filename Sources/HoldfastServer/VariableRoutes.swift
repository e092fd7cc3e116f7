import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `…/variables` of projects and environments.
enum VariableRoutes {
    static func add(to routes: Routes) {
        for base in ["/projects/:project", "/projects/:project/environments/:environment"] {
            let isShared = !base.hasSuffix(":environment")
            routes.on(.get, "\(base)/variables") { try list(level($0, isShared: isShared)) }
            routes.on(.post, "\(base)/variables") { try create(level($0, isShared: isShared)) }
            routes.on(.get, "\(base)/variables/:variable") { try get(level($0, isShared: isShared)) }
            routes.on(.patch, "\(base)/variables/:variable") { try edit(level($0, isShared: isShared)) }
            routes.on(.delete, "\(base)/variables/:variable") { try remove(level($0, isShared: isShared)) }
        }
    }

    /// Where a variable lives.
    private struct Level {
        var call: Call
        var project: Project
        var environment: Environment?

        var path: String {
            environment.map { Path.environment($0.name, in: project.id) } ?? Path.project(project.id)
        }

        func stored() throws -> [StoredVariable] {
            try call.catalogue.variables(of: project.id, environment: environment?.id)
        }

        /// The one in the path.
        func named() throws -> StoredVariable {
            let name = try call.input.parameter("variable")
            guard let found = try stored().first(where: { $0.name == name }) else {
                throw HoldfastError(.notFound, "there is no variable '\(name.prefix(80))' at this level")
            }
            return found
        }

        func requireAdmin() throws {
            if let environment {
                try call.principal.require(.admin, on: environment)
            } else {
                try call.principal.requireProjectAdmin(project.id)
            }
        }

        var isAdmin: Bool { (try? requireAdmin()) != nil }
    }

    private static func level(_ call: Call, isShared: Bool) throws -> Level {
        Level(call: call, project: try call.project(), environment: isShared ? nil : try call.environment())
    }

    private static func list(_ level: Level) throws -> Reply {
        try .json(level.stored().map { view($0, level) })
    }

    private static func get(_ level: Level) throws -> Reply {
        try .json(view(level.named(), level))
    }

    private static func create(_ level: Level) throws -> Reply {
        let input = try level.call.input.decode(API.VariableInput.self)
        guard let name = input.name, let value = input.value else {
            throw HoldfastError(.invalidInput, "a variable has a name and a value")
        }
        if try level.stored().contains(where: { $0.name == name }) {
            throw HoldfastError(.conflict, "there is a variable '\(name.prefix(80))' at this level already")
        }
        return try set(name, Secret(value), input.isSensitive ?? false, level, code: 201)
    }

    private static func edit(_ level: Level) throws -> Reply {
        let input = try level.call.input.decode(API.VariableInput.self)
        let old = try level.named()
        let value = input.value.map { Secret($0) } ?? old.value
        return try set(old.name, value, input.isSensitive ?? old.isSensitive, level, code: 200)
    }

    private static func set(
        _ name: String, _ value: Secret, _ isSensitive: Bool, _ level: Level, code: Int
    ) throws -> Reply {
        let (call, project) = (level.call, level.project.id)
        let stored = try call.audited("variable.set", in: project, on: name, check: level.requireAdmin) {
            try call.catalogue.setVariable(
                name, to: value, isSensitive: isSensitive, in: project, environment: level.environment?.id)
        }
        let body = API.Accepted(activities: [], entity: view(stored, level), code: code)
        return try .json(body, code)
    }

    private static func remove(_ level: Level) throws -> Reply {
        let (call, project) = (level.call, level.project.id)
        let name = try level.named().name
        try call.audited("variable.remove", in: project, on: name, check: level.requireAdmin) {
            try call.catalogue.removeVariable(name, in: project, environment: level.environment?.id)
        }
        return try .json(API.AcceptedActivities(activities: [], code: 200))
    }

    /// Values are for admins, and sensitive ones for nobody.
    private static func view(_ variable: StoredVariable, _ level: Level) -> API.Variable {
        let path = "\(level.path)/variables/\(Path.segment(variable.name))"
        let isAdmin = level.isAdmin
        var links: API.Links = ["self": path]
        if isAdmin {
            links["#edit"] = path
            links["#delete"] = path
        }
        var view = API.Variable(
            name: variable.name, value: isAdmin && !variable.isSensitive ? variable.value.reveal() : nil,
            isSensitive: variable.isSensitive, at: variable.createdAt, links: links)
        view.updatedAt = variable.updatedAt
        if level.environment != nil {
            view.isEnabled = true
            view.inherited = false
            view.isInheritable = true
        }
        return view
    }
}
