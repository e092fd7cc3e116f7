import CHoldfastSystem
import Foundation
import HoldfastModel

/// A process to be started. It gets a session and process group of its own, and exactly this environment.
package struct ProcessSpecification: Sendable {
    /// An absolute path, or a name that is looked for on the `PATH` of `environment`.
    package var executable: String
    /// Without the program's own name.
    package var arguments: [String]
    package var environment: [String: String]
    /// Absolute path of the working directory.
    package var directory: String
    package var user: ProcessUser
    /// Absolute path of the file that output and errors are appended to. Only for `spawn`; nil throws them away.
    package var logFile: String?
    /// Absolute paths of the cgroup directories that the process belongs to.
    package var cgroups: [String]
    package var fileModeMask: UInt32

    package init(
        executable: String, arguments: [String] = [], environment: [String: String], directory: String,
        user: ProcessUser = .current, logFile: String? = nil
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.user = user
        self.logFile = logFile
        self.cgroups = []
        self.fileModeMask = 0o022
    }

    /// A user's own command, run by `/bin/sh -c`.
    package static func shell(
        _ command: String, environment: [String: String], directory: String, user: ProcessUser,
        logFile: String? = nil
    ) -> ProcessSpecification {
        ProcessSpecification(
            executable: "/bin/sh", arguments: ["-c", command], environment: environment, directory: directory,
            user: user, logFile: logFile)
    }

    /// Starts it with those descriptors as input, output and errors.
    func start(input: Int32, output: Int32, error: Int32) throws -> pid_t {
        let path = try resolvedExecutable()
        var cgroupFiles: [Int32] = []
        defer { for file in cgroupFiles { close(file) } }
        for cgroup in cgroups {
            let file = open(cgroup + "/cgroup.procs", O_WRONLY | O_CLOEXEC)
            guard file >= 0 else { throw SystemFailure.error("open the cgroup '\(cgroup)'") }
            cgroupFiles.append(file)
        }
        let texts = CStrings([executable] + arguments)
        let variables = CStrings(try environmentStrings())
        let groups = user.needsChange ? user.groups() : []
        var step: Int32 = 0
        let pid = path.withCString { path in
            directory.withCString { directory in
                cgroupFiles.withUnsafeBufferPointer { files in
                    groups.withUnsafeBufferPointer { groups in
                        var spawn = holdfast_spawn(
                            executable: path, arguments: texts.pointer, environment: variables.pointer,
                            directory: directory, input: input, output: output, error: error,
                            cgroups: files.baseAddress, cgroup_count: files.count,
                            change_user: user.needsChange ? 1 : 0, uid: user.uid, gid: user.gid,
                            groups: groups.baseAddress, group_count: groups.count, mask: fileModeMask)
                        return withExtendedLifetime((texts, variables)) { holdfast_start(&spawn, &step) }
                    }
                }
            }
        }
        guard pid > 0 else { throw failure(step: step, number: -pid, path: path) }
        return pid
    }

    private func environmentStrings() throws -> [String] {
        try environment.sorted { $0.key < $1.key }.map { name, value in
            guard !name.isEmpty, !name.contains("="), !name.utf8.contains(0), !value.utf8.contains(0) else {
                throw HoldfastError(.invalidInput, "'\(name)' cannot be an environment variable")
            }
            return "\(name)=\(value)"
        }
    }

    private func resolvedExecutable() throws -> String {
        for text in [executable, directory] + arguments where text.utf8.contains(0) {
            throw HoldfastError(.invalidInput, "the command '\(executable)' contains a zero byte")
        }
        if executable.hasPrefix("/") { return executable }
        guard !executable.isEmpty, !executable.contains("/") else {
            throw HoldfastError(.invalidInput, "'\(executable)' is neither an absolute path nor a name on the PATH")
        }
        for folder in (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":") where folder.hasPrefix("/") {
            let path = "\(folder)/\(executable)"
            if access(path, X_OK) == 0 { return path }
        }
        throw HoldfastError(
            .notFound, "program '\(executable)' is not installed",
            hint: "Install it, or add its folder to PATH")
    }

    private func failure(step: Int32, number: Int32, path: String) -> HoldfastError {
        let what: String
        switch UInt32(bitPattern: step) {
        case HOLDFAST_STEP_CGROUP.rawValue: what = "put '\(path)' into its cgroup"
        case HOLDFAST_STEP_DESCRIPTORS.rawValue: what = "give '\(path)' its output"
        case HOLDFAST_STEP_USER.rawValue: what = "run '\(path)' as user \(user.name)"
        case HOLDFAST_STEP_DIRECTORY.rawValue: what = "enter '\(directory)' as user \(user.name)"
        case HOLDFAST_STEP_EXEC.rawValue: what = "run '\(path)'"
        default: what = "start a process for '\(path)'"
        }
        return SystemFailure.error(what, number)
    }
}

/// A null-terminated array of C strings.
final class CStrings {
    let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointer = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { pointer[index] = strdup(string) }
        pointer[strings.count] = nil
    }

    deinit {
        for index in 0..<count { free(pointer[index]) }
        pointer.deallocate()
    }
}
