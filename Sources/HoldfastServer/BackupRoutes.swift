import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects/{p}/environments/{e}/backups`, and `/projects/{p}/backups` for those of deleted environments too.
enum BackupRoutes {
    static func add(to routes: Routes) {
        let environment = "/projects/:project/environments/:environment"
        routes.on(.post, "\(environment)/backup", create)
        routes.on(.post, "\(environment)/backups", create)
        routes.on(.get, "\(environment)/backups", list)
        routes.on(.get, "/projects/:project/backups", listAll)
        for base in [environment, "/projects/:project"] {
            routes.on(.get, "\(base)/backups/:backup") { try .json($0.view(of: $0.backup())) }
            routes.on(.delete, "\(base)/backups/:backup", delete)
            routes.on(.post, "\(base)/backups/:backup/restore", restore)
            routes.on(.post, "\(base)/backups/:backup/drill") { call in
                try operate(.drill, on: call.backup(), call) { .drill($0) }
            }
            KeepingRoutes.add(to: routes, below: "\(base)/backups/:backup")
        }
        routes.on(.post, "\(environment)/undo-restore", undoRestore)
        routes.on(.get, "\(environment)/backup", forecast)
        EnvironmentRoutes.addQuestion(to: routes, "undo-restore") { .undoRestore($0) }
    }

    /// Queued behind a running cron or backup, never refused because of them.
    private static func create(_ call: Call) throws -> Reply {
        let input = try call.input.decode(API.BackupInput.self)
        let environment = try call.environment()
        let request = OperationRequest.backup(
            environment.id, safe: input.safe ?? true, orLive: input.orLive ?? false)
        return try call.submit(.backup, request, on: environment)
    }

    /// Whether a backup would be let in now, and what it would do; else the refusal. Changes nothing.
    private static func forecast(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        try call.principal.require(.admin, on: environment)
        try call.operations.check(.backup(environment.id, safe: true))
        return try .json(call.operations.backupForecast(of: environment))
    }

    /// Those of an environment that is there; of a name that is no environment any more, those of the gone ones.
    private static func list(_ call: Call) throws -> Reply {
        let environment: Environment
        do {
            environment = try call.environment()
        } catch let error as HoldfastError where error.code == .notFound {
            let name = try call.input.parameter("environment")
            let left = try visible(call).filter { $0.environment == nil && $0.backup.environmentName == name }
            guard !left.isEmpty else { throw error }
            return try .json(call.views(of: left))
        }
        let backups = try call.catalogue.backups(of: environment.id).map {
            OwnedBackup(backup: $0, environment: environment)
        }
        return try .json(call.views(of: listed(backups, call)))
    }

    /// Those that the caller may see.
    private static func listAll(_ call: Call) throws -> Reply { try .json(call.views(of: visible(call))) }

    /// Deleted backups that can be brought back are listed only with `?deleted=true`, and nothing else is then.
    private static func listed(_ backups: [OwnedBackup], _ call: Call) -> [OwnedBackup] {
        let wantsDeleted = call.input.values("deleted").first == "true"
        return backups.filter { $0.backup.keeping.isDeleted == wantsDeleted }
    }

    private static func visible(_ call: Call) throws -> [OwnedBackup] {
        let project = try call.project()
        let owner = try call.owners(in: project.id)
        let seen = try call.catalogue.backups(in: project.id).map(owner)
            .filter { (try? call.principal.require(.viewer, on: $0)) != nil }
        return listed(seen, call)
    }

    /// `?force=true` also if it is protected, `?now=true` so that it cannot be brought back.
    private static func delete(_ call: Call) throws -> Reply {
        let force = call.input.values("force").first == "true"
        let now = call.input.values("now").first == "true"
        return try operate(.backupDelete, on: call.backup(), call) { .deleteBackup($0, force: force, now: now) }
    }

    /// Asks for one operation on a backup, which needs the admin role where it is from.
    private static func operate(
        _ type: ActivityType, on owned: OwnedBackup, _ call: Call, _ request: (BackupID) -> OperationRequest
    ) throws -> Reply {
        let (id, project) = (owned.backup.id, owned.backup.project)
        let activity = try call.audited(type.rawValue, in: project, on: id.rawValue) {
            try call.principal.require(.admin, on: owned)
        } _: {
            try call.operations.submit(request(id), by: call.user.id)
        }
        return try .accepted([call.view(of: activity.id, in: project)])
    }

    /// Needs the admin role where the backup is from, and where it goes to.
    private static func restore(_ call: Call) throws -> Reply {
        let options = try restoreOptions(call.input.decode(API.RestoreInput.self))
        let owned = try call.backup()
        let (id, project) = (owned.backup.id, owned.backup.project)
        let activity = try call.audited(ActivityType.restore.rawValue, in: project, on: id.rawValue) {
            try call.principal.require(.admin, on: owned)
            try call.principal.require(.admin, on: target(options, of: owned, call))
        } _: {
            try call.operations.submit(.restore(id, options), by: call.user.id)
        }
        return try .accepted([call.view(of: activity.id, in: project)])
    }

    private static func undoRestore(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        return try call.submit(.restore, .undoRestore(environment.id), on: environment)
    }

    /// The environment that is restored to; if it does not exist yet, its parent speaks for it.
    private static func target(_ options: RestoreRequest, of owned: OwnedBackup, _ call: Call) throws -> Environment {
        let name = options.target ?? owned.backup.environmentName
        if let source = owned.environment, source.name == name { return source }
        do {
            return try call.catalogue.environment(named: name, in: owned.backup.project)
        } catch let error as HoldfastError where error.code == .notFound {
            guard let parent = options.branchFrom else { throw error }
            return try call.catalogue.environment(named: parent, in: owned.backup.project)
        }
    }

    private static func restoreOptions(_ input: API.RestoreInput) throws -> RestoreRequest {
        let strategies = ["backup", "default", "minimum", "parent"]
        if let strategy = input.resources?.`init`, !strategies.contains(strategy) {
            throw HoldfastError(
                .invalidInput, "'\(strategy.prefix(40))' is no way to initialise resources",
                hint: "Use one of \(strategies.joined(separator: ", "))")
        }
        return RestoreRequest(
            target: input.environmentName, branchFrom: input.branchFrom, restoreCode: input.restoreCode ?? true,
            restoreResources: input.restoreResources ?? true, resourcesInit: input.resources?.`init`)
    }
}
