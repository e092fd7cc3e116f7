import Foundation
import HoldfastModel

/// Servers that are found by their programs: everything but PostgreSQL, whose versions lie side by side.
extension InstalledTypes {
    /// Where programs lie that no package put there: `<family>/<version>/<program>`, or links in place of them.
    package static let ownServices = "/usr/local/lib/holdfast/services"

    /// One kind of server; several types of the configuration may be served by it.
    struct ServiceFamily: Sendable {
        /// Name of its folder below `ownServices`.
        var name: String
        /// Type names.
        var types: [String]
        /// The programs that are needed; the first one is the server, and is asked for its version.
        var programs: [String]
        /// Debian's package; nil if this release of Debian has none.
        var package: String?
        /// How the server is asked for its version.
        var versionArguments = ["--version"]
        /// Where servers that cannot be asked lie, with `*` for the version.
        var versionedFolder: String?
    }

    private struct FoundService {
        var version: String
        var directory: String
        var programs: [String: String]
    }

    static let serviceFamilies: [ServiceFamily] = [
        ServiceFamily(
            name: "influxdb", types: ["influxdb"], programs: ["influxd"], package: "influxdb",
            versionArguments: ["version"]),
        ServiceFamily(
            name: "mariadb", types: ["mariadb", "mysql"], programs: ["mariadbd", "mariadb-install-db"],
            package: "mariadb-server-core"),
        ServiceFamily(name: "memcached", types: ["memcached"], programs: ["memcached"], package: "memcached"),
        ServiceFamily(
            name: "rabbitmq", types: ["rabbitmq"], programs: ["rabbitmq-server"], package: "rabbitmq-server",
            versionedFolder: "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"),
        ServiceFamily(
            name: "redis", types: ["redis", "redis-persistent"], programs: ["redis-server"], package: "redis-server"),
        ServiceFamily(
            name: "valkey", types: ["valkey", "valkey-persistent"], programs: ["valkey-server"], package: nil),
    ]

    /// - Throws: `unsupported` that says what is there and how to get what is missing.
    func resolve(_ type: TypeReference, in family: ServiceFamily) throws -> ResolvedType {
        let found = installed(family)
        if let match = found.first(where: { Self.matches(wanted: type.version, there: $0.version) }) {
            return ResolvedType(reference: type, directory: match.directory, programs: match.programs)
        }
        let there = Set(found.map { "\(type.name):\($0.version)" }).sorted()
        let own =
            "put a folder with \(family.programs.joined(separator: " and ")), or a link to one, at "
            + "\(Self.ownServices)/\(family.name)/\(type.version)"
        let hint: String
        switch (family.package, there.isEmpty) {
        case (nil, _): hint = "Get it from its makers, because Debian has no package of it, and \(own)"
        case (let name?, true): hint = "Install it as root with 'apt-get install \(name)', or \(own)"
        case (_?, false): hint = "Write a version that is there, or \(own)"
        }
        throw HoldfastError(
            .unsupported,
            "'\(type)' is not installed; there is "
                + (there.isEmpty ? "none installed" : there.joined(separator: ", ")), hint: hint)
    }

    /// Types of these families that are there, such as `mariadb:10.11.19`.
    func foundServices() -> [String] {
        Self.serviceFamilies.flatMap { family in
            let versions = installed(family).map(\.version)
            return family.types.flatMap { type in versions.map { "\(type):\($0)" } }
        }.sorted()
    }

    /// Those of our own folder first: whoever put something there wants it.
    private func installed(_ family: ServiceFamily) -> [FoundService] {
        let own = versioned(family, in: "\(Self.ownServices)/\(family.name)/*")
        if let pattern = family.versionedFolder { return own + versioned(family, in: pattern) }
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        guard let programs = programs(of: family, in: folders), let server = programs[family.programs[0]],
            let version = Self.version(in: probe(root + server, family.versionArguments))
        else { return own }
        let directory = (server as NSString).deletingLastPathComponent
        return own + [FoundService(version: version, directory: directory, programs: programs)]
    }

    /// Folders whose path carries the version in place of the `*`; the newest first.
    private func versioned(_ family: ServiceFamily, in pattern: String) -> [FoundService] {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        let slash = parts[0].lastIndex(of: "/") ?? parts[0].startIndex
        let prefix = parts[0][slash...].dropFirst()
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + parts[0][..<slash])) ?? []
        let versions = names.filter { $0.hasPrefix(prefix) && !$0.hasPrefix(".") }.map { $0.dropFirst(prefix.count) }
        return versions.sorted { $0.compare($1, options: .numeric) == .orderedDescending }.compactMap { version in
            let directory = parts[0] + version + parts[1]
            return programs(of: family, in: [directory]).map {
                FoundService(version: String(version), directory: directory, programs: $0)
            }
        }
    }

    private func programs(of family: ServiceFamily, in folders: [String]) -> [String: String]? {
        var programs: [String: String] = [:]
        for program in family.programs {
            guard let folder = folders.first(where: { isProgram("\($0)/\(program)") }) else { return nil }
            programs[program] = "\(folder)/\(program)"
        }
        return programs
    }
}
