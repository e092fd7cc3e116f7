import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
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
        try launcher.stopSupervisor(layout)
    }

    func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws {
        var configuration = GatewayConfiguration()
        for environment in try catalogue.allEnvironments() where environment.status == .active {
            do {
                configuration.routes += try routes(of: environment, beside[environment.id] ?? [:])
            } catch {
                // One that is damaged must not take the others with it.
                launcher.logger.error(
                    "an environment has no routes",
                    metadata: ["environment": "\(environment.id)", "error": "\(error)"])
            }
        }
        try gateway.configure(configuration)
    }

    func routedPorts(_ environment: EnvironmentID) throws -> Set<Int> {
        guard let bytes = try DurableFile.read(home.gatewayRoutes) else { return [] }
        let configuration = try JSONDecoder().decode(GatewayConfiguration.self, from: Data(bytes))
        return Set(
            configuration.routes.compactMap { route in
                guard route.environment == environment, case .upstream(.tcp(_, let port)) = route.kind else {
                    return nil
                }
                return port
            })
    }

    func strangers(of environment: EnvironmentID?) -> [String] {
        var lines: [String] = []
        if let status = try? gateway.status() {
            lines += [Control.versionProblem("The gateway", status.version, status.pid)].compactMap { $0 }
        }
        guard let environment else { return lines }
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment)
        if let status = try? SupervisorClient(socketPath: layout.socket).status() {
            let line = Control.versionProblem("The environment's supervisor", status.version, status.pid)
            lines += [line].compactMap { $0 }
        }
        return lines
    }

    /// - Parameter beside: app name -> port, where that is not the one on record.
    private func routes(of environment: Environment, _ beside: [String: Int]) throws -> [GatewayRoute] {
        let layout = EnvironmentLayout(home: home.path, run: home.run, environment: environment.id)
        guard let current = try layout.readCurrent() else { return [] }
        let identity = try EnvironmentIdentity.read(from: layout.directory)
        let configuration = try EnvironmentConfiguration.parse(current.deployment.configuration)
        let ports = try layout.readPorts().merging(beside) { $1 }
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
