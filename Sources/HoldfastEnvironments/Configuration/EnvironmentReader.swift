import Foundation
import HoldfastModel

/// Reads the top of the file: services, routes, and what has to fit together between them and the applications.
struct EnvironmentReader {
    let problems: ConfigurationProblems

    func read(_ root: ConfigurationCursor) -> EnvironmentConfiguration {
        var configuration = EnvironmentConfiguration(
            file: problems.file, applications: [:], services: [:], routes: [], warnings: [])
        if root.isNull {
            root.fault(expected: "a map with 'applications'")
            return configuration
        }
        let fields = root.fields("a map with 'applications'", known: ["applications", "services", "routes"])
        for (name, cursor) in fields["services"]?.entries(expected: "a map of services by name") ?? [] {
            if let service = readService(name, cursor) { configuration.services[name] = service }
        }
        for (name, cursor) in fields["applications"]?.entries(expected: "a map of applications by name") ?? [] {
            guard cursor.checkName(name, of: "an application") else { continue }
            if configuration.services[name] != nil {
                problems.fault(
                    line: cursor.line, path: cursor.path, found: "the name of a service",
                    expected: "a name that no service has")
            }
            if let app = ApplicationReader(name: name, problems: problems).read(cursor) {
                configuration.applications[name] = app
            }
        }
        if case .map = root.node.content, fields["applications"] == nil || fields["applications"]?.isNull == true {
            problems.fault(
                line: fields["applications"]?.line ?? root.line, path: "applications", found: "nothing",
                expected: "a map of applications by name")
        }
        checkTargets(fields, configuration)
        configuration.routes = readRoutes(fields["routes"], configuration)
        configuration.warnings = problems.warnings.sorted { $0.line < $1.line }
        return configuration
    }

    private func readService(_ name: String, _ cursor: ConfigurationCursor) -> ServiceConfiguration? {
        guard cursor.checkName(name, of: "a service") else { return nil }
        let expected = "a map with 'type' such as postgresql:15"
        if cursor.isNull {
            cursor.fault(expected: expected)
            return nil
        }
        let fields = cursor.fields(
            expected, known: ["type", "configuration"],
            ignored: ["disk", "size", "resources", "container_profile", "access"],
            unsupported: [
                "relationships": "services are not connected to each other here",
                "firewall": "outgoing traffic is not filtered here",
            ])
        guard let type = readType(fields["type"], of: cursor, expected: "NAME:VERSION such as postgresql:15") else {
            return nil
        }
        var service = ServiceConfiguration(
            name: name, type: type, line: cursor.line, typeLine: fields["type"]?.line ?? cursor.line)
        if let configuration = fields["configuration"], !configuration.isNull {
            if case .map = configuration.node.content {
                service.configuration = configuration.value()
                if type.isNetworkStorage {
                    problems.warn(
                        line: configuration.line, "\(configuration.path) has no effect: a network storage has none")
                }
            } else {
                configuration.fault(expected: "a map")
            }
        }
        return service
    }

    /// Relationships and shared mounts must lead to something that is in the file.
    private func checkTargets(
        _ fields: [String: ConfigurationCursor], _ configuration: EnvironmentConfiguration
    ) {
        // Names that were given but refused for another fault are not reported a second time.
        let services = Set(fields["services"]?.keys.filter(ConfigurationCursor.isName) ?? [])
        let apps = Set(fields["applications"]?.keys.filter(ConfigurationCursor.isName) ?? [])
        let there = services.union(apps).sorted().joined(separator: ", ")
        for (name, cursor) in fields["applications"]?.entriesQuietly ?? [] {
            guard let app = configuration.applications[name] else { continue }
            for (relationship, target) in app.relationships where !services.union(apps).contains(target.service) {
                let line = cursor.line(of: ["relationships", relationship])
                problems.fault(
                    line: line, path: "\(cursor.path).relationships.\(relationship)",
                    found: ConfigurationProblems.quote(target.service),
                    expected: "a service or application of this file: \(there)")
            }
            for (relationship, target) in app.relationships
            where configuration.services[target.service]?.type.isNetworkStorage == true {
                problems.warn(
                    line: cursor.line(of: ["relationships", relationship]),
                    "\(cursor.path).relationships.\(relationship) has no effect: "
                        + "a network storage is reached by mounts")
            }
            for (path, mount) in app.mounts {
                guard let owner = mount.service else { continue }
                let owners = mount.source == .service ? services : apps
                guard !owners.contains(owner) else { continue }
                let list = owners.sorted().joined(separator: ", ")
                problems.fault(
                    line: cursor.line(ofMount: path), path: "\(cursor.path).mounts.\(path).service",
                    found: ConfigurationProblems.quote(owner),
                    expected: mount.source == .service
                        ? "a service of this file\(list.isEmpty ? "" : ": " + list)"
                        : "an application of this file: \(list)")
            }
        }
    }

