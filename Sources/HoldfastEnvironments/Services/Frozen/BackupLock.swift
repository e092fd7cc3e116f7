import Foundation
import HoldfastModel

/// One backup of a service at a time; the lock ends with the process that took it.
enum BackupLock {
    /// - Returns: a descriptor; closing it ends the lock.
    /// - Throws: `locked` while another backup runs.
    static func take(_ instance: ServiceInstance) throws -> Int32 {
        let path = instance.configurationDirectory + "/backup.lock"
        let file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SystemFailure.error("open '\(path)'") }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            throw HoldfastError(
                .locked, "another backup of service '\(instance.name)' is running", hint: "Wait until it has ended")
        }
        return file
    }
}
