import Glibc
import HoldfastModel

/// Makes a system call again for as long as a signal interrupts it.
func uninterrupted<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// The error for a failed system call.
///
/// - Parameters:
///   - number: `errno` of the call.
///   - action: What could not be done to what, such as `cannot write /a/b`.
func systemError(_ number: Int32, _ action: String) -> HoldfastError {
    let message = "\(action): \(String(cString: strerror(number)).lowercased())"
    switch number {
    case ENOSPC, EDQUOT:
        return HoldfastError(.noSpace, message, hint: "Free space on that disk, or raise the quota")
    case ENOENT, ENOTDIR, EIO, ESTALE, ENODEV, ENXIO, ENOTCONN, EHOSTDOWN, ETIMEDOUT, EMFILE, ENFILE, ENOMEM, EAGAIN:
        return HoldfastError(.unavailable, message, hint: "Check the disk and its mount")
    case EACCES, EPERM, EROFS:
        return HoldfastError(.system, message, hint: "Check owner and mode of the folder, and how its disk is mounted")
    default:
        return HoldfastError(.system, message)
    }
}

func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// The path without its last component.
func parent(of path: String) -> String {
    let parts = path.split(separator: "/").dropLast()
    return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
}

/// All names in a folder, without `.` and `..`.
func directoryEntries(_ path: String) throws -> [String] {
    guard let directory = try OpenDirectory(path) else { throw systemError(ENOENT, "cannot list \(path)") }
    defer { directory.close() }
    var names: [String] = []
    while let name = try directory.next() { names.append(name) }
    return names
}

/// Makes the names in a folder durable.
func syncFolder(_ path: String, _ hook: FileHook?) throws {
    try hook?(.syncFolder(path: path))
    let descriptor = uninterrupted { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw systemError(errno, "cannot open \(path)") }
    defer { _ = close(descriptor) }
    guard uninterrupted({ fsync(descriptor) }) == 0 else {
        let number = errno
        // Some network file systems cannot sync a folder and order renames themselves.
        if number == EINVAL || number == EOPNOTSUPP { return }
        throw systemError(number, "cannot sync \(path)")
    }
}
