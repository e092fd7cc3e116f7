import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// What a consistent backup of an environment would do now, and what it would cost its requests.
package struct BackupForecast: Sendable {
    /// How many backups the expectation is taken from.
    static let experience = 20

    /// Each mount's app and path, such as `ledger/files`, and how it would be staged.
    package let mounts: [(name: String, staging: StagingForecast)]
    package let services: [Service]
    /// How long the last consistent backups held, in milliseconds.
    package let holds: [Double]

    package struct Service: Sendable {
        package let name: String
        package let way: ServiceForecast
        /// Whether what is set aside of its files shares their blocks; nil if nothing is.
        package let isShared: Bool?
    }

    /// - Throws: `conflict` if the environment is not active or nothing is deployed in it.
    package init(environment: Environment, house: House) throws {
        let source = try BackupSource(environment: environment, house: house, patience: .zero)
        let staging = try Staging(in: source.layout.stagingDirectory, named: "forecast-\(BackupID.random())")
        defer { staging.remove() }
        mounts = try source.distinctMounts.map { mount in
            let own = try staging.directory(forService: mount.app)
            return ("\(mount.app)/\(mount.path)", try StagingForecast(of: mount.directory, into: own))
        }
        services = try source.services.sorted { $0.key < $1.key }.map { name, instance -> Service in
            let way = try ServiceAdapters.adapter(for: instance.type).forecast(instance)
            guard way.setsFilesAside else { return Service(name: name, way: way, isShared: nil) }
            let own = try staging.directory(forService: name)
            let forecast = try StagingForecast(of: instance.dataDirectory, into: own)
            return Service(name: name, way: way, isShared: forecast.isShared)
        }
        holds = try house.catalogue.backups(of: environment.id).filter(\.safe).prefix(Self.experience)
            .compactMap { $0.hold?.heldForMilliseconds }
    }
}
