import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects/{p}/environments`.
enum EnvironmentRoutes {
    static func add(to routes: Routes) {
        let base = "/projects/:project/environments"
        let one = "\(base)/:environment"
        routes.on(.get, base, list)
        routes.on(.get, one) { try .json($0.view(of: $0.environment())) }
        routes.on(.patch, one, edit)
        routes.on(.delete, one) { try submit($0, .delete) { .deleteEnvironment($0) } }
        routes.on(.post, "\(one)/activate") { try submit($0, .activate) { .activate($0) } }
        routes.on(.post, "\(one)/deactivate") { try submit($0, .deactivate) { .deactivate($0) } }
        routes.on(.post, "\(one)/redeploy") { try submit($0, .redeploy) { .redeploy($0) } }
        routes.on(.post, "\(one)/pause") { try submit($0, .pause) { .pause($0) } }
        routes.on(.post, "\(one)/resume") { try submit($0, .resume) { .resume($0) } }
        addQuestion(to: routes, "delete") { .deleteEnvironment($0) }
        addQuestion(to: routes, "activate") { .activate($0) }
        addQuestion(to: routes, "deactivate") { .deactivate($0) }
        addQuestion(to: routes, "redeploy") { .redeploy($0) }
        addQuestion(to: routes, "pause") { .pause($0) }
        addQuestion(to: routes, "resume") { .resume($0) }
        routes.on(.get, "\(one)/settings", settings)
        routes.on(.get, "\(one)/deployments/current", deployment)
    }

    /// `GET …/environments/{e}/{operation}`: our addition. Whether that operation would be let in now: 200, or the
    /// refusal that it would be answered with. Changes nothing, and leaves no trace.
    static func addQuestion(
        to routes: Routes, _ operation: String, _ request: @escaping @Sendable (EnvironmentID) -> OperationRequest
    ) {
        routes.on(.get, "/projects/:project/environments/:environment/\(operation)") { call in
            let environment = try call.environment()
            try call.principal.require(.admin, on: environment)
            try call.operations.check(request(environment.id))
            return try .json(["allowed": true])
        }
    }

    /// Those that the caller may see.
    private static func list(_ call: Call) throws -> Reply {
        let project = try call.project()
        let permissions = try call.principal.requirePermissions(in: project.id)
        let seen = try call.catalogue.environments(in: project.id).filter { permissions.role(on: $0.type) != nil }
        return try .json(call.views(of: seen, in: project))
    }

    private static func submit(
        _ call: Call, _ type: ActivityType, _ request: (EnvironmentID) -> OperationRequest
    ) throws -> Reply {
        let environment = try call.environment()
        return try call.submit(type, request(environment.id), on: environment)
    }

    private static func edit(_ call: Call) throws -> Reply {
        let patch = try call.input.decode(API.EnvironmentPatch.self)
        var environment = try call.environment()
        try call.audited("environment.edit", in: environment.project, on: environment.name) {
            try call.principal.require(.admin, on: environment)
        } _: {
            try apply(patch, to: &environment, call)
            try call.catalogue.update(environment)
        }
        return try .json(API.Accepted(activities: [], entity: call.view(of: environment), code: 200))
    }

    private static func apply(_ patch: API.EnvironmentPatch, to environment: inout Environment, _ call: Call) throws {
        if let title = patch.title { environment.title = try Check.title(title) }
        if let text = patch.type {
            guard let type = EnvironmentType(rawValue: text) else {
                throw HoldfastError(
                    .invalidInput, "'\(text.prefix(40))' is not a type of environment",
                    hint: "Use production, staging or development")
            }
            guard (type == .production) == (environment.type == .production) else {
                throw HoldfastError(.conflict, "the production environment is the default branch and no other")
            }
            environment.type = type
            // Who may not act on the new type must not be able to move an environment there.
            try call.principal.require(.admin, on: environment)
        }
        if let parent = patch.parent {
            environment.parent = try call.catalogue.environment(named: parent, in: environment.project).name
        }
        environment.updatedAt = call.parts.time.now()
    }

    private static func settings(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        let path = Path.environment(environment.name, in: environment.project)
        let link: JSONValue = .object(["self": .object(["href": .string("\(path)/settings")])])
        return try .json(["enable_manual_deployments": .bool(false), "_links": link] as [String: JSONValue])
    }

    private static func deployment(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        guard let running = try call.operations.currentDeployment(of: environment) else {
            throw HoldfastError(
                .notFound, "nothing is deployed in environment \(environment.name)",
                hint: "Push a commit to its branch, or activate it with environment:activate")
        }
        var deployment = running.deployment
        deployment.links["self"] = "\(Path.environment(environment.name, in: environment.project))/deployments/current"
        return try .json(deployment)
    }
}

/// Checks of what people type.
enum Check {
    /// A title: 1 to 200 characters on one line.
    static func title(_ text: String) throws -> String {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard (1...200).contains(trimmed.count), !trimmed.contains(where: \.isNewline) else {
            throw HoldfastError(.invalidInput, "a title has 1 to 200 characters on one line, not \(text.count)")
        }
        return trimmed
    }

    /// A branch that Git would take (git-check-ref-format), without the exotic ones.
    static func branch(_ text: String) throws -> String {
        let allowed = text.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-_./".utf8.contains(byte)
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isGood = parts.allSatisfy { part in
            guard let first = part.first, let last = part.last else { return false }
            return first != "." && first != "-" && last != "." && !part.contains("..") && !part.hasSuffix(".lock")
        }
        guard allowed, isGood, text.utf8.count <= 200 else {
            throw HoldfastError(.invalidInput, "'\(text.prefix(80))' is not a good name for a branch")
        }
        return text
    }
}
