import Foundation
import HoldfastModel

/// The programs of one major version.
struct PostgreSQLPrograms {
    /// Major version, such as `15`.
    let major: String
    private let directory: String

    /// - Throws: `unsupported` if the version is not installed, naming those that are.
    init(_ type: TypeReference) throws {
        guard let directory = try InstalledTypes().resolve(service: type).directory else {
            throw HoldfastError(.internalFault, "'\(type)' has no programs of its own")
        }
        self.directory = directory
        major = type.version
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
            specification(executable, arguments, instance),
            options: ProcessOptions(timeout: timeout, outputLimit: 65536, mergesErrors: true))
        guard outcome.isSuccess else {
            let end = outcome.timedOut ? "not done after \(timeout.components.seconds) s" : "\(outcome.status)"
            let lines = outcome.errorText.split(whereSeparator: \.isNewline).suffix(5).joined(separator: "; ")
            throw HoldfastError(
                .system,
                "\((executable as NSString).lastPathComponent) of service '\(instance.name)' failed (\(end)): \(lines)")
        }
    }

    /// The system's name of the user that the control plane runs as; PostgreSQL knows its peers by name.
    static func ownName() throws -> String {
        guard let user = try ProcessUser.lookUp(uid: geteuid()) else {
            throw HoldfastError(
                .unsupported, "the user with the number \(geteuid()) has no name on this system",
                hint: "Add it to /etc/passwd, or run Holdfast as a user that is there")
        }
        return user.name
    }

    private static func specification(
        _ executable: String, _ arguments: [String], _ instance: ServiceInstance
    ) -> ProcessSpecification {
        ProcessSpecification(
            executable: executable, arguments: arguments, environment: environment, directory: "/",
            user: instance.user)
    }
}
