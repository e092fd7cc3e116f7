import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastRetention

/// Addresses. Links carry no query: clients lose it.
enum Path {
    static let organization = "local"

    static func project(_ id: ProjectID) -> String { "/projects/\(id)" }

    static func environment(_ name: String, in project: ProjectID) -> String {
        "/projects/\(project)/environments/\(segment(name))"
    }

    static func activity(_ id: ActivityID, in project: ProjectID) -> String { "/projects/\(project)/activities/\(id)" }

    /// One segment of a path: everything but RFC 3986's unreserved characters is encoded, slashes too.
    static func segment(_ text: String) -> String {
        let plain = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: plain) ?? text
    }
}

/// What the caller gets to see: wire values with the links that hold for this caller now.
extension Call {
    func view(of project: Project) throws -> API.Project {
        let path = Path.project(project.id)
        var links: API.Links = [
            "self": path, "environments": "\(path)/environments", "activities": "\(path)/activities",
            "settings": "\(path)/settings", "capabilities": "\(path)/capabilities",
            "environment-types": "\(path)/environment-types", "user-access": "\(path)/user-access",
            "integrations": "\(path)/integrations", "variables": "\(path)/variables",
        ]
        if try principal.requirePermissions(in: project.id).project == .admin {
            links["#edit"] = path
            links["#manage-variables"] = "\(path)/variables"
            if principal.isOperator { links["#delete"] = path }
            links["repository-key"] = "\(path)/repository-key"
        }
        var view = API.Project(
            project, gitAddress: operations.gitAddress(of: project.id), organization: Path.organization,
            owner: try owner().id.rawValue, links: links)
        if principal.isOperator { view.repository.path = operations.gitDirectory(of: project.id) }
        return view
    }

    /// The first operator, who owns the only organization.
    func owner() throws -> User {
        let operators = try catalogue.users().filter(\.isOperator).sorted { $0.createdAt < $1.createdAt }
        return operators.first ?? user
    }

    func views(of environments: [Environment], in project: Project) throws -> [API.Environment] {
        let dirty = try catalogue.dirtyEnvironments(in: project.id)
        let backups = try catalogue.lastBackups(in: project.id)
        return try environments.map { environment in
            var facts = API.EnvironmentFacts(
                isDirty: dirty.contains(environment.id), isMain: environment.name == project.defaultBranch)
            facts.lastBackupAt = backups[environment.id]
            // A deployment that cannot be read must not hide its environment, which can still be restored; asking for
            // the deployment itself says what is wrong with it.
            let running = try? operations.currentDeployment(of: environment)
            if let running {
                facts.lastDeploymentAt = running.deployedAt
                facts.deployedCommit = running.commit
                facts.restoredFrom = running.restoredFrom
                facts.routes = running.routes
                facts.beforeRestore = running.beforeRestore
            }
            let links = try EnvironmentLinks(
                environment: environment, facts: facts
            ).links(isAdmin: isAdmin(on: environment))
            return API.Environment(environment, facts: facts, links: links)
        }
    }

    func view(of environment: Environment) throws -> API.Environment {
        let views = try views(of: [environment], in: try catalogue.project(environment.project))
        guard let view = views.first else { throw HoldfastError(.internalFault, "an environment has no view") }
        return view
    }

    func isAdmin(on environment: Environment) throws -> Bool {
        try principal.permissions(in: environment.project)?.role(on: environment.type) == .admin
    }

    func view(of owned: OwnedBackup) throws -> API.Backup {
        guard let view = try views(of: [owned]).first else {
            throw HoldfastError(.internalFault, "a backup has no view")
        }
        return view
    }

    /// Each with why it is kept; an environment's plan is made once.
    func views(of backups: [OwnedBackup]) throws -> [API.Backup] {
        var plans: [EnvironmentID: KeptBackups] = [:]
        var admins: [EnvironmentID: Bool] = [:]
        var sites: [ProjectID: [SiteState]] = [:]
        return try backups.map { owned in
            let (project, id) = (owned.backup.project, owned.backup.environment)
            let isAdmin = admins[id] ?? ((try? principal.require(.admin, on: owned)) != nil)
            admins[id] = isAdmin
            let states = sites[project] ?? operations.siteStates(of: project)
            sites[project] = states
            var view = view(ofRecord: owned, isAdmin: isAdmin, states)
            guard let environment = owned.environment else { return view }
            let plan = try plans[environment.id] ?? KeptBackups(environment, catalogue, at: parts.time.now())
            plans[environment.id] = plan
            view.kept = plan.reasons[owned.backup.id] ?? []
            view.expiresAt = plan.expiry[owned.backup.id]
            return view
        }
    }

