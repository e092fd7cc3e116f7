import Foundation
import HoldfastModel

/// The programs of one major version, as Debian and the PostgreSQL project's own packages install them.
struct PostgreSQLPrograms {
    private static let root = "/usr/lib/postgresql"

    /// Major version, such as `15`.
    let major: String
    private let directory: String

    /// - Throws: `unsupported` if the version is not installed, naming those that are.
    init(_ type: TypeReference) throws {
        let directory = "\(Self.root)/\(type.version)/bin"
        let isVersion = !type.version.isEmpty && type.version.utf8.allSatisfy { (48...57).contains($0) }
        guard isVersion, access(directory + "/postgres", X_OK) == 0, access(directory + "/initdb", X_OK) == 0 else {
            let found = ((try? FileManager.default.contentsOfDirectory(atPath: Self.root)) ?? [])
                .filter { access("\(Self.root)/\($0)/bin/postgres", X_OK) == 0 }.sorted()
            throw HoldfastError(
                .unsupported, "'\(type)' is not installed",
                hint: found.isEmpty
                    ? "Install the package postgresql-\(isVersion ? type.version : "15")"
                    : "Use one of: " + found.map { "postgresql:\($0)" }.joined(separator: ", "))
        }
        major = type.version
        self.directory = directory
    }

    func path(_ program: String) -> String { directory + "/" + program }
}

/// Programs of PostgreSQL as processes of the environment's user.
enum PostgreSQLProcesses {
    private static let environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

    static func server(
        _ executable: String, _ arguments: [String], _ instance: ServiceInstance
    ) -> ProcessSpecification {
        specification(executable, arguments, instance)
    }

    /// Runs a program to its end.
    ///
    /// - Throws: `system` with the end of its output if its status is not 0.
    static func run(
        _ executable: String, _ arguments: [String], _ instance: ServiceInstance, timeout: Duration
    ) throws {
        let outcome = try ProcessRunner().run(
            specification(executable, arguments, instance), timeout: timeout, outputLimit: 65536)
        guard outcome.succeeded else {
            let lines = outcome.text.split(whereSeparator: \.isNewline).suffix(5).joined(separator: "; ")
            throw HoldfastError(
                .system, "\((executable as NSString).lastPathComponent) of service '\(instance.name)' failed: \(lines)")
        }
    }

    /// The system's name of the user that the control plane runs as; PostgreSQL knows its peers by name.
    static func ownName() throws -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16384)
        guard getpwuid_r(geteuid(), &entry, &buffer, buffer.count, &found) == 0, found != nil,
            let name = entry.pw_name
        else {
            throw HoldfastError(
                .unsupported, "the user with the number \(geteuid()) has no name on this system",
                hint: "Add it to /etc/passwd, or run Holdfast as a user that is there")
        }
        return String(cString: name)
    }

    private static func specification(
        _ executable: String, _ arguments: [String], _ instance: ServiceInstance
    ) -> ProcessSpecification {
        ProcessSpecification(
            executable: executable, arguments: arguments, environment: environment, directory: "/",
            user: instance.user)
    }
}
