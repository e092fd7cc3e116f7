import Foundation
import HoldfastAPI
import HoldfastEnvironments
import HoldfastModel

extension API.Deployment {
    /// What runs, in the shape of the contract's `deployments/current`.
    init(current: CurrentState, configuration: EnvironmentConfiguration, host: String) {
        self.init(id: current.deployment.id)
        for (name, app) in configuration.applications {
            let mounts = app.mounts.mapValues { mount in
                Mount(source: mount.source.rawValue, sourcePath: mount.sourcePath, service: mount.service)
            }
            webapps[name] = Application(name: name, type: app.type.description, mounts: mounts)
            for (worker, described) in app.workers {
                workers["\(name)--\(worker)"] = Application(
                    name: "\(name)--\(worker)", type: app.type.description, mounts: mounts,
                    startCommand: described.start)
            }
        }
        for (name, record) in current.services {
            services[name] = Service(name: name, type: record.type)
        }
        for (name, service) in configuration.services where service.type.isNetworkStorage {
            services[name] = Service(name: name, type: service.type.description)
        }
        // A redirect from one scheme to the other has the address of what it leads to; that one counts.
        for route in configuration.routes.sorted(by: { $0.isRedirect && !$1.isRedirect }) {
            var upstream: String?
            var target: String?
            switch route.kind {
            case .upstream(let app): upstream = "\(app):http"
            case .redirect(let to): target = to.replacingOccurrences(of: "{default}", with: host)
            }
            routes[route.address(defaultHost: host)] = Route(
                primary: route.primary, upstream: upstream, to: target, originalURL: route.pattern)
        }
    }
}

extension RouteConfiguration {
    /// Where it is reached. The gateway speaks HTTP, whatever the configuration says; what ends TLS in front of it
    /// keeps the host.
    func address(defaultHost: String) -> String { "http://\(host(defaultHost: defaultHost))\(path)" }

    var isRedirect: Bool {
        if case .redirect = kind { true } else { false }
    }
}
