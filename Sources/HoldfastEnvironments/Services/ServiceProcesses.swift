import Foundation
import HoldfastModel

/// Programs of services as processes of the environment's user.
enum ServiceProcesses {
    private static let environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

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

    /// The system's name of the user that the control plane runs as; servers know their peers by name.
    static func ownName() throws -> String {
        guard let user = try ProcessUser.lookUp(uid: geteuid()) else {
            throw HoldfastError(
                .unsupported, "the user with the number \(geteuid()) has no name on this system",
                hint: "Add it to /etc/passwd, or run Holdfast as a user that is there")
        }
        return user.name
    }

    /// The server, or one of its tools.
    static func specification(
        _ executable: String, _ arguments: [String], _ instance: ServiceInstance
    ) -> ProcessSpecification {
        ProcessSpecification(
            executable: executable, arguments: arguments, environment: environment, directory: "/",
            user: instance.user)
    }
}

/// What lies around a service's data.
enum ServiceDirectories {
    /// Makes the service's directory and the one for its socket; harmless when called again.
    ///
    /// - Parameter socket: name of the socket in the run directory.
    /// - Returns: the service's directory.
    /// - Throws: `invalidInput` for a path that no server can be told of.
    static func prepare(_ instance: ServiceInstance, socket name: String) throws -> GuardedDirectory {
        for path in [instance.directory, instance.runDirectory] {
            guard path.hasPrefix("/"), !path.unicodeScalars.contains(where: { $0.value < 32 }) else {
                throw HoldfastError(.invalidInput, "'\(path)' is not an absolute path without control characters")
            }
        }
        let socket = "\(instance.runDirectory)/\(name)"
        guard socket.utf8.count <= 107 else {
            throw HoldfastError(
                .invalidInput, "the socket path '\(socket)' has \(socket.utf8.count) bytes, more than 107",
                hint: "Use a shorter state directory")
        }
        let root = try GuardedDirectory.make(instance.directory, mode: 0o755)
        let run = try GuardedDirectory.make(instance.runDirectory, mode: 0o755)
        // Not recursively: sockets in it are the server's own.
        try run.give(to: instance.user)
        return root
    }

    /// Makes a directory of the service's user in the service's directory, and empties it.
    static func makeScratch(_ name: String, in root: GuardedDirectory, _ instance: ServiceInstance) throws {
        try root.removeAll(name)
        try root.makeDirectory(name, mode: 0o700).give(to: instance.user)
    }

    static func realPath(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
