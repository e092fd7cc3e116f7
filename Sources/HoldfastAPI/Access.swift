import Foundation
import HoldfastModel

extension API {
    /// `GET /users/me`, `GET /users/{u}`.
    package struct User: Codable, Sendable {
        package var id: UserID
        package var username: String
        package var email: String
        package var firstName: String
        package var lastName: String
        package var phoneNumberVerified = true
        package var emailVerified = true
        package var deactivated = false
        package var namespace = "holdfast"
        package var picture = ""
        package var country = ""
        package var company = ""
        package var website = ""
        package var mfaEnabled = false
        package var ssoEnabled = false
        @Nullable package var consentMethod: String?
        @Nullable package var consentedAt: Date?
        package var createdAt: Date
        package var updatedAt: Date
        /// Our addition: may create projects and users.
        package var `operator`: Bool

        package init(_ user: HoldfastModel.User) {
            id = user.id
            username = user.username
            email = user.email
            let names = user.displayName.split(separator: " ", maxSplits: 1).map(String.init)
            firstName = names.first ?? user.username
            lastName = names.count > 1 ? names[1] : ""
            createdAt = user.createdAt
            updatedAt = user.createdAt
            self.operator = user.isOperator
        }
    }

    /// What `/ref/users` gives: the public part of a user.
    package struct UserReference: Codable, Sendable {
        package var id: UserID
        package var username: String
        package var email: String
        package var firstName: String
        package var lastName: String
        package var picture = ""
        package var mfaEnabled = false
        package var ssoEnabled = false

        package init(_ user: HoldfastModel.User) {
            let full = User(user)
            id = user.id
            username = user.username
            email = user.email
            firstName = full.firstName
            lastName = full.lastName
        }
    }

    /// What `/ref/projects` gives.
    package struct ProjectReference: Codable, Sendable {
        package var id: ProjectID
        package var title: String
        package var region: String
        package var status = "active"
        package var subscriptionId: String
        package var organizationId: String
        /// Clients hide projects of other vendors.
        package var vendor = "upsun"
        package var createdAt: Date
        package var updatedAt: Date

        package init(_ project: HoldfastModel.Project, organization: String) {
            id = project.id
            title = project.title
            region = project.region
            subscriptionId = project.id.rawValue
            organizationId = organization
            createdAt = project.createdAt
            updatedAt = project.updatedAt
        }
    }

    /// What `/ref/organizations` gives.
    package struct OrganizationReference: Codable, Sendable {
        package var id: String
        package var type: String
        package var ownerId: String
        package var name: String
        package var label: String
        package var vendor: String
        package var createdAt: Date
        package var updatedAt: Date

        package init(_ organization: Organization) {
            id = organization.id
            type = organization.type
            ownerId = organization.ownerId
            name = organization.name
            label = organization.label
            vendor = organization.vendor
            createdAt = organization.createdAt
            updatedAt = organization.updatedAt
        }
    }

    /// An item of `GET /users/{u}/extended-access`.
    package struct ExtendedAccess: Codable, Sendable {
        package var userId: UserID
        package var resourceId: String
        package var resourceType = "project"
        package var organizationId: String
        package var permissions: [String]
        package var grantedAt: Date
        package var updatedAt: Date

        package init(user: UserID, project: ProjectID, organization: String, permissions: Permissions, at: Date) {
            userId = user
            resourceId = project.rawValue
            organizationId = organization
            self.permissions = permissions.strings
            grantedAt = at
            updatedAt = at
        }
    }

    /// An item of `GET /projects/{p}/user-access`.
    package struct UserAccess: Codable, Sendable {
        package var userId: UserID
        package var projectId: ProjectID
        package var organizationId: String
        package var permissions: [String]
        package var grantedAt: Date
        package var updatedAt: Date
        package var links: Links

        package init(
            user: UserID, project: ProjectID, organization: String, permissions: Permissions, at: Date, links: Links
        ) {
            userId = user
            projectId = project
            organizationId = organization
            self.permissions = permissions.strings
            grantedAt = at
            updatedAt = at
            self.links = links
        }
    }

    /// `POST /projects/{p}/user-access`: our addition. Makes the user if there is none with that address.
    package struct UserAddInput: Codable, Sendable {
        package var email: String
        /// Left out: made from the address.
        package var username: String?
        package var displayName: String?
        /// Such as `viewer` or `production:admin`.
        package var permissions: [String]

        package init(email: String, username: String? = nil, displayName: String? = nil, permissions: [String]) {
            self.email = email
            self.username = username
            self.displayName = displayName
            self.permissions = permissions
        }
    }

    /// `PATCH /projects/{p}/user-access/{u}`.
    package struct PermissionsInput: Codable, Sendable {
        package var permissions: [String]

        package init(permissions: [String]) { self.permissions = permissions }
    }

    /// `POST /users/me/tokens`: our addition.
    package struct TokenCreateInput: Codable, Sendable {
        /// What it is for, for people.
        package var name: String
        /// Id or e-mail address of somebody else; only operators may make tokens for others.
        package var user: String?
        /// With `permissions`: the token is good for this project only, and for no more than these roles.
        package var project: ProjectID?
        /// Such as `production:admin`; never more than the user has.
        package var permissions: [String]?

        package init(
            name: String, user: String? = nil, project: ProjectID? = nil, permissions: [String]? = nil
        ) {
            self.name = name
            self.user = user
            self.project = project
            self.permissions = permissions
        }
    }

    /// One API token. The token itself is in the answer to its creation, and never again.
    package struct Token: Codable, Sendable {
        package var id: TokenID
        package var name: String
        package var userId: UserID
        package var project: ProjectID?
        package var permissions: [String]?
        package var token: Secret?
        package var createdAt: Date
        @Nullable package var lastUsedAt: Date?
        package var links: Links

        package init(id: TokenID, name: String, user: UserID, createdAt: Date, links: Links) {
            self.id = id
            self.name = name
            self.userId = user
            self.createdAt = createdAt
            self.links = links
        }
    }

    /// A variable of a project or an environment; a sensitive one comes without its value.
    package struct Variable: Codable, Sendable {
        package var id: String
        package var name: String
        package var value: String?
        package var isJson: Bool
        package var isSensitive: Bool
        package var visibleBuild: Bool
        package var visibleRuntime: Bool
        package var applicationScope: [String] = []
        /// Only for variables of an environment.
        package var isEnabled: Bool?
        package var inherited: Bool?
        package var isInheritable: Bool?
        package var createdAt: Date
        package var updatedAt: Date
        package var links: Links

        package init(name: String, value: String?, isSensitive: Bool, at: Date, links: Links) {
            id = name
            self.name = name
            self.value = value
            isJson = false
            self.isSensitive = isSensitive
            visibleBuild = true
            visibleRuntime = true
            createdAt = at
            updatedAt = at
            self.links = links
        }
    }

    /// `POST …/variables`, and with everything optional but the value `PATCH …/variables/{v}`.
    package struct VariableInput: Codable, Sendable {
        package var name: String?
        package var value: String?
        package var isSensitive: Bool?

        package init(name: String? = nil, value: String? = nil, isSensitive: Bool? = nil) {
            self.name = name
            self.value = value
            self.isSensitive = isSensitive
        }
    }
}