    private func view(ofRecord owned: OwnedBackup, isAdmin: Bool, _ sites: [SiteState]) -> API.Backup {
        let backup = owned.backup
        let base = owned.environment.map { Path.environment($0.name, in: $0.project) } ?? Path.project(backup.project)
        let path = "\(base)/backups/\(backup.id)"
        var links: API.Links = ["self": path]
        if backup.status == .created, isAdmin {
            links["#edit"] = path
            links["#delete"] = path
            if backup.keeping.isDeleted {
                links["#undelete"] = "\(path)/undelete"
            } else {
                links["#restore"] = "\(path)/restore"
                links["#protect"] = "\(path)/protect"
                if backup.keeping.isProtected { links["#unprotect"] = "\(path)/unprotect" }
            }
        }
        return API.Backup(backup, isEnvironmentDeleted: owned.environment == nil, links: links, now: sites)
    }

    func view(of details: ActivityDetails) throws -> API.Activity {
        let activity = details.activity
        let path = Path.activity(activity.id, in: activity.project)
        var links: API.Links = ["self": path, "log": "\(path)/log"]
        let canEnd = activity.state == .pending || (activity.state == .inProgress && activity.type.builds)
        if canEnd, try mayCancel(activity) { links["#cancel"] = "\(path)/cancel" }
        return API.Activity(activity, environmentName: details.environmentName, user: details.user, links: links)
    }

    func view(of activity: ActivityID, in project: ProjectID) throws -> API.Activity {
        try view(of: catalogue.activityDetails(activity, in: project))
    }

    /// Admins of the environment, there or gone.
    func mayCancel(_ activity: Activity) throws -> Bool {
        let permissions = try principal.permissions(in: activity.project)
        if permissions?.project == .admin { return true }
        guard let id = activity.environment else { return false }
        let environments = try catalogue.environments(in: activity.project)
        let gone = try catalogue.goneEnvironments(in: activity.project)
        let type = environments.first { $0.id == id }?.type ?? gone.first { $0.id == id }?.type
        return type.map { permissions?.role(on: $0) == .admin } ?? false
    }
}

/// Why the backups of an environment are kept, and until when about.
struct KeptBackups {
    private(set) var reasons: [BackupID: [String]] = [:]
    private(set) var expiry: [BackupID: Date] = [:]

    init(_ environment: Environment, _ catalogue: Catalogue, at now: Date) throws {
        let retention = try catalogue.retention(of: environment, at: now)
        for kept in retention.plan().kept {
            reasons[kept.id] = kept.reasons.map(\.description)
            expiry[kept.id] = retention.expiry(of: kept.reasons, at: now)
        }
    }
}

/// Which relations an environment has: an operation is there exactly if it would be let in now.
struct EnvironmentLinks {
    var environment: Environment
    var facts: API.EnvironmentFacts

    func links(isAdmin: Bool) -> API.Links {
        let path = Path.environment(environment.name, in: environment.project)
        var links: API.Links = [
            "self": path, "backups": "\(path)/backups", "#activities": "\(path)/activities",
            "#variables": "\(path)/variables",
        ]
        if let address = facts.routes.first {
            links["public-url"] = address
            links.set("pf:routes", to: facts.routes)
        }
        guard isAdmin else { return links }
        links["#edit"] = path
        links["#manage-variables"] = "\(path)/variables"
        guard environment.status != .deleting else { return links }
        // Also of one that builds: the build ends with it.
        if environment.type != .production { links["#delete"] = path }
        guard !facts.isDirty else { return links }
        for operation in operations { links["#\(operation)"] = "\(path)/\(operation)" }
        return links
    }

    private var operations: [String] {
        let isActive = environment.status == .active
        let isPaused = environment.status == .paused
        let isProtected = environment.type == .production
        let hasCode = environment.headCommit != nil
        var names: [String] = []
        if isActive { names.append("backup") }
        if isActive, facts.beforeRestore != nil { names.append("undo-restore") }
        if isActive || isPaused, hasCode { names.append("redeploy") }
        if environment.status == .inactive, hasCode { names.append("activate") }
        if isActive || isPaused, !isProtected { names.append("deactivate") }
        if isActive, !isProtected { names.append("pause") }
        if isPaused { names.append("resume") }
        return names
    }
}
