import Foundation
import HoldfastModel

extension API {
    /// What the server knows about an environment besides its stored record.
    package struct EnvironmentFacts: Sendable {
        /// An activity that changes deployment or data is open.
        package var isDirty: Bool
        package var isMain: Bool
        package var lastBackupAt: Date?
        package var lastDeploymentAt: Date?
        /// The commit whose code runs; nil if nothing is deployed.
        package var deployedCommit: String?
        /// The backup that the running code came from.
        package var restoredFrom: BackupID?
        /// Where the environment is reached, the primary route first.
        package var routes: [String] = []
        /// What an undo of the last restore would lead back to; nil if there is nothing to undo.
        package var beforeRestore: PriorState?

        package init(isDirty: Bool, isMain: Bool) {
            self.isDirty = isDirty
            self.isMain = isMain
        }
    }

    /// `GET /projects/{p}/environments/{e}`.
    package struct Environment: Codable, Sendable {
        /// The branch; the same as `name`.
        package var id: String
        package var name: String
        package var machineName: String
        package var title: String
        package var attributes: [String: String] = [:]
        package var type: String
        /// `active`, `inactive`, `dirty`, `paused` or `deleting`.
        package var status: String
        @Nullable package var parent: String?
        package var project: ProjectID
        @Nullable package var defaultDomain: String?
        package var hasDomains = false
        package var cloneParentOnCreate = false
        @Nullable package var deploymentTarget: String?
        package var isPr = false
        package var hasRemote = false
        package var httpAccess = HTTPAccess()
        package var enableSmtp = false
        package var restrictRobots = true
        package var edgeHostname: String
        @Nullable package var deploymentState: DeploymentState?
        @Nullable package var sizing: JSONValue?
        @Nullable package var resourcesOverrides: JSONValue?
        @Nullable package var maxInstanceCount: Int?
        @Nullable package var lastActiveAt: Date?
        @Nullable package var lastBackupAt: Date?
        package var isMain: Bool
        package var isDirty: Bool
        package var hasStagedActivities = false
        package var canRollingDeploy = false
        package var supportsRollingDeployments = false
        package var hasCode: Bool
        @Nullable package var headCommit: String?
        @Nullable package var mergeInfo: MergeInfo?
        package var hasDeployment: Bool
        package var supportsRestrictRobots = false
        /// Our additions: which commit runs, and the backup that it came from if it is not the branch's code.
        @Nullable package var deployedCommit: String?
        @Nullable package var restoredFrom: BackupID?
        /// Our addition: where it is reached; null if nothing is deployed.
        @Nullable package var publicUrl: String?
        /// Our addition: what an undo of the last restore would lead back to.
        @Nullable package var beforeRestore: PriorState?
        /// Our addition: the immutable identity, which names its files on the server.
        package var instance: EnvironmentID
        @Nullable package var createdAt: Date?
        @Nullable package var updatedAt: Date?
        package var links: Links

        package struct HTTPAccess: Codable, Sendable {
            package var isEnabled = false
            package var addresses: [JSONValue] = []
            package var basicAuth: [String: String] = [:]
        }

        package struct DeploymentState: Codable, Sendable {
            package var lastStateUpdateSuccessful = true
            package var lastDeploymentSuccessful = true
            @Nullable package var lastDeploymentFailureReason: String?
            package var lastDeploymentCommands: [JSONValue] = []
            @Nullable package var lastDeploymentAt: Date?
            @Nullable package var lastAutoscaleUpAt: Date?
            @Nullable package var lastAutoscaleDownAt: Date?
            @Nullable package var lastMaintenanceAt: Date?
            package var crons = Crons()

            package struct Crons: Codable, Sendable {
                package var enabled = true
                package var status = "running"
            }
        }

        package struct MergeInfo: Codable, Sendable {
            @Nullable package var commitsAhead: Int?
            @Nullable package var commitsBehind: Int?
            @Nullable package var parentRef: String?
        }

        package init(_ environment: HoldfastModel.Environment, facts: EnvironmentFacts, links: Links) {
            id = environment.name
            name = environment.name
            machineName = environment.machineName
            title = environment.title
            type = environment.type.rawValue
            let isOverlaid = facts.isDirty && environment.status != .deleting
            status = (isOverlaid ? EnvironmentStatus.dirty : environment.status).rawValue
            project = environment.project
            edgeHostname = facts.routes.first.flatMap { URL(string: $0)?.host() } ?? ""
            isMain = facts.isMain
            isDirty = facts.isDirty
            hasCode = environment.headCommit != nil
            hasDeployment = facts.deployedCommit != nil
            instance = environment.id
            self.links = links
            parent = environment.parent
            headCommit = environment.headCommit
            lastBackupAt = facts.lastBackupAt
            deployedCommit = facts.deployedCommit
            restoredFrom = facts.restoredFrom
            publicUrl = facts.routes.first
            beforeRestore = facts.beforeRestore
            createdAt = environment.createdAt
            updatedAt = environment.updatedAt
            if environment.parent != nil { mergeInfo = MergeInfo() }
            if facts.deployedCommit != nil {
                var state = DeploymentState()
                state.lastDeploymentAt = facts.lastDeploymentAt
                if environment.status != .active { state.crons.status = "paused" }
                deploymentState = state
            }
        }

    }

