import Foundation
import HoldfastModel

/// A type of the configuration together with the programs that serve it on this machine.
package struct ResolvedType: Sendable, Hashable {
    package var reference: TypeReference
    /// Absolute path of the folder with the programs, such as `/usr/bin` or `/usr/lib/postgresql/15/bin`; nil for
    /// `binary`, which brings its own, and for `network-storage`, which has none.
    package var directory: String?
    /// Names that the type promises -> absolute path of the program, such as `python` -> `/usr/bin/python3.11`.
    package var programs: [String: String]
}

/// What `EnvironmentConfiguration.resolveTypes` found.
package struct ResolvedTypes: Sendable, Hashable {
    /// App name -> type.
    package var applications: [String: ResolvedType] = [:]
    /// Service name -> type.
    package var services: [String: ResolvedType] = [:]

    package init() {}
}

/// Which runtimes and services this machine has, found where Debian's packages put them.
package struct InstalledTypes: Sendable {
    /// Runs a program with arguments and returns what it prints; nil if it fails. Only used to ask for a version.
    package typealias Probe = @Sendable (_ program: String, _ arguments: [String]) -> String?

    /// Where processes look for all other programs.
    package static let systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    let root: String
    let probe: Probe

    /// - Parameter root: a folder that stands for `/`, for tests.
    package init(root: String = "", probe: @escaping Probe = VersionProbe.run) {
        self.root = root
        self.probe = probe
    }

    /// Finds an application's or a service's type.
    ///
    /// - Throws: `unsupported` that says what is there and how to install what is missing.
    package func resolve(_ type: TypeReference) throws -> ResolvedType {
        Self.services.contains(type.name) ? try resolve(service: type) : try resolve(runtime: type)
    }

    package func resolve(runtime type: TypeReference) throws -> ResolvedType {
        if type.name == "binary" { return ResolvedType(reference: type, directory: nil, programs: [:]) }
        guard let family = Self.families[type.name] else {
            throw unknown(type, among: Array(Self.families.keys) + ["binary"], what: "application", there: runtimes())
        }
        let found = installed(family)
        if let match = found.first(where: { Self.matches(wanted: type.version, there: $0.version) }) {
            return ResolvedType(reference: type, directory: match.directory, programs: match.programs)
        }
        let there = runtimes()
        throw HoldfastError(
            .unsupported, "'\(type)' is not installed; there is \(Self.list(there))",
            hint: "Install it as root with 'apt-get install \(family.package(type.version))', or write a version "
                + "that is there")
    }

    package func resolve(service type: TypeReference) throws -> ResolvedType {
        if type.name == "binary" || type.isNetworkStorage {
            return ResolvedType(reference: type, directory: nil, programs: [:])
        }
        if let family = Self.serviceFamilies.first(where: { $0.types.contains(type.name) }) {
            return try resolve(type, in: family)
        }
        guard type.name == "postgresql" else {
            throw unknown(type, among: Self.services + ["binary"], what: "service", there: servicesThere())
        }
        let versions = postgreSQL()
        if versions.contains(type.version) {
            let directory = "/usr/lib/postgresql/\(type.version)/bin"
            let names = ["initdb", "postgres", "pg_ctl", "psql", "pg_dump"]
            let programs = names.map { ($0, "\(directory)/\($0)") }
            return ResolvedType(
                reference: type, directory: directory, programs: Dictionary(uniqueKeysWithValues: programs))
        }
        throw HoldfastError(
            .unsupported,
            "'\(type)' is not installed; there is \(Self.list(versions.map { "postgresql:\($0)" }))",
            hint: "Install it as root with 'apt-get install postgresql-\(type.version)', or write a version that is "
                + "there")
    }

    /// All application types that are there, such as `binary`, `python:3.11`.
    package func runtimes() -> [String] {
        let found = Self.families.flatMap { name, family in installed(family).map { "\(name):\($0.version)" } }
        return ["binary"] + Set(found).sorted()
    }

    /// All service types that are there.
    package func servicesThere() -> [String] { foundServices() + postgreSQL().map { "postgresql:\($0)" } }

    /// `PATH` for processes of a type.
    ///
    /// - Parameter links: a folder that this makes links in, for names that the type promises (`python`) and the
    ///   machine may have under another one (`python3.11`), or of another version.
    package func path(for type: ResolvedType, links: String) throws -> String {
        guard !type.programs.isEmpty else { return Self.systemPath }
        let name = "\(links)/\(type.reference.name)-\(type.reference.version)"
        try EnvironmentLayout.makeDirectory(name, mode: 0o755)
        for (program, target) in type.programs {
            try FileTree.link("\(name)/\(program)", to: target)
        }
        return "\(name):\(Self.systemPath)"
    }

    // MARK: What there is

    private static let services = [TypeReference.networkStorage, "postgresql"] + serviceFamilies.flatMap(\.types)

    private struct Family: Sendable {
        /// Programs with the version in their name, such as `python3.11`; the prefix is `python`.
        var versioned: String?
        /// A program that is asked for its version, and how.
        var asked: (program: String, arguments: [String])?
        /// Names -> how the program is called if its name carries a version, with `*` for it.
        var programs: [String: String]
        var package: @Sendable (String) -> String
    }

    private struct Found {
        var version: String
        var directory: String
        var programs: [String: String]
    }

    private static let families: [String: Family] = [
        "python": Family(
            versioned: "python", asked: nil, programs: ["python": "python*", "python3": "python*"],
            package: { "python\($0) python3-pip" }),
        "php": Family(versioned: "php", asked: nil, programs: ["php": "php*"], package: { "php\($0)-cli" }),
        "ruby": Family(
            versioned: "ruby", asked: nil, programs: ["ruby": "ruby*"], package: { _ in "ruby ruby-dev" }),
        "nodejs": Family(
            versioned: nil, asked: ("node", ["--version"]), programs: ["node": "node", "npm": "npm", "npx": "npx"],
            package: { _ in "nodejs npm" }),
        "golang": Family(
            versioned: nil, asked: ("go", ["version"]), programs: ["go": "go"], package: { _ in "golang" }),
        "rust": Family(
            versioned: nil, asked: ("rustc", ["--version"]), programs: ["rustc": "rustc", "cargo": "cargo"],
            package: { _ in "rustc cargo" }),
        "java": Family(
            versioned: nil, asked: ("java", ["-version"]), programs: ["java": "java", "javac": "javac"],
            package: { "openjdk-\($0)-jdk" }),
    ]

    /// `/usr/bin` first: what a package manager put there is readable by every user.
    private static let folders = ["/usr/bin", "/usr/local/bin"]

    private func installed(_ family: Family) -> [Found] {
        var found: [Found] = []
        for folder in Self.folders {
            if let prefix = family.versioned {
                let names = (try? FileManager.default.contentsOfDirectory(atPath: root + folder)) ?? []
                for name in names.sorted() where name.hasPrefix(prefix) && isProgram("\(folder)/\(name)") {
                    let version = String(name.dropFirst(prefix.count))
                    guard version.contains("."), version.allSatisfy({ $0.isNumber || $0 == "." }) else { continue }
                    let programs = family.programs.mapValues {
                        "\(folder)/\($0.replacingOccurrences(of: "*", with: version))"
                    }
                    found.append(Found(version: version, directory: folder, programs: programs))
                }
            } else if let asked = family.asked, isProgram("\(folder)/\(asked.program)"),
                let version = Self.version(in: probe("\(root)\(folder)/\(asked.program)", asked.arguments))
            {
                let programs = family.programs.mapValues { "\(folder)/\($0)" }.filter { isProgram($0.value) }
                found.append(Found(version: version, directory: folder, programs: programs))
            }
        }
        return found
    }

    private func postgreSQL() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/usr/lib/postgresql")) ?? []
        return names.filter { name in
            name.allSatisfy(\.isNumber) && isProgram("/usr/lib/postgresql/\(name)/bin/postgres")
                && isProgram("/usr/lib/postgresql/\(name)/bin/initdb")
        }.sorted { (Int($0) ?? 0) < (Int($1) ?? 0) }
    }

    func isProgram(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: root + path) }

    private func unknown(_ type: TypeReference, among names: [String], what: String, there: [String]) -> HoldfastError {
        let near = ConfigurationCursor.nearest(type.name, in: names).map { "Write '\($0)' if that is meant; there" }
        return HoldfastError(
            .unsupported, "there is no \(what) type '\(type.name)'; there is \(Self.list(there))",
            hint: near.map { "\($0) \(names.count == 1 ? "is" : "are") \(names.sorted().joined(separator: ", "))" }
                ?? "Use one of: \(names.sorted().joined(separator: ", "))")
    }

    private static func list(_ names: [String]) -> String {
        names.isEmpty ? "none installed" : names.joined(separator: ", ")
    }

    /// `3` asks for any 3.x, `3.11` for any 3.11.x.
    static func matches(wanted: String, there: String) -> Bool { there == wanted || there.hasPrefix(wanted + ".") }

    /// The first `1.2.3` in a text such as `v18.19.0` or `openjdk version "17.0.9"`.
    static func version(in text: String?) -> String? {
        guard let text, let match = text.firstMatch(of: /[0-9]+(\.[0-9]+)+/) else { return nil }
        return String(match.output.0)
    }
}
