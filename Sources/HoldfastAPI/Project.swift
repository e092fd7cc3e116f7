import Foundation
import HoldfastModel

extension API {
    /// `GET /projects/{p}`.
    package struct Project: Codable, Sendable {
        package var id: ProjectID
        package var title: String
        package var defaultBranch: String
        package var region: String
        package var timezone: String
        package var organization: String
        package var owner: String
        package var vendor: String
        package var status: String
        package var repository: GitRepository
        package var subscription: Subscription
        package var createdAt: Date
        package var updatedAt: Date
        package var links: Links

        package struct GitRepository: Codable, Sendable {
            /// What one pushes to over HTTP, with an API token as the password.
            package var url: String
            /// Our addition, for operators: where it lies on the server's machine.
            package var path: String?
        }

        /// What clients of a hosted service read; here nothing is limited.
        package struct Subscription: Codable, Sendable {
            package var licenseUri: String
            package var plan: String
            package var environments: Int
            package var storage: Int
            package var includedUsers: Int
            package var userLicenses: Int
            package var subscriptionManagementUri: String
            package var restricted: Bool
            package var suspended: Bool
        }

        /// - Parameters:
        ///   - gitAddress: the URL that one pushes to.
        ///   - organization: id of the installation's only organization.
        ///   - links: relations that the caller may see.
        package init(
            _ project: HoldfastModel.Project, gitAddress: String, organization: String, owner: String, links: Links
        ) {
            id = project.id
            title = project.title
            defaultBranch = project.defaultBranch
            region = project.region
            timezone = project.timeZone
            self.organization = organization
            self.owner = owner
            vendor = "upsun"
            status = "active"
            repository = GitRepository(url: gitAddress)
            subscription = Subscription(
                licenseUri: "/subscriptions/\(project.id)", plan: "self-hosted", environments: 1000, storage: 0,
                includedUsers: 1000, userLicenses: 1000, subscriptionManagementUri: "/", restricted: false,
                suspended: false)
            createdAt = project.createdAt
            updatedAt = project.updatedAt
            self.links = links
        }
    }

    /// `POST /projects`: our addition.
    package struct ProjectCreateInput: Codable, Sendable {
        package var title: String
        /// Left out: made up at random.
        package var id: ProjectID?
        /// Left out: `main`.
        package var defaultBranch: String?
        /// Left out: `local`.
        package var region: String?
        /// IANA name; left out: `UTC`.
        package var timezone: String?

        package init(
            title: String, id: ProjectID? = nil, defaultBranch: String? = nil, region: String? = nil,
            timezone: String? = nil
        ) {
            self.title = title
            self.id = id
            self.defaultBranch = defaultBranch
            self.region = region
            self.timezone = timezone
        }
    }

    /// What `DELETE /projects/{p}` answers: our addition.
    package struct ProjectDeleted: Codable, Sendable {
        package var status = "OK"
        package var code = 200
        /// Paths on the server that could not be removed.
        package var left: [String]

        package init(left: [String]) { self.left = left }
    }

    /// `GET /projects/{p}/repository-key`: our addition. What `restic` needs to open the project's backups.
    package struct RepositoryKey: Codable, Sendable {
        package var project: ProjectID
        package var password: Secret
        package var sites: [Site]

        package struct Site: Codable, Sendable {
            package var name: String
            /// What one gives to `restic -r`.
            package var location: String

            package init(name: String, location: String) {
                self.name = name
                self.location = location
            }
        }

        package init(project: ProjectID, password: Secret, sites: [Site]) {
            self.project = project
            self.password = password
            self.sites = sites
        }
    }

    /// `GET /projects/{p}/settings`: the keys that clients read, with the contract's defaults.
    package struct ProjectSettings: Codable, Sendable {
        package var initialize = JSONValue.object([:])
        package var productName = "Holdfast"
        package var productCode = "holdfast"
        package var variablesPrefix = "PLATFORM_"
        package var projectConfigDir = ".upsun"
        package var environmentNameStrategy = "name-and-hash"
        package var sizingApiEnabled = true
        package var enableGuaranteedResources = false
        package var enableIncrementalBackups = true
        package var enablePausedEnvironments = true
        package var allowManualDeployments = false
        package var allowRollingDeployments = false
        package var strictConfiguration = true
        package var cronMinimumInterval = 1
        package var cronMaximumJitter = 0
        package var concurrencyLimits: [String: Int] = Dictionary(
            uniqueKeysWithValues: ActivityQueueName.allCases.map { ($0.rawValue, $0.projectLimit) })
        /// Environment type -> policy; null while there is none.
        @Nullable package var dataRetention: JSONValue?
        package var links: Links

        package init(links: Links) {
            self.links = links
        }
    }

    /// `GET /projects/{p}/capabilities`.
    package struct Capabilities: Codable, Sendable {
        package struct Switch: Codable, Sendable {
            package var enabled: Bool
        }
        package var guaranteedResources = Switch(enabled: false)
        package var autoscaling = Switch(enabled: false)
        package var dataRetention = Switch(enabled: true)
        package var links: Links

        package init(links: Links) { self.links = links }
    }

    /// An item of `GET /projects/{p}/environment-types`.
    package struct EnvironmentTypeItem: Codable, Sendable {
        package var id: String
        package var attributes = JSONValue.object([:])
        package var links: Links

        package init(_ type: HoldfastModel.EnvironmentType, links: Links) {
            id = type.rawValue
            self.links = links
        }
    }

    /// `GET /organizations/{o}`: one per installation.
    package struct Organization: Codable, Sendable {
        package var id: String
        package var type = "fixed"
        package var ownerId: String
        package var name: String
        package var label: String
        package var country = ""
        package var vendor = "upsun"
        package var capabilities: [String] = []
        package var status = "active"
        package var createdAt: Date
        package var updatedAt: Date
        package var links: Links

        package init(id: String, owner: UserID, name: String, label: String, createdAt: Date, links: Links) {
            self.id = id
            self.ownerId = owner.rawValue
            self.name = name
            self.label = label
            self.createdAt = createdAt
            self.updatedAt = createdAt
            self.links = links
        }
    }
}
