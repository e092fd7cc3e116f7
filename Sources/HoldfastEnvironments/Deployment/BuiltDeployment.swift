import Foundation
import HoldfastModel

/// A commit that was built: everything that a switch needs, and nothing that is live yet.
package struct BuiltDeployment: Sendable {
    package var record: DeploymentRecord
    /// App name -> directory relative to the environment's, such as `apps/ledger/3`.
    package var apps: [String: String]
    package var configuration: EnvironmentConfiguration
    package var types: ResolvedTypes
    package var identity: EnvironmentIdentity

    package init(
        record: DeploymentRecord, apps: [String: String], configuration: EnvironmentConfiguration,
        types: ResolvedTypes, identity: EnvironmentIdentity
    ) {
        self.record = record
        self.apps = apps
        self.configuration = configuration
        self.types = types
        self.identity = identity
    }
}

/// A hook that runs in a deployment that is live: what a supervisor has to run, and in which order.
package struct DeployHook: Sendable, Hashable {
    package var app: String
    package var command: String

    package init(app: String, command: String) {
        self.app = app
        self.command = command
    }

    /// The deploy hooks, by the apps' names.
    package static func deploy(of configuration: EnvironmentConfiguration) -> [DeployHook] {
        hooks(of: configuration) { $0.deploy }
    }

    /// The hooks that run once requests are let in again.
    package static func postDeploy(of configuration: EnvironmentConfiguration) -> [DeployHook] {
        hooks(of: configuration) { $0.postDeploy }
    }

    private static func hooks(
        of configuration: EnvironmentConfiguration, _ select: (HooksConfiguration) -> String?
    ) -> [DeployHook] {
        configuration.applications.keys.sorted().compactMap { name in
            guard let command = configuration.applications[name].flatMap({ select($0.hooks) }) else { return nil }
            return DeployHook(app: name, command: command)
        }
    }
}
