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
        for route in configuration.routes {
            var upstream: String?
            var target: String?
            switch route.kind {
            case .upstream(let app): upstream = "\(app):http"
            case .redirect(let to): target = to.replacingOccurrences(of: "{default}", with: host)
            }
            routes[route.url(defaultHost: host)] = Route(
                primary: route.primary, upstream: upstream, to: target, originalURL: route.pattern)
        }
    }
}
