import HoldfastEnvironments
import HoldfastModel

/// Stops what runs of a project that is about to go, and starts it again if the project has to stay.
package struct ProjectRemoval {
    private let house: House

    package init(house: House) { self.house = house }

    /// Stops all environments of a project, then forgets it.
    ///
    /// - Parameter forget: ends the project in the catalogue, or throws what came in between, such as a backup that
    ///   began after the caller had looked. Then every environment is what it was before.
    /// - Returns: the environments that the project had.
    /// - Throws: what `forget` throws; what stopping an environment throws.
    package func stop(_ project: ProjectID, thenForget forget: () throws -> Void) throws -> [Environment] {
        let environments = try house.catalogue.environments(in: project)
        let running = environments.filter { $0.status != .inactive }
        do {
            // The status comes first: whoever watches must not start again what is stopped here.
            for environment in running { try set(.inactive, of: environment) }
            if !running.isEmpty { try house.supervisors.publishRoutes() }
            for environment in running { try house.supervisors.stop(environment.id) }
            try forget()
        } catch {
            putBack(running)
            throw error
        }
        return environments
    }

    private func set(_ status: EnvironmentStatus, of environment: Environment) throws {
        var current = try house.catalogue.environment(environment.id)
        current.status = status
        try house.catalogue.update(current)
    }

    /// What fails is logged and not thrown: the reason why the project stays matters more, and whoever watches the
    /// environments tries again to start those that are active.
    private func putBack(_ environments: [Environment]) {
        for environment in environments {
            do {
                guard try house.catalogue.environment(environment.id).status != environment.status else { continue }
                try set(environment.status, of: environment)
                if environment.status == .active || environment.status == .dirty {
                    try house.supervisors.client(environment.id).apply(ApplyOptions())
                }
            } catch {
                note("an environment of a project that stays is not as before", environment.id.rawValue, error)
            }
        }
        do { try house.supervisors.publishRoutes() } catch { note("routes are not published", "", error) }
    }

    private func note(_ what: String, _ environment: String, _ error: any Error) {
        house.logger.error("\(what)", metadata: ["environment": "\(environment)", "error": "\(error)"])
    }
}
