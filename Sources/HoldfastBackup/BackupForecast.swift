import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// What a consistent backup of an environment would do now, and what it would cost its requests.
package struct BackupForecast: Sendable {
    /// How many backups the expectation is taken from.
    static let experience = 20

    /// Each mount's app and path, such as `ledger/files`, and how it would be staged.
    package let mounts: [(name: String, staging: StagingForecast)]
    package let services: [String]
    /// How long the last consistent backups held, in milliseconds.
    package let holds: [Double]

    /// - Throws: `conflict` if the environment is not active or nothing is deployed in it.
    package init(environment: Environment, house: House) throws {
        let source = try BackupSource(environment: environment, house: house, patience: .zero)
        let staging = try Staging(in: source.layout.stagingDirectory, named: "forecast-\(BackupID.random())")
        defer { staging.remove() }
        mounts = try source.distinctMounts.map { mount in
            let own = try staging.directory(forService: mount.app)
            return ("\(mount.app)/\(mount.path)", try StagingForecast(of: mount.directory, into: own))
        }
        services = source.services.keys.sorted()
        holds = try house.catalogue.backups(of: environment.id).filter(\.safe).prefix(Self.experience)
            .compactMap { $0.hold?.heldForMilliseconds }
    }
}
