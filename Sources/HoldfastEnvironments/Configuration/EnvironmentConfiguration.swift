import Foundation
import HoldfastModel

/// What a project's `.upsun/config.yaml` says: the whole configuration of one environment.
package struct EnvironmentConfiguration: Sendable, Hashable {
    /// Where the configuration lies in a repository.
    package static let path = ".upsun/config.yaml"
    /// Files longer than this are refused unread.
    package static let maximumBytes = 256 * 1024

    /// The file's name as it stands in errors and warnings.
    package var file: String
    package var applications: [String: ApplicationConfiguration]
    package var services: [String: ServiceConfiguration]
    /// In the order of the file; the default route if the file has none and there is one app.
    package var routes: [RouteConfiguration]
    /// What was read and has no effect, in the order of the file.
    package var warnings: [ConfigurationWarning]

    /// Reads a configuration.
    ///
    /// - Parameters:
    ///   - yaml: the text of the file; hostile until this returns.
    ///   - file: the name that errors and warnings begin with, such as `.upsun/config.yaml`.
    /// - Throws: `invalidInput` that lists every fault (at most twenty) as `file:line: path: found …, expected …`.
    package static func parse(_ yaml: String, file: String = path) throws -> EnvironmentConfiguration {
        let problems = ConfigurationProblems(file: file)
        let root = try ConfigurationDocument.read(yaml, problems: problems)
        let reader = EnvironmentReader(problems: problems)
        let configuration = reader.read(ConfigurationCursor(node: root, path: "", problems: problems))
        try problems.throwIfAny()
        return configuration
    }

    /// Checks that this machine has every type that the configuration names.
    ///
    /// - Throws: `unsupported` that lists every type that is missing, with its line and with what is there.
    package func resolveTypes(_ installed: InstalledTypes) throws -> ResolvedTypes {
        let problems = ConfigurationProblems(file: file)
        var resolved = ResolvedTypes()
        for app in applications.values.sorted(by: { $0.line < $1.line }) {
            do {
                resolved.applications[app.name] = try installed.resolve(runtime: app.type)
            } catch let error as HoldfastError {
                problems.fault(line: app.typeLine, path: "applications.\(app.name).type", text: error.description)
            }
        }
        for service in services.values.sorted(by: { $0.line < $1.line }) {
            do {
                resolved.services[service.name] = try installed.resolve(service: service.type)
            } catch let error as HoldfastError {
                problems.fault(
                    line: service.typeLine, path: "services.\(service.name).type", text: error.description)
            }
        }
        try problems.throwIfAny(code: .unsupported, hint: nil)
        return resolved
    }

    /// The services that are servers. A network storage is none: all that there is of it are the mounts that name it.
    package var runningServices: [String: ServiceConfiguration] { services.filter { !$0.value.type.isNetworkStorage } }

    /// Every mount of every app with the directory that holds its files, in a stable order.
    ///
    /// Two mounts with one `directoryPrefix` share their files and must be given the same directory.
    package func mountPlacements() -> [MountPlacement] {
        applications.keys.sorted().flatMap { name -> [MountPlacement] in
            guard let app = applications[name] else { return [] }
            return app.mounts.keys.sorted().compactMap { path in
                app.mounts[path].map { MountPlacement(app: name, path: path, mount: $0) }
            }
        }
    }
}

/// Something in the file that has no effect.
package struct ConfigurationWarning: Sendable, Hashable, Codable, CustomStringConvertible {
    package var file: String
    /// Counted from 1.
    package var line: Int
    package var message: String

    /// `file:line: message`.
    package var description: String { "\(file):\(line): \(message)" }
}

/// A service as the file describes it.
package struct ServiceConfiguration: Sendable, Hashable {
    package var name: String
    package var type: TypeReference
    /// The `configuration` map as it stands; what may be in it is the adapter's to say. `.map([:])` if there is none.
    package var configuration: ConfigurationValue
    package var line: Int
    package var typeLine: Int

    package init(
        name: String, type: TypeReference, configuration: ConfigurationValue = .map([:]), line: Int = 0,
        typeLine: Int = 0
    ) {
        self.name = name
        self.type = type
        self.configuration = configuration
        self.line = line
        self.typeLine = typeLine
    }
}

/// One entry of `routes`.
package struct RouteConfiguration: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// Requests go to that app.
        case upstream(app: String)
        /// Requests are answered with a redirect to that URL; `{default}` in it stands for the environment's host.
        case redirect(to: String)
    }

    /// As in the file, such as `https://{default}/`.
    package var pattern: String
    /// `http` or `https`.
    package var scheme: String
    /// Host with its placeholder, such as `{default}` or `www.{default}`.
    package var host: String
    /// Begins with `/`.
    package var path: String
    package var kind: Kind
    package var primary: Bool
    package var identifier: String?
    package var line: Int

    /// The host for an environment whose own host is `defaultHost`.
    package func host(defaultHost: String) -> String {
        host.replacingOccurrences(of: "{default}", with: defaultHost)
            .replacingOccurrences(of: "{all}", with: defaultHost)
    }

    /// The whole URL for an environment whose own host is `defaultHost`.
    package func url(defaultHost: String) -> String { "\(scheme)://\(host(defaultHost: defaultHost))\(path)" }
}

/// A mount and where its files lie.
package struct MountPlacement: Sendable, Hashable {
    package var app: String
    /// Relative to the app's directory, such as `files`.
    package var path: String
    package var mount: MountConfiguration

    /// Relative to the environment's directory, without the number, such as `mounts/ledger/files`.
    package var directoryPrefix: String {
        "mounts/\(mount.service ?? app)/\(mount.slug)"
    }
}
