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
    }

    private struct FoundService {
        var version: String
        var directory: String
        var programs: [String: String]
    }

    static let serviceFamilies: [ServiceFamily] = [
        ServiceFamily(
            name: "mariadb", types: ["mariadb", "mysql"], programs: ["mariadbd", "mariadb-install-db"],
            package: "mariadb-server-core"),
        ServiceFamily(name: "memcached", types: ["memcached"], programs: ["memcached"], package: "memcached"),
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
        let own = "\(Self.ownServices)/\(family.name)"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root + own)) ?? []
        var found: [FoundService] = []
        for version in versions.sorted().reversed() where !version.hasPrefix(".") {
            if let programs = programs(of: family, in: ["\(own)/\(version)"]) {
                found.append(FoundService(version: version, directory: "\(own)/\(version)", programs: programs))
            }
        }
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        if let programs = programs(of: family, in: folders), let server = programs[family.programs[0]],
            let version = Self.version(in: probe(root + server, ["--version"]))
        {
            let directory = (server as NSString).deletingLastPathComponent
            found.append(FoundService(version: version, directory: directory, programs: programs))
        }
        return found
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
