import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel

/// Supervisors of the environments, and the routes that lead to their apps.
struct HouseSupervisors: Supervisors {
    let launcher: Launcher
    let catalogue: Catalogue
    let gateway: GatewayClient
    let home: StateDirectory

    func client(_ environment: EnvironmentID) throws -> SupervisorClient {
        try launcher.ensureSupervisor(environment)
    }

    func stop(_ environment: EnvironmentID) throws {
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment)
        let client = SupervisorClient(socketPath: layout.socket)
        do {
            try client.stop()
        } catch let error as HoldfastError where error.code == .unavailable {
            // Nobody answers. A new supervisor adopts what still runs, and stops it.
            try launcher.ensureSupervisor(environment).stop()
        }
    }

    func publishRoutes() throws {
        var configuration = GatewayConfiguration()
        for environment in try catalogue.allEnvironments() where environment.status == .active {
            configuration.routes += try routes(of: environment)
        }
        try gateway.configure(configuration)
    }

    private func routes(of environment: Environment) throws -> [GatewayRoute] {
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment.id)
        guard let current = try layout.readCurrent() else { return [] }
        let identity = try EnvironmentIdentity.read(from: layout.directory)
        let configuration = try EnvironmentConfiguration.parse(current.deployment.configuration)
        let ports = try layout.readPorts()
        // Routes of both schemes lead to the same app; the gateway itself speaks HTTP.
        var seen: Set<String> = []
        return configuration.routes.compactMap { route in
            let host = String(route.host(defaultHost: identity.host).split(separator: ":")[0])
            guard seen.insert(host + route.path).inserted else { return nil }
            switch route.kind {
            case .upstream(let app):
                guard let port = ports[app] else { return nil }
                return GatewayRoute(
                    host: host, pathPrefix: route.path, environment: environment.id,
                    kind: .upstream(.tcp(host: "127.0.0.1", port: port)))
            case .redirect(let to):
                return GatewayRoute(
                    host: host, pathPrefix: route.path, environment: environment.id,
                    kind: .redirect(to: to.replacingOccurrences(of: "{default}", with: identity.host)))
            }
        }
    }
}
