import Foundation
import HoldfastModel

/// What a supervisor is told about one process of an app.
package struct VariablesRequest: Sendable {
    package var configuration: EnvironmentConfiguration
    package var deployment: DeploymentRecord
    /// Service name -> how it is reached.
    package var endpoints: [String: ServiceEndpoint]
    /// App name -> its loopback port.
    package var applicationPorts: [String: Int]
    package var app: ApplicationConfiguration
    package var purpose: RuntimeVariables.Purpose
    /// Absolute path of the built app.
    package var directory: String
}

/// What others know: how services are run, what a configuration says, which variables processes get, what time it is.
package struct SupervisorParts: Sendable {
    package var adapter: @Sendable (TypeReference) throws -> any ServiceAdapter
    package var configuration: @Sendable (DeploymentRecord) throws -> EnvironmentConfiguration
    package var variables: @Sendable (VariablesRequest) throws -> [String: String]
    package var time: any TimeSource

    package init(
        adapter: @escaping @Sendable (TypeReference) throws -> any ServiceAdapter,
        configuration: @escaping @Sendable (DeploymentRecord) throws -> EnvironmentConfiguration,
        variables: @escaping @Sendable (VariablesRequest) throws -> [String: String],
        time: any TimeSource = SystemTime()
    ) {
        self.adapter = adapter
        self.configuration = configuration
        self.variables = variables
        self.time = time
    }

    /// The real ones.
    package static func standard(layout: EnvironmentLayout, types: InstalledTypes = InstalledTypes()) -> SupervisorParts
    {
        SupervisorParts(
            adapter: { try ServiceAdapters.adapter(for: $0) },
            configuration: { try EnvironmentConfiguration.parse($0.configuration) },
            variables: { request in
                let identity = try EnvironmentIdentity.read(from: layout.directory)
                let variables = RuntimeVariables(
                    configuration: request.configuration, deployment: request.deployment, identity: identity,
                    endpoints: request.endpoints, applicationPorts: request.applicationPorts)
                let path = try Builder.path(
                    for: types.resolve(runtime: request.app.type), types: types, layout: layout)
                return try variables.make(
                    app: request.app, purpose: request.purpose, directory: request.directory, path: path)
            })
    }
}

/// Bounds and choices of a supervisor.
package struct SupervisorOptions: Sendable {
    package var user: ProcessUser
    /// Which are tried, in this order; signals need not be named.
    package var freezeMethods: [FreezeMethod] = [.cgroup2, .cgroup1]
    /// From the start of an app until it listens.
    package var appReady: Duration = .seconds(60)
    /// From SIGTERM to SIGKILL, for apps, workers and crons.
    package var appStop: Duration = .seconds(10)
    package var serviceReady: Duration = .seconds(120)
    /// For restored data, which has to be recovered first.
    package var restoredServiceReady: Duration = .seconds(3600)
    package var serviceStop: Duration = .seconds(60)
    /// For one deploy or post-deploy hook.
    package var hook: Duration = .seconds(3600)
    /// How long an operation waits for another one to end.
    package var exclusionTimeout: Duration = .seconds(600)
    package var backoff = Backoff.Limits()
    /// Bytes that each log may have; one older part of the same size is kept beside it.
    package var logLimit = 64 << 20

    package init(user: ProcessUser) { self.user = user }
}
