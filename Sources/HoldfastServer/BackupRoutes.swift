import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/projects/{p}/environments/{e}/backups`.
enum BackupRoutes {
    static func add(to routes: Routes) {
        let base = "/projects/:project/environments/:environment"
        routes.on(.post, "\(base)/backup", create)
        routes.on(.post, "\(base)/backups", create)
        routes.on(.get, "\(base)/backups", list)
        routes.on(.get, "\(base)/backups/:backup", get)
        routes.on(.delete, "\(base)/backups/:backup", delete)
        routes.on(.post, "\(base)/backups/:backup/restore", restore)
        routes.on(.post, "\(base)/undo-restore", undoRestore)
    }

    /// Queued behind a running cron or backup, never refused because of them.
    private static func create(_ call: Call) throws -> Reply {
        let input = try call.input.decode(API.BackupInput.self)
        let environment = try call.environment()
        return try call.submit(.backup, .backup(environment.id, safe: input.safe ?? true), on: environment)
    }

    private static func list(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        let backups = try call.catalogue.backups(of: environment.id)
        return try .json(backups.map { try call.view(of: $0, in: environment) })
    }

    private static func get(_ call: Call) throws -> Reply {
        try .json(call.view(of: call.backup(), in: call.environment()))
    }

    private static func delete(_ call: Call) throws -> Reply {
        let backup = try call.backup()
        return try call.submit(.backupDelete, .deleteBackup(backup.id), on: call.environment())
    }

    /// Needs the admin role where the backup is from, and where it goes to.
    private static func restore(_ call: Call) throws -> Reply {
        let options = try restoreOptions(call.input.decode(API.RestoreInput.self))
        let (backup, source) = (try call.backup(), try call.environment())
        let activity = try call.audited(ActivityType.restore.rawValue, in: source.project, on: "\(backup.id)") {
            try call.principal.require(.admin, on: source)
            try call.principal.require(.admin, on: target(options, of: source, call))
        } _: {
            try call.operations.submit(.restore(backup.id, options), by: call.user.id)
        }
        return try .accepted([call.view(of: activity.id, in: source.project)])
    }

    private static func undoRestore(_ call: Call) throws -> Reply {
        let environment = try call.environment()
        return try call.submit(.restore, .undoRestore(environment.id), on: environment)
    }

    /// The environment that is restored to; if it does not exist yet, its parent speaks for it.
    private static func target(_ options: RestoreOptions, of source: Environment, _ call: Call) throws -> Environment {
        guard let name = options.target, name != source.name else { return source }
        do {
            return try call.catalogue.environment(named: name, in: source.project)
        } catch let error as HoldfastError where error.code == .notFound {
            guard let parent = options.branchFrom else { throw error }
            return try call.catalogue.environment(named: parent, in: source.project)
        }
    }

    private static func restoreOptions(_ input: API.RestoreInput) throws -> RestoreOptions {
        let strategies = ["backup", "default", "minimum", "parent"]
        if let strategy = input.resources?.`init`, !strategies.contains(strategy) {
            throw HoldfastError(
                .invalidInput, "'\(strategy.prefix(40))' is no way to initialise resources",
                hint: "Use one of \(strategies.joined(separator: ", "))")
        }
        return RestoreOptions(
            target: input.environmentName, branchFrom: input.branchFrom, restoreCode: input.restoreCode ?? true,
            restoreResources: input.restoreResources ?? true, resourcesInit: input.resources?.`init`)
    }
}