    // MARK: Routes

    private func readRoutes(
        _ cursor: ConfigurationCursor?, _ configuration: EnvironmentConfiguration
    ) -> [RouteConfiguration] {
        let entries = cursor?.entries(expected: "a map of routes by pattern such as https://{default}/") ?? []
        var routes: [RouteConfiguration] = []
        for (pattern, cursor) in entries {
            guard let route = readRoute(pattern, cursor, configuration) else { continue }
            if let other = routes.first(where: {
                ($0.host, $0.path, $0.scheme) == (route.host, route.path, route.scheme)
            }) {
                problems.fault(
                    line: route.line, path: cursor.path, found: "the same route as on line \(other.line)",
                    expected: "each route once")
            }
            routes.append(route)
        }
        let answering = configuration.applications.values.filter { $0.web?.start != nil }
        if entries.isEmpty, configuration.applications.count == 1, let app = answering.first {
            routes = [
                RouteConfiguration(
                    pattern: "https://{default}/", scheme: "https", host: "{default}", path: "/",
                    kind: .upstream(app: app.name), primary: true, identifier: nil, line: app.line)
            ]
        }
        return routes
    }

    private func readRoute(
        _ pattern: String, _ cursor: ConfigurationCursor, _ configuration: EnvironmentConfiguration
    ) -> RouteConfiguration? {
        let expected = "a map with 'type' upstream or redirect"
        if cursor.isNull {
            cursor.fault(expected: expected)
            return nil
        }
        let caching = "the gateway does not cache"
        let fields = cursor.fields(
            expected, known: ["type", "upstream", "to", "primary", "id"],
            ignored: ["attributes", "production_url", "tls"],
            unsupported: [
                "cache": caching, "ssi": "the gateway does not change answers",
                "http_access": "the gateway does not ask for passwords and does not filter addresses",
                "redirects": "only whole routes are redirected here (type: redirect)",
                "sticky": "each app runs once, so each client always meets the same",
            ])
        guard let parts = RoutePattern(pattern) else {
            problems.fault(
                line: cursor.line, path: cursor.path, found: ConfigurationProblems.quote(pattern),
                expected: "a pattern such as https://{default}/ or https://www.{default}/")
            return nil
        }
        guard let kind = readKind(fields, cursor, configuration) else { return nil }
        var primary = false
        if let field = fields["primary"] {
            if case .bool(let value) = field.node.content {
                primary = value
            } else {
                field.fault(expected: "true or false")
            }
        }
        return RouteConfiguration(
            pattern: pattern, scheme: parts.scheme, host: parts.host, path: parts.path, kind: kind, primary: primary,
            identifier: fields["id"].flatMap { $0.isNull ? nil : $0.text("a text") }, line: cursor.line)
    }