    /// What ran in an environment before its last restore.
    package struct PriorState: Codable, Sendable {
        package var commit: String
        package var deployedAt: Date
        @Nullable package var restoredFrom: BackupID?

        package init(commit: String, deployedAt: Date, restoredFrom: BackupID?) {
            self.commit = commit
            self.deployedAt = deployedAt
            self.restoredFrom = restoredFrom
        }
    }

    /// `GET /projects/{p}/environments/{e}/deployments/current`: what runs, as clients read it.
    package struct Deployment: Codable, Sendable {
        package var id: String
        package var webapps: [String: Application]
        package var workers: [String: Application]
        package var services: [String: Service]
        /// Address -> route.
        package var routes: [String: Route]
        package var links: Links

        package struct Application: Codable, Sendable {
            package var name: String
            package var type: String
            package var size: String
            package var disk: Int
            /// Mount path -> where it lies.
            package var mounts: [String: Mount]
            /// `{"commands":{"start":…}}` for a worker.
            package var worker: JSONValue?

            package init(name: String, type: String, mounts: [String: Mount], startCommand: String? = nil) {
                self.name = name
                self.type = type
                self.size = "AUTO"
                self.disk = 0
                self.mounts = mounts
                self.worker = startCommand.map { .object(["commands": .object(["start": .string($0)])]) }
            }
        }

        package struct Mount: Codable, Sendable {
            package var source: String
            package var sourcePath: String?
            package var service: String?

            package init(source: String, sourcePath: String?, service: String? = nil) {
                self.source = source
                self.sourcePath = sourcePath
                self.service = service
            }
        }

        package struct Service: Codable, Sendable {
            package var name: String
            package var type: String
            package var size: String
            package var disk: Int
            package var configuration: JSONValue

            package init(name: String, type: String, configuration: JSONValue = [:]) {
                self.name = name
                self.type = type
                self.size = "AUTO"
                self.disk = 0
                self.configuration = configuration
            }
        }

        package struct Route: Codable, Sendable {
            package var primary: Bool
            package var type: String
            package var upstream: String?
            package var to: String?
            package var originalUrl: String

            package init(primary: Bool, upstream: String?, to: String?, originalURL: String) {
                self.primary = primary
                self.type = to == nil ? "upstream" : "redirect"
                self.upstream = upstream
                self.to = to
                self.originalUrl = originalURL
            }
        }

        package init(id: String) {
            self.id = id
            webapps = [:]
            workers = [:]
            services = [:]
            routes = [:]
            links = [:]
        }
    }

    /// `PATCH /projects/{p}/environments/{e}`; what is left out stays.
    package struct EnvironmentPatch: Codable, Sendable {
        package var title: String?
        /// `production`, `staging` or `development`.
        package var type: String?
        package var parent: String?

        package init(title: String? = nil, type: String? = nil, parent: String? = nil) {
            self.title = title
            self.type = type
            self.parent = parent
        }
    }

    /// `POST …/activate` and its like; everything may be left out.
    package struct ResourcesInput: Codable, Sendable {
        package var resources: Strategy?

        package struct Strategy: Codable, Sendable {
            /// `backup`, `parent`, `default` or `minimum`.
            package var `init`: String?

            package init(_ strategy: String?) { self.`init` = strategy }
        }

        package init(resources: Strategy? = nil) { self.resources = resources }
    }
}
