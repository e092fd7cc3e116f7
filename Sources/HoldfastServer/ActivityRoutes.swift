import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects/{p}/activities` and the same below an environment.
enum ActivityRoutes {
    static func add(to routes: Routes) {
        routes.on(.get, "/projects/:project/activities") { try list($0, environment: nil) }
        routes.on(.get, "/projects/:project/environments/:environment/activities") { call in
            try list(call, environment: try call.environment().id)
        }
        for base in ["/projects/:project", "/projects/:project/environments/:environment"] {
            routes.on(.get, "\(base)/activities/:activity", get)
            routes.on(.post, "\(base)/activities/:activity/cancel", cancel)
            routes.stream(.get, "\(base)/activities/:activity/log") { call in
                let activity = try await offPool { try visible(call).activity.id }
                return LogStream(catalogue: call.catalogue, activity: activity).response()
            }
        }
    }

    private static func list(_ call: Call, environment: EnvironmentID?) throws -> Reply {
        let project = try call.project()
        var filter = try filter(call.input)
        filter.environment = environment
        let sees = try sight(of: project.id, call)
        let found = try call.catalogue.activities(in: project.id, filter).filter { sees($0.activity) }
        return try .json(found.map { try call.view(of: $0) })
    }

    private static func get(_ call: Call) throws -> Reply {
        try .json(call.view(of: visible(call)))
    }

    private static func cancel(_ call: Call) throws -> Reply {
        let activity = try visible(call).activity
        do {
            try call.audited("activity.cancel", in: activity.project, on: activity.id.rawValue) {
                guard try call.mayCancel(activity) else {
                    throw HoldfastError(.forbidden, "\(call.user.username) may not cancel activity \(activity.id)")
                }
            } _: {
                guard activity.state == .inProgress else {
                    return try call.catalogue.cancelActivity(activity.id, at: call.parts.time.now())
                }
                try call.parts.operations.cancelRunning(activity)
            }
        } catch let error as HoldfastError where error.code == .conflict {
            throw HoldfastError(.invalidInput, error.message, hint: error.hint ?? "Wait until it has ended")
        }
        return try .accepted([call.view(of: activity.id, in: activity.project)])
    }

    /// The activity in the path, which the caller may see.
    private static func visible(_ call: Call) throws -> ActivityDetails {
        let project = try call.project()
        let details = try call.catalogue.activityDetails(try call.input.id("activity"), in: project.id)
        guard try sight(of: project.id, call)(details.activity) else {
            throw HoldfastError(
                .forbidden, "\(call.user.username) may not see the environment of activity \(details.activity.id)")
        }
        return details
    }

    /// Whoever has a role in the project sees everything; others what happens on environments of their types, those
    /// that are gone included.
    private static func sight(of project: ProjectID, _ call: Call) throws -> (Activity) -> Bool {
        let permissions = try call.principal.requirePermissions(in: project)
        if permissions.project != nil { return { _ in true } }
        let seen = try call.catalogue.environments(in: project).filter { permissions.role(on: $0.type) != nil }
        let gone = try call.catalogue.goneEnvironments(in: project).filter { permissions.role(on: $0.type) != nil }
        let ids = Set(seen.map(\.id) + gone.map(\.id))
        return { $0.environment.map(ids.contains) ?? false }
    }

    private static func filter(_ input: Input) throws -> ActivityFilter {
        let count = input.values("count").first
        guard let limit = count.map(Int.init) ?? 100, (1...1000).contains(limit) else {
            throw HoldfastError(.invalidInput, "count is '\(count ?? "")', not a number from 1 to 1000")
        }
        var filter = ActivityFilter(limit: limit)
        filter.types = input.values("type")
        filter.states = input.values("state")
        filter.results = input.values("result")
        if let text = input.values("starts_at").first {
            guard let date = Timestamp.parse(text) else {
                throw HoldfastError(.invalidInput, "starts_at is '\(text.prefix(80))', not an ISO 8601 time stamp")
            }
            filter.startsAt = date
        }
        return filter
    }
}
