import Foundation
import HoldfastModel

/// Processes that outlive their parent: output straight to a file, because a pipe to a dead reader would end them.
package enum DetachedProcess {
    /// Starts a process in a session of its own.
    ///
    /// It stays our child until somebody waits for it with `ProcessHandle.wait`.
    package static func spawn(_ specification: ProcessSpecification) throws -> ProcessHandle {
        let input = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { throw SystemFailure.error("open /dev/null") }
        defer { close(input) }
        let output = try openLog(specification.logFile)
        defer { close(output) }
        let pid = try specification.start(input: input, output: output, error: output)
        // A child that has not been waited for keeps its number, so this is it, even if it has ended already.
        guard let handle = ProcessHandle(pid: pid) else {
            throw HoldfastError(.system, "process \(pid) cannot be seen in /proc", hint: "Mount /proc")
        }
        return handle
    }

    /// Log files belong to us; the process only gets the open file.
    private static func openLog(_ path: String?) throws -> Int32 {
        guard let path else {
            let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
            guard null >= 0 else { throw SystemFailure.error("open /dev/null") }
            return null
        }
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw SystemFailure.error("open the log '\(path)'") }
        return file
    }
}
