import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastRetention

// The catalogue is where retention reads from.
extension Catalogue: RetentionSource {}

/// `/projects/{p}/settings` and `/projects/{p}/capabilities`.
enum SettingsRoutes {
    static func add(to routes: Routes) {
        let one = "/projects/:project"
        routes.on(.get, "\(one)/settings") { try .json(view(of: $0.project(), $0)) }
        routes.on(.patch, "\(one)/settings", edit)
        routes.on(.get, "\(one)/capabilities") { call in
            try .json(API.Capabilities(links: ["self": "\(Path.project(try call.project().id))/capabilities"]))
        }
    }

    private static func view(of project: Project, _ call: Call) throws -> API.ProjectSettings {
        let path = "\(Path.project(project.id))/settings"
        var links: API.Links = ["self": path]
        let permissions = try call.principal.requirePermissions(in: project.id)
        if EnvironmentType.allCases.contains(where: { permissions.role(on: $0) == .admin }) { links["#edit"] = path }
        var settings = API.ProjectSettings(links: links)
        settings.dataRetention = project.retention?.json
        if settings.dataRetention == .null { settings.dataRetention = nil }
        return settings
    }

    /// The admin role for each type of environment whose policy changes; for anything else that of the project.
    private static func requireAdmin(of patch: JSONValue, _ project: ProjectID, _ call: Call) throws {
        let permissions = try call.principal.requirePermissions(in: project)
        guard case .object(let types)? = patch["data_retention"] else {
            return try call.principal.requireProjectAdmin(project)
        }
        let touched = types.keys.compactMap { EnvironmentType(rawValue: $0) }
        guard touched.isEmpty || !touched.allSatisfy({ permissions.role(on: $0) == .admin }) else { return }
        try call.principal.requireProjectAdmin(project)
    }

    /// Only `data_retention` can be changed; the contract's other keys are refused, not ignored.
    private static func edit(_ call: Call) throws -> Reply {
        let patch = try call.input.decode(JSONValue.self)
        let project = try call.project()
        try call.audited("project.settings", in: project.id, on: project.id.rawValue) {
            try requireAdmin(of: patch, project.id, call)
        } _: {
            guard case .object(let keys) = patch else {
                throw HoldfastError(.invalidInput, "the body: should be of the type object")
            }
            var faults = InputFaults()
            for key in keys.keys where key != "data_retention" {
                let isKnown = ["initialize", "build_resources", "maintenance_window"].contains(key)
                faults.add(String(key.prefix(60)), isKnown ? "cannot be changed on this server" : "is no setting")
            }
            guard let change = keys["data_retention"] else { return try faults.check() }
            let now = call.parts.time.now()
            do {
                // All faults at once, also those of the keys beside.
                _ = try RetentionInput(change).merged(into: project.retention, at: now)
            } catch let error as HoldfastError {
                guard let found = error.cause as? InputFaults else { throw error }
                for (path, problem) in found.faults { faults.add(path, problem) }
                try faults.check(hint: error.hint)
            }
            try faults.check()
            try call.catalogue.updateRetention(of: project.id) { old in
                try RetentionInput(change).merged(into: old, at: now)
            }
            call.operations.noteChange(of: project.id)
        }
        let changed = try call.catalogue.project(project.id)
        return try .json(API.Accepted(activities: [], entity: view(of: changed, call), code: 200))
    }
}
