import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// A backup with the environment it is of; backups outlive environments.
struct OwnedBackup: Sendable {
    var backup: Backup
    var environment: Environment?
    /// What its environment was, if it is gone; nil for those that went before this was kept.
    var gone: GoneEnvironment?
}

extension Principal {
    /// The role on the backup's environment counts, also if that is gone. If its type is not known any more, only
    /// admins of the project have one.
    func require(_ role: Role, on owned: OwnedBackup) throws {
        if let environment = owned.environment {
            try require(role, on: environment)
        } else if let gone = owned.gone {
            try require(role, on: gone)
        } else {
            try requireProjectAdmin(owned.backup.project)
        }
    }
}

/// One request of somebody who is known: what they say, who they are, and what is there.
struct Call: Sendable {
    let parts: ServerParts
    let principal: Principal
    let input: Input

    init(parts: ServerParts, session: Session, input: Input) {
        self.parts = parts
        self.principal = Principal(session: session, catalogue: parts.catalogue)
        self.input = input
    }

    var catalogue: Catalogue { parts.catalogue }
    var operations: any Operations { parts.operations }
    var user: User { principal.user }

    /// The project in the path.
    ///
    /// - Throws: `notFound` if there is none, or the caller may not know of it.
    func project() throws -> Project {
        let id: ProjectID = try input.id("project")
        _ = try principal.requirePermissions(in: id)
        return try catalogue.project(id)
    }

    /// The environment in the path, which the caller may see.
    func environment() throws -> Environment {
        let environment = try catalogue.environment(named: try input.parameter("environment"), in: try project().id)
        try principal.require(.viewer, on: environment)
        return environment
    }

    /// The backup in the path, which the caller may see: below the project, below its environment, or, if that is
    /// gone, below any environment of the project. The last is for clients that know of no other place.
    func backup() throws -> OwnedBackup {
        let project = try project()
        let backup = try catalogue.backup(try input.id("backup"))
        let owned = try owners(in: project.id)(backup)
        let isHere: Bool
        if input.has("environment") {
            let name = try input.parameter("environment")
            isHere = owned.environment.map { $0.name == name } ?? isPlace(name, of: owned, in: project.id)
        } else {
            isHere = true
        }
        guard backup.project == project.id, isHere else {
            throw HoldfastError(
                .notFound, "there is no backup '\(backup.id)' of \(try place() ?? project.title)",
                hint: "List them with backup:list")
        }
        try principal.require(.viewer, on: owned)
        return owned
    }

    private func place() throws -> String? {
        input.has("environment") ? try environment().name : nil
    }

    /// Whether the backup of a gone environment is looked for below a name that makes sense.
    private func isPlace(_ name: String, of owned: OwnedBackup, in project: ProjectID) -> Bool {
        if owned.backup.environmentName == name { return true }
        return (try? catalogue.environment(named: name, in: project)) != nil
    }

    /// Finds the environment of each backup of a project, there or gone.
    func owners(in project: ProjectID) throws -> (Backup) -> OwnedBackup {
        let environments = try catalogue.environments(in: project)
        let gone = try catalogue.goneEnvironments(in: project)
        return { backup in
            OwnedBackup(
                backup: backup, environment: environments.first { $0.id == backup.environment },
                gone: gone.first { $0.id == backup.environment })
        }
    }

    /// Runs something that leaves a trace: it is recorded before it is done, and again if it is refused or fails.
    ///
    /// - Parameters:
    ///   - check: throws if the caller may not.
    func audited<Value>(
        _ action: String, in project: ProjectID?, on subject: String, check: () throws -> Void,
        _ work: () throws -> Value
    ) throws -> Value {
        func record(_ result: AuditEntry.Result, _ detail: String? = nil) throws {
            try catalogue.audit(
                AuditEntry(
                    at: parts.time.now(), session: principal.session, action: action, on: (project, subject),
                    result: result, detail: detail))
        }
        do {
            try check()
            try record(.allowed)
            return try work()
        } catch let error as HoldfastError {
            let isRefusal = [.forbidden, .conflict, .notFound, .unsupported, .invalidInput].contains(error.code)
            try record(isRefusal ? .refused : .failed, error.message)
            throw error
        }
    }

    /// Asks for one operation on an environment, which needs the admin role for its type.
    func submit(_ type: ActivityType, _ request: OperationRequest, on environment: Environment) throws -> Reply {
        let activity = try audited(type.rawValue, in: environment.project, on: environment.name) {
            try principal.require(.admin, on: environment)
        } _: {
            try operations.submit(request, by: user.id)
        }
        return try .accepted([try view(of: activity.id, in: environment.project)])
    }
}