    private func readKind(
        _ fields: [String: ConfigurationCursor], _ cursor: ConfigurationCursor,
        _ configuration: EnvironmentConfiguration
    ) -> RouteConfiguration.Kind? {
        switch fields["type"]?.node.content {
        case .string("upstream"):
            guard let field = fields["upstream"], !field.isNull else {
                problems.fault(
                    line: cursor.line, path: "\(cursor.path).upstream", found: "nothing",
                    expected: "APPLICATION:http")
                return nil
            }
            guard let text = field.text("APPLICATION:http") else { return nil }
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            let answering = configuration.applications.values.filter { $0.web?.start != nil }.map(\.name).sorted()
            guard parts.count <= 2, parts.count == 1 || parts[1] == "http", answering.contains(parts[0]) else {
                let list = answering.map { "\($0):http" }.joined(separator: ", ")
                field.fault(
                    expected: list.isEmpty
                        ? "an application that has web.commands.start; there is none"
                        : "an application that has web.commands.start: \(list)")
                return nil
            }
            return .upstream(app: parts[0])
        case .string("redirect"):
            guard let field = fields["to"], !field.isNull else {
                problems.fault(
                    line: cursor.line, path: "\(cursor.path).to", found: "nothing", expected: "a URL to redirect to")
                return nil
            }
            guard let text = field.text("a URL to redirect to"), RoutePattern.isTarget(text) else {
                field.fault(expected: "an http or https URL to redirect to")
                return nil
            }
            return .redirect(to: text)
        default:
            let type = fields["type"] ?? cursor
            problems.fault(
                line: type.line, path: "\(cursor.path).type", found: fields["type"]?.found ?? "nothing",
                expected: "upstream or redirect")
            return nil
        }
    }
}

extension EnvironmentReader {
    /// The type of an app or service; nil and a fault if it is missing or of another form.
    func readType(_ field: ConfigurationCursor?, of owner: ConfigurationCursor, expected: String) -> TypeReference? {
        guard let field else {
            problems.fault(line: owner.line, path: "\(owner.path).type", found: "nothing", expected: expected)
            return nil
        }
        guard case .string(let text) = field.node.content, let type = try? TypeReference(text) else {
            field.fault(expected: expected)
            return nil
        }
        return type
    }
}

extension ConfigurationCursor {
    /// The entries of a map without a fault if it is none.
    var entriesQuietly: [(key: String, cursor: ConfigurationCursor)] {
        if case .map = node.content { entries(expected: "") } else { [] }
    }

    var keys: [String] { entriesQuietly.map(\.key) }

    /// The line of a key further down, or of the nearest one above that is there.
    func line(of path: [String]) -> Int {
        guard let first = path.first, let next = entriesQuietly.first(where: { $0.key == first }) else { return line }
        return next.cursor.line(of: Array(path.dropFirst()))
    }
}

extension ConfigurationCursor {
    /// The line of a mount of this app, which may be written in another way than its path is kept.
    fileprivate func line(ofMount path: String) -> Int {
        let mounts = entriesQuietly.first { $0.key == "mounts" }?.cursor
        let entry = mounts?.entriesQuietly.first { (try? MountPath.mount($0.key)) == path }
        return entry?.cursor.line ?? mounts?.line ?? line
    }
}

/// A route's pattern taken apart.
struct RoutePattern {
    let scheme: String
    let host: String
    let path: String

    /// nil unless it is `http(s)://HOST/PATH`; the host may have one `{default}` or `{all}`.
    init?(_ text: String) {
        guard text.utf8.count <= 512, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { return nil }
        guard let separator = text.range(of: "://") else { return nil }
        scheme = String(text[..<separator.lowerBound])
        guard scheme == "http" || scheme == "https" else { return nil }
        let rest = text[separator.upperBound...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        host = rest[..<slash].lowercased()
        path = slash == rest.endIndex ? "/" : String(rest[slash...])
        let bare = host.replacingOccurrences(of: "{default}", with: "d").replacingOccurrences(of: "{all}", with: "a")
        guard !bare.isEmpty, !path.contains(".."), !path.contains("?"), !path.contains("#") else { return nil }
        guard bare.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(Self.isLabel) else { return nil }
    }

    static func isTarget(_ text: String) -> Bool {
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { return false }
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
            return text.utf8.count > scheme.utf8.count && !text.dropFirst(scheme.count).hasPrefix("/")
        }
        return false
    }

    private static func isLabel(_ label: Substring) -> Bool {
        if label == "*" { return true }
        return (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    }
}
