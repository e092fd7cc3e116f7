import Foundation
import HoldfastModel

/// One relationship as an app sees it: the keys of an entry of PLATFORM_RELATIONSHIPS.
struct RelationshipDescription: Encodable {
    let properties: [String: ConfigurationValue]

    /// - Throws: `notFound` if the service has no endpoint of the name that is asked for.
    init(_ relationship: RelationshipConfiguration, endpoint: ServiceEndpoint, type: String) throws {
        let access = try Self.access(relationship, endpoint)
        var properties = Self.common(relationship, host: endpoint.host, port: endpoint.port, scheme: endpoint.scheme)
        let password = access.password.reveal()
        // What a service does not have is null, as Upsun has it.
        for (key, value) in ["username": access.username, "password": password, "path": access.path]
        where !value.isEmpty { properties[key] = .string(value) }
        properties["type"] = .string(type)
        let usual = endpoint.scheme == "pgsql" ? "postgresql" : endpoint.scheme
        properties["rel"] = .string(relationship.endpoint ?? usual)
        if ["pgsql", "mysql"].contains(endpoint.scheme) { properties["query"] = .map(["is_master": .bool(true)]) }
        if let socket = endpoint.socketDirectory { properties["socket"] = .string(socket) }
        let user = Self.escape(access.username) + (password.isEmpty ? "" : ":\(Self.escape(password))")
        let path = access.path.isEmpty ? "" : "/\(Self.escape(access.path))"
        properties["url"] = .string(
            "\(endpoint.scheme)://\(user.isEmpty ? "" : user + "@")\(endpoint.host):\(endpoint.port)\(path)")
        self.properties = properties
    }

    private static func access(
        _ relationship: RelationshipConfiguration, _ endpoint: ServiceEndpoint
    ) throws -> ServiceEndpoint.Access {
        let usual = ServiceEndpoint.Access(
            username: endpoint.username, password: endpoint.password, path: endpoint.path)
        guard let named = endpoint.named, let name = relationship.endpoint else { return usual }
        guard let access = named[name] else {
            throw HoldfastError(
                .notFound, "service '\(relationship.service)' has no endpoint '\(name)'",
                hint: "Use one of: \(named.keys.sorted().joined(separator: ", "))")
        }
        return access
    }

    init(_ relationship: RelationshipConfiguration, app: ApplicationConfiguration, port: Int) {
        var properties = Self.common(relationship, host: "127.0.0.1", port: port, scheme: "http")
        properties["rel"] = .string(relationship.endpoint ?? "http")
        properties["type"] = .string(app.type.description)
        properties["url"] = .string("http://127.0.0.1:\(port)")
        self.properties = properties
    }

    /// `DATABASE_HOST` and so on. Values that are no single text are left to PLATFORM_RELATIONSHIPS.
    func variables(prefix: String) -> [String: String] {
        let prefix = prefix.uppercased().replacingOccurrences(of: "-", with: "_")
        var variables: [String: String] = [:]
        for (key, value) in properties {
            let name = "\(prefix)_\(key.uppercased())"
            switch value {
            case .map, .list: variables[name] = value.environmentText
            case .bool(let flag): variables[name] = flag ? "true" : "false"
            case .integer(let number): variables[name] = String(number)
            case .null, .string, .number: variables[name] = value.environmentText
            }
        }
        return variables
    }

    func encode(to encoder: any Encoder) throws { try properties.encode(to: encoder) }

    private static func common(
        _ relationship: RelationshipConfiguration, host: String, port: Int, scheme: String
    ) -> [String: ConfigurationValue] {
        [
            "service": .string(relationship.service), "cluster": .string(relationship.service),
            "scheme": .string(scheme), "host": .string(host), "hostname": .string(host), "ip": .string(host),
            "port": .integer(port), "fragment": .null, "public": .bool(false), "host_mapped": .bool(false),
            "query": .map([:]), "path": .null, "username": .null, "password": .null,
        ]
    }

    private static func escape(_ text: String) -> String {
        let allowed = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    }
}

extension ApplicationConfiguration {
    /// What PLATFORM_APPLICATION says. Variables are not in it: they may be secret, and are set anyway.
    func platformDescription(deployment: DeploymentRecord) -> ConfigurationValue {
        func text(_ value: String?) -> ConfigurationValue { value.map { .string($0) } ?? .null }
        let mounts = self.mounts.mapValues { mount -> ConfigurationValue in
            .map([
                "source": .string(mount.source.rawValue), "source_path": .string(mount.sourcePath),
                "service": text(mount.service),
            ])
        }
        let relationships = self.relationships.mapValues { relationship -> ConfigurationValue in
            .map(["service": .string(relationship.service), "endpoint": text(relationship.endpoint)])
        }
        let crons = self.crons.mapValues { cron -> ConfigurationValue in
            .map([
                "spec": .string(cron.spec), "timeout": .integer(cron.timeout),
                "shutdown_timeout": .integer(cron.shutdownTimeout),
                "commands": .map(["start": .string(cron.start), "stop": text(cron.stop)]),
            ])
        }
        let workers = self.workers.mapValues { worker -> ConfigurationValue in
            .map(["commands": .map(["start": .string(worker.start)])])
        }
        return .map([
            "name": .string(name), "type": .string(type.description), "tree_id": .string(deployment.commit),
            "source": .map(["root": .string(sourceRoot)]), "timezone": text(timezone),
            "web": web.map { .map(["commands": .map(["start": text($0.start)])]) } ?? .null,
            "hooks": .map([
                "build": text(hooks.build), "deploy": text(hooks.deploy), "post_deploy": text(hooks.postDeploy),
            ]),
            "mounts": .map(mounts), "relationships": .map(relationships), "crons": .map(crons),
            "workers": .map(workers),
        ])
    }
}
