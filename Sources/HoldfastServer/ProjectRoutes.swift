import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects` and what belongs to a project as a whole.
enum ProjectRoutes {
    static func add(to routes: Routes) {
        let one = "/projects/:project"
        routes.on(.get, "/projects", list)
        routes.on(.post, "/projects", create)
        routes.on(.get, one) { try .json($0.view(of: $0.project())) }
        routes.on(.patch, one, edit)
        routes.on(.delete, one, delete)
        routes.on(.get, "\(one)/delete", mayDelete)
        routes.on(.get, "\(one)/environment-types", types)
        routes.on(.get, "\(one)/environment-types/:type", type)
        routes.on(.get, "\(one)/integrations") { call in
            _ = try call.project()
            return try .json([JSONValue]())
        }
        routes.on(.get, "\(one)/repository-key", repositoryKey)
    }

    private static func list(_ call: Call) throws -> Reply {
        let seen = try call.catalogue.projects().filter { try call.principal.permissions(in: $0.id) != nil }
        return try .json(seen.map { try call.view(of: $0) })
    }

    private static func create(_ call: Call) throws -> Reply {
        let input = try call.input.decode(API.ProjectCreateInput.self)
        let request = try projectRequest(input)
        let project = try call.audited("project.create", in: nil, on: request.title) {
            try call.principal.requireOperator()
        } _: {
            try call.operations.createProject(request, by: call.user.id)
        }
        return try .json(call.view(of: project), 201)
    }

    private static func edit(_ call: Call) throws -> Reply {
        let patch = try call.input.decode(ProjectPatch.self)
        var project = try call.project()
        try call.audited("project.edit", in: project.id, on: project.id.rawValue) {
            try call.principal.requireProjectAdmin(project.id)
        } _: {
            if let title = patch.title { project.title = try Check.title(title) }
            if let zone = patch.timezone { project.timeZone = try timeZone(zone) }
            project.updatedAt = call.parts.time.now()
            try call.catalogue.update(project)
            call.operations.noteChange(of: project.id)
        }
        return try .json(API.Accepted(activities: [], entity: call.view(of: project), code: 200))
    }

    /// Whether a deletion would be let in now: 200, or the refusal. Changes nothing.
    private static func mayDelete(_ call: Call) throws -> Reply {
        let project = try call.project()
        try call.principal.requireOperator()
        try call.catalogue.checkProjectIsUnused(project.id, withProduction: withProduction(call))
        return try .json(["allowed": true])
    }

    private static func delete(_ call: Call) throws -> Reply {
        let project = try call.project()
        let left = try call.audited("project.delete", in: project.id, on: project.id.rawValue) {
            try call.principal.requireOperator()
        } _: {
            try call.operations.deleteProject(project.id, withProduction: withProduction(call))
        }
        return try .json(API.ProjectDeleted(left: left))
    }

    /// `?with_production=true` lets its production environment go too.
    private static func withProduction(_ call: Call) -> Bool {
        call.input.values("with_production").first == "true"
    }

    private struct ProjectPatch: Codable {
        var title: String?
        var timezone: String?
    }

    private static func types(_ call: Call) throws -> Reply {
        let project = try call.project()
        return try .json(EnvironmentType.allCases.map { item($0, in: project) })
    }

    private static func type(_ call: Call) throws -> Reply {
        let name = try call.input.parameter("type")
        guard let type = EnvironmentType(rawValue: name) else {
            throw HoldfastError(.notFound, "there is no environment type '\(name.prefix(40))'")
        }
        return try .json(item(type, in: call.project()))
    }

    private static func item(_ type: EnvironmentType, in project: Project) -> API.EnvironmentTypeItem {
        let path = "\(Path.project(project.id))/environment-types/\(type.rawValue)"
        return API.EnvironmentTypeItem(type, links: ["self": path])
    }

    /// The password that opens all backups of the project: for its admins only, and always on record.
    private static func repositoryKey(_ call: Call) throws -> Reply {
        let project = try call.project()
        let key = try call.audited("repository.key", in: project.id, on: project.id.rawValue) {
            try call.principal.requireProjectAdmin(project.id)
        } _: {
            try call.operations.repositoryKey(of: project.id)
        }
        var reply = try Reply.json(key)
        reply.headers["Cache-Control"] = "no-store"
        return reply
    }

    private static func projectRequest(_ input: API.ProjectCreateInput) throws -> ProjectRequest {
        ProjectRequest(
            id: input.id, title: try Check.title(input.title),
            defaultBranch: try Check.branch(input.defaultBranch ?? "main"), region: input.region ?? "local",
            timeZone: try timeZone(input.timezone ?? "UTC"))
    }

    private static func timeZone(_ name: String) throws -> String {
        guard TimeZone(identifier: name) != nil else {
            throw HoldfastError(
                .invalidInput, "'\(name.prefix(80))' is not a time zone", hint: "Use a name such as Europe/Paris")
        }
        return name
    }
}
