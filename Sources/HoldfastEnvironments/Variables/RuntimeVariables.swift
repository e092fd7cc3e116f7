import Foundation
import HoldfastModel

/// The environment variables of an app's processes: PLATFORM_*, relationships, PORT and what the user has set.
///
/// Later wins: variables of the app, then of its worker, then of project and environment, then relationships, then
/// ours.
package struct RuntimeVariables: Sendable {
    /// What the variables are for.
    package enum Purpose: Sendable, Hashable {
        /// Answers requests on a loopback port, or on a socket.
        case web(Listener)
        case worker(String)
        case cron(String)
        /// Deploy and post-deploy hooks, and commands of the user.
        case hook
    }

    package enum Listener: Sendable, Hashable {
        case port(Int)
        case socket(String)
    }

    package let configuration: EnvironmentConfiguration
    package let deployment: DeploymentRecord
    package let identity: EnvironmentIdentity
    /// Service name -> how it is reached.
    package var endpoints: [String: ServiceEndpoint]
    /// App name -> its loopback port, for relationships between apps.
    package var applicationPorts: [String: Int]

    package init(
        configuration: EnvironmentConfiguration, deployment: DeploymentRecord, identity: EnvironmentIdentity,
        endpoints: [String: ServiceEndpoint], applicationPorts: [String: Int] = [:]
    ) {
        self.configuration = configuration
        self.deployment = deployment
        self.identity = identity
        self.endpoints = endpoints
        self.applicationPorts = applicationPorts
    }

    /// All variables of one process. Nothing is inherited from ours.
    ///
    /// - Parameters:
    ///   - app: the app it belongs to.
    ///   - directory: absolute path of the built app, `PLATFORM_APP_DIR`.
    ///   - path: `PATH`, with the runtime's programs first.
    /// - Throws: `notFound` if a relationship leads to a service that has no endpoint.
    package func make(
        app: ApplicationConfiguration, purpose: Purpose, directory: String, path: String
    ) throws -> [String: String] {
        var variables = Self.base(directory: directory, path: path)
        if let timezone = app.timezone { variables["TZ"] = timezone }
        variables.merge(app.variables.env) { _, new in new }
        var others = app.variables.others
        if case .worker(let name) = purpose, let worker = app.workers[name] {
            variables.merge(worker.variables.env) { _, new in new }
            for (prefix, values) in worker.variables.others {
                others[prefix, default: [:]].merge(values) { _, new in new }
            }
        }
        variables.merge(userVariables().filter { !Self.isReserved($0.key) }) { _, new in new }
        let relationships = try relationships(of: app)
        for (name, relationship) in relationships {
            variables.merge(relationship.variables(prefix: name)) { _, new in new }
        }
        variables.merge(try platform(app: app, directory: directory, others: others)) { _, new in new }
        variables["PLATFORM_BRANCH"] = identity.name
        variables["PLATFORM_ENVIRONMENT"] = identity.machineName
        variables["PLATFORM_ENVIRONMENT_TYPE"] = identity.type.rawValue
        variables["PLATFORM_RELATIONSHIPS"] = try Self.base64(relationships.mapValues { [$0] })
        variables["PLATFORM_ROUTES"] = try Self.base64(routes())
        variables["PLATFORM_SMTP_HOST"] = ""
        let root = app.web?.documentRoot.map { directory + "/" + $0 } ?? directory
        variables["PLATFORM_DOCUMENT_ROOT"] = root
        switch purpose {
        case .web(.port(let port)): variables["PORT"] = String(port)
        case .web(.socket(let path)): variables["SOCKET"] = path
        case .cron(let name): variables["HOLDFAST_CRON"] = name
        case .worker, .hook: break
        }
        return variables
    }

    /// All variables of a build hook: services and routes are not there yet.
    ///
    /// - Parameters:
    ///   - directory: absolute path of the folder that is being built, `PLATFORM_APP_DIR` and `PLATFORM_OUTPUT_DIR`.
    ///   - cache: absolute path of a folder that outlives the build.
    package func makeForBuild(
        app: ApplicationConfiguration, directory: String, cache: String, path: String
    ) throws -> [String: String] {
        var variables = Self.base(directory: directory, path: path)
        if let timezone = app.timezone { variables["TZ"] = timezone }
        variables.merge(app.variables.env) { _, new in new }
        variables.merge(userVariables().filter { !Self.isReserved($0.key) }) { _, new in new }
        variables.merge(try platform(app: app, directory: directory, others: app.variables.others)) { _, new in new }
        variables["PLATFORM_OUTPUT_DIR"] = directory
        variables["PLATFORM_CACHE_DIR"] = cache
        return variables
    }

    /// Whether a text can be the name of an environment variable.
    package static func isEnvironmentName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !(48...57).contains(first), text.utf8.count <= 255 else { return false }
        return text.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 95
        }
    }

    /// What the command line is told by whoever uses it, as a cron does that takes a backup.
    private static let forCommandLine: Set<String> = ["HOLDFAST_TOKEN", "HOLDFAST_URL"]

    /// Names that only Holdfast sets.
    package static func isReserved(_ name: String) -> Bool {
        if forCommandLine.contains(name) { return false }
        return name.hasPrefix("PLATFORM_") || name.hasPrefix("HOLDFAST_") || name == "PORT" || name == "SOCKET"
    }

    // MARK: Parts

    private static func base(directory: String, path: String) -> [String: String] {
        ["HOME": directory, "PATH": path, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh"]
    }

    /// Variables of project and environment with the prefix `env:`.
    private func userVariables() -> [String: String] {
        var variables: [String: String] = [:]
        for (name, value) in deployment.variables where name.hasPrefix("env:") {
            let name = String(name.dropFirst(4))
            if Self.isEnvironmentName(name) { variables[name] = value.reveal() }
        }
        return variables
    }

    /// What build and run time have in common.
    private func platform(
        app: ApplicationConfiguration, directory: String, others: [String: [String: ConfigurationValue]]
    ) throws -> [String: String] {
        var custom: [String: ConfigurationValue] = [:]
        for (prefix, values) in others {
            for (name, value) in values { custom["\(prefix):\(name)"] = value }
        }
        for (name, value) in deployment.variables where !name.hasPrefix("env:") {
            custom[name] = .string(value.reveal())
        }
        var variables = [
            "PLATFORM_APP_DIR": directory,
            "PLATFORM_SOURCE_DIR": directory,
            "PLATFORM_APPLICATION": try Self.base64(app.platformDescription(deployment: deployment)),
            "PLATFORM_APPLICATION_NAME": app.name,
            "PLATFORM_PROJECT": identity.project.rawValue,
            "PLATFORM_PROJECT_ENTROPY": identity.entropy.reveal(),
            // The commit names the tree: it changes whenever the tree does.
            "PLATFORM_TREE_ID": deployment.commit,
            "PLATFORM_VARIABLES": try Self.base64(custom),
            // What applications and libraries written for Upsun compare it with.
            "PLATFORM_VENDOR": "upsun",
        ]
        variables["PLATFORM_APP_COMMAND"] = app.web?.start ?? ""
        variables["PLATFORM_PRE_APP_COMMAND"] = app.web?.preStart ?? ""
        variables["PLATFORM_POST_APP_COMMAND"] = app.web?.postStart ?? ""
        return variables
    }

    private func relationships(of app: ApplicationConfiguration) throws -> [String: RelationshipDescription] {
        var result: [String: RelationshipDescription] = [:]
        for (name, relationship) in app.relationships {
            // Reached by mounts; a push warns of it.
            if configuration.services[relationship.service]?.type.isNetworkStorage == true { continue }
            if let endpoint = endpoints[relationship.service] {
                let type = configuration.services[relationship.service]?.type.description ?? ""
                result[name] = try RelationshipDescription(relationship, endpoint: endpoint, type: type)
            } else if let other = configuration.applications[relationship.service] {
                guard let port = applicationPorts[other.name] else { continue }
                result[name] = RelationshipDescription(relationship, app: other, port: port)
            } else {
                throw HoldfastError(
                    .notFound,
                    "relationship '\(name)' of '\(app.name)' leads to '\(relationship.service)', "
                        + "which has no endpoint")
            }
        }
        return result
    }

    /// URL -> route, as PLATFORM_ROUTES has it.
    private func routes() -> [String: ConfigurationValue] {
        var routes: [String: ConfigurationValue] = [:]
        for route in configuration.routes {
            var map: [String: ConfigurationValue] = [
                "original_url": .string(route.pattern), "primary": .bool(route.primary),
                "id": route.identifier.map { .string($0) } ?? .null, "attributes": .map([:]),
            ]
            switch route.kind {
            case .upstream(let app):
                map["type"] = .string("upstream")
                map["upstream"] = .string(app)
            case .redirect(let to):
                map["type"] = .string("redirect")
                map["to"] = .string(to.replacingOccurrences(of: "{default}", with: identity.host))
            }
            routes[route.url(defaultHost: identity.host)] = .map(map)
        }
        return routes
    }

    static func base64(_ value: some Encodable) throws -> String {
        Data(try JSONText.encode(value).utf8).base64EncodedString()
    }
}
