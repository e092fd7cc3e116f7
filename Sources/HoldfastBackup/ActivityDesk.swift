import Foundation
import HoldfastModel
import HoldfastRetention

/// Turns what somebody wants into queued activities, or refuses with the reason.
///
/// Access was checked before; this is about what the state of the environment allows.
package struct ActivityDesk: Sendable {
    private let catalogue: any BackupCatalogue
    private let time: any TimeSource
    private let clocks: ClockWatch?
    private let wake: @Sendable () -> Void

    /// - Parameter clocks: what locks are compared with; nil for `time`.
    package init(
        catalogue: any BackupCatalogue, time: any TimeSource, clocks: ClockWatch? = nil,
        wake: @escaping @Sendable () -> Void
    ) {
        self.catalogue = catalogue
        self.time = time
        self.clocks = clocks
        self.wake = wake
    }

    /// - Throws: `conflict` with the reason if the state does not allow it, `notFound`, `unsupported`.
    package func submit(_ request: OperationRequest, by user: User?) throws -> Activity {
        let activity = try activity(for: request, by: user)
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    /// Whether an operation on an environment that is there would be let in now. Changes nothing.
    ///
    /// - Throws: what `submit` would throw.
    package func check(_ request: OperationRequest) throws {
        if case .push = request {
            throw HoldfastError(.internalFault, "a push is not asked for beforehand")
        }
        _ = try activity(for: request, by: nil)
    }

    /// Queues one run of a cron, unless one of the same cron is waiting or running.
    package func submitCron(_ cron: String, app: String, in environment: Environment) throws -> Activity? {
        let open = try catalogue.openActivities().contains {
            $0.type == .cron && $0.environment == environment.id && $0.parameters["cron"] == cron
                && $0.parameters["app"] == app
        }
        if open { return nil }
        let activity = make(
            .cron, environment, ["app": app, "cron": cron], nil,
            "Holdfast ran cron \(app).\(cron) on \(environment.name)")
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    /// Queues an automated backup. What it claims is decided when it begins.
    ///
    /// - Throws: `conflict` if the environment is not active or is dirty.
    package func submitAutomatedBackup(of id: EnvironmentID, safe: Bool) throws -> Activity {
        let environment = try active(id, for: "backed up")
        let parameters = ["backup": BackupID.random().rawValue, "safe": String(safe), "automated": "true"]
        let activity = make(
            .backup, environment, parameters, nil, "Holdfast created an automated backup of \(environment.name)")
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    /// Queues the deletions that the retention plan of an environment says, and those whose grace is over.
    ///
    /// - Parameter name: of the environment, which may be gone.
    package func submitRetention(of id: EnvironmentID, named name: String, in project: ProjectID) throws -> Activity {
        let activity = Activity(
            id: .random(), project: project, environment: id, type: .retention, parameters: ["environment": name],
            user: nil, text: "Holdfast applied the backup policy to \(name)", createdAt: time.now())
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    /// Queues a drill with a backup, in the environment that it is of.
    ///
    /// - Throws: `conflict` if the environment is not active or is dirty, or the backup is going.
    package func submitDrill(with backup: Backup) throws -> Activity {
        let activity = try drill(backup, nil, "Holdfast")
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    /// Queues a prune of a project's repository.
    package func submitPrune(of project: ProjectID) throws -> Activity {
        let activity = Activity(
            id: .random(), project: project, environment: nil, type: .prune, user: nil,
            text: "Holdfast freed what no backup needs", createdAt: time.now())
        try catalogue.createActivity(activity)
        wake()
        return activity
    }

    private func activity(for request: OperationRequest, by user: User?) throws -> Activity {
        let name = user?.displayName ?? "Holdfast"
        switch request {
        case .backup(let id, let safe, let orLive):
            let environment = try active(id, for: "backed up")
            let backup = BackupID.random()
            let retention = try catalogue.retention(of: environment, at: time.now())
            try RetentionPlan.admitManual(retention.backups, policy: retention.policy, new: backup)
            var parameters = ["backup": backup.rawValue, "safe": String(safe), "automated": "false"]
            if orLive { parameters["or_live"] = "true" }
            return make(.backup, environment, parameters, user, "\(name) created a backup of \(environment.name)")
        case .deleteBackup(let id, let force, let now): return try deletion(id, force: force, now: now, user, name)
        case .restore(let id, let options): return try restore(id, options, user, name)
        case .drill(let id): return try drill(try catalogue.backup(id), user, name)
        case .undoRestore(let id):
            let environment = try active(id, for: "put back")
            return make(
                .restore, environment, ["undo": "true"], user, "\(name) undid the last restore of \(environment.name)")
        case .push(let project, let branch, let commit): return try push(project, branch, commit, user, name)
        case .redeploy, .activate, .deactivate, .pause, .resume, .deleteEnvironment:
            return try lifecycle(request, user, name)
        }
    }

    private func deletion(
        _ id: BackupID, force: Bool, now: Bool, _ user: User?, _ name: String
    ) throws -> Activity {
        let backup = try catalogue.backup(id)
        try checkIsNotLeaving(id)
        let keeping = backup.keeping
        guard !keeping.isDeleted || now else {
            throw HoldfastError(
                .conflict, "backup \(id) is deleted already",
                hint: "Bring it back with backup:undelete, or end its grace with backup:delete --now")
        }
        try keeping.checkMayGo(id, force: force || keeping.isDeleted, at: clocks?.now() ?? time.now())
        var parameters = ["backup": id.rawValue, "environment": backup.environmentName]
        if force { parameters["force"] = "true" }
        if now { parameters["now"] = "true" }
        return Activity(
            id: .random(), project: backup.project, environment: backup.environment, type: .backupDelete,
            parameters: parameters, user: user?.id,
            text: "\(name) deleted backup \(id) of \(backup.environmentName)", createdAt: time.now())
    }

    /// - Throws: `conflict` if the backup's deletion is queued or running already.
    private func checkIsNotLeaving(_ id: BackupID) throws {
        let open = try catalogue.openActivities()
        guard let other = open.first(where: { $0.type == .backupDelete && $0.parameters["backup"] == id.rawValue })
        else { return }
        throw HoldfastError(
            .conflict, "backup \(id) is being deleted by activity \(other.id)",
            hint: "Wait until it has ended, see activity:get \(other.id)")
    }

    private func restore(
        _ id: BackupID, _ options: RestoreRequest, _ user: User?, _ name: String
    ) throws -> Activity {
        let backup = try catalogue.backup(id)
        guard backup.status == .created else {
            throw HoldfastError(.conflict, "backup \(id) is being deleted and cannot be restored")
        }
        guard !backup.keeping.isDeleted else {
            throw HoldfastError(
                .conflict, "backup \(id) is deleted and cannot be restored",
                hint: "Bring it back first, with backup:undelete")
        }
        try checkIsNotLeaving(id)
        let target = options.target ?? backup.environmentName
        let found = try catalogue.environments(in: backup.project).first { $0.name == target }
        guard let found else {
            throw HoldfastError(
                options.branchFrom == nil ? .notFound : .unsupported,
                "there is no environment '\(target)' to restore to",
                hint: "Push the branch \(target) first, then restore with --target \(target)")
        }
        let environment = try active(found.id, for: "restored")
        var parameters = ["backup": id.rawValue, "code": String(options.restoreCode), "target": target]
        parameters["resources"] = options.resourcesInit
        return make(
            .restore, environment, parameters, user, "\(name) restored backup \(id) to \(environment.name)")
    }

    private func drill(_ backup: Backup, _ user: User?, _ name: String) throws -> Activity {
        try checkIsNotLeaving(backup.id)
        let environment = try active(backup.environment, for: "used for a drill")
        return make(
            .drill, environment, ["backup": backup.id.rawValue], user,
            "\(name) tried the restore of backup \(backup.id) of \(environment.name)")
    }

    private func push(
        _ project: ProjectID, _ branch: String, _ commit: String, _ user: User?, _ name: String
    ) throws -> Activity {
        let known = try catalogue.environments(in: project).first { $0.name == branch }
        var environment = try known ?? newEnvironment(branch, in: project)
        guard environment.status != .deleting else {
            throw HoldfastError(.conflict, "environment \(branch) is being deleted")
        }
        environment.headCommit = commit
        environment.updatedAt = time.now()
        try catalogue.update(environment)
        return make(
            .push, environment, ["commit": commit, "branch": branch], user,
            "\(name) pushed \(commit.prefix(12)) to \(branch)")
    }

    private func newEnvironment(_ branch: String, in project: ProjectID) throws -> Environment {
        let project = try catalogue.project(project)
        let isMain = branch == project.defaultBranch
        var environment = Environment(
            id: .random(), project: project.id, name: branch, type: isMain ? .production : .development,
            status: .inactive, createdAt: time.now())
        environment.parent = isMain ? nil : project.defaultBranch
        try catalogue.createEnvironment(environment)
        return environment
    }

    private func lifecycle(_ request: OperationRequest, _ user: User?, _ name: String) throws -> Activity {
        let rule = try LifecycleRule(request)
        let environment = try catalogue.environment(rule.environment)
        guard rule.from.contains(environment.status) else {
            throw HoldfastError(
                .conflict,
                "environment \(environment.name) is \(environment.status.rawValue) and cannot be \(rule.participle)",
                hint: rule.hint ?? (rule.needsCommit ? environment.status.wayToActive : nil))
        }
        if rule.isProtected, environment.type == .production {
            throw HoldfastError(
                .conflict,
                "environment \(environment.name) is the production environment and cannot be \(rule.participle)",
                hint: "Use environment:redeploy to start it anew; only project:delete ends it")
        }
        var parameters: [String: String] = [:]
        if rule.needsCommit {
            guard let commit = environment.headCommit else {
                throw HoldfastError(
                    .conflict, "environment \(environment.name) has no code", hint: "Push a commit to its branch first")
            }
            parameters["commit"] = commit
        }
        return make(
            rule.type, environment, parameters, user, "\(name) \(rule.participle) environment \(environment.name)")
    }

    private func active(_ id: EnvironmentID, for participle: String) throws -> Environment {
        let environment = try catalogue.environment(id)
        guard environment.status == .active else {
            throw HoldfastError(
                .conflict,
                "environment \(environment.name) is \(environment.status.rawValue) and cannot be \(participle)",
                hint: environment.status.wayToActive)
        }
        if let other = try catalogue.openActivities().first(where: { $0.environment == id && $0.type.makesDirty }) {
            throw HoldfastError(
                .conflict,
                "environment \(environment.name) is dirty: activity \(other.id) (\(other.type.rawValue)) is open",
                hint: "Wait until it has ended, see activity:get \(other.id)")
        }
        return environment
    }

    private func make(
        _ type: ActivityType, _ environment: Environment, _ parameters: [String: String], _ user: User?, _ text: String
    ) -> Activity {
        Activity(
            id: .random(), project: environment.project, environment: environment.id, type: type,
            parameters: parameters, user: user?.id, text: text, createdAt: time.now())
    }
}

/// Which states an operation starts from, and what it needs.
private struct LifecycleRule {
    var environment: EnvironmentID
    var type: ActivityType
    var participle: String
    var from: Set<EnvironmentStatus>
    var hint: String?
    var needsCommit = false
    var isProtected = false

    init(_ request: OperationRequest) throws {
        switch request {
        case .redeploy(let id):
            (environment, type, participle, from) = (id, .redeploy, "redeployed", [.active, .paused])
            needsCommit = true
        case .activate(let id):
            (environment, type, participle, from) = (id, .activate, "activated", [.inactive])
            (hint, needsCommit) = ("Use environment:resume if it is paused, environment:redeploy if it is active", true)
        case .deactivate(let id):
            (environment, type, participle, from) = (id, .deactivate, "deactivated", [.active, .paused])
            isProtected = true
        case .pause(let id):
            (environment, type, participle, from) = (id, .pause, "paused", [.active])
            isProtected = true
        case .resume(let id):
            (environment, type, participle, from) = (id, .resume, "resumed", [.paused])
            hint = "Use environment:activate if it is inactive"
        case .deleteEnvironment(let id):
            (environment, type, participle, from) = (id, .delete, "deleted", [.active, .paused, .inactive])
            isProtected = true
        case .backup, .deleteBackup, .restore, .drill, .undoRestore, .push:
            throw HoldfastError(.internalFault, "not an operation on an environment's life")
        }
    }
}
