import CHoldfastFiles
import Glibc
import HoldfastModel

/// The error for a failed call: what was tried, on what, and the system's reason.
func systemError(_ action: String, _ path: String, _ number: Int32 = errno) -> HoldfastError {
    let code: HoldfastError.Code =
        switch number {
        case ENOENT: .notFound
        case ENOSPC, EDQUOT: .noSpace
        case EEXIST: .conflict
        default: .system
        }
    return HoldfastError(code, "cannot \(action) \(path): \(String(cString: strerror(number)))")
}

/// A file descriptor that closes when nobody holds it any more.
final class Descriptor: Sendable {
    let raw: Int32

    init(_ raw: Int32) { self.raw = raw }
    deinit { close(raw) }

    /// Opens a directory by its path; the last component must not be a symbolic link.
    static func directory(_ path: String) throws -> Descriptor {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard raw >= 0 else { throw systemError("open the directory", path) }
        return Descriptor(raw)
    }

    /// Opens a directory inside this one; nil with `errno` set if that fails or if it is a symbolic link.
    func child(_ name: [UInt8]) -> Descriptor? {
        let raw = withCName(name) { openat(self.raw, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
        return raw < 0 ? nil : Descriptor(raw)
    }
}

/// Calls `body` with the name as a C string. Names hold no NUL: they come from the kernel or were checked.
func withCName<Result>(_ name: [UInt8], _ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.count + 1) { buffer in
        for index in 0..<name.count { buffer[index] = CChar(bitPattern: name[index]) }
        buffer[name.count] = 0
        guard let base = buffer.baseAddress else { return try "".withCString(body) }
        return try body(base)
    }
}

/// Names in a directory, without `.` and `..`, sorted by their bytes.
func directoryNames(_ directory: Descriptor, path: String) throws -> [[UInt8]] {
    // fdopendir takes the descriptor over, so it gets one of its own.
    let copy = openat(directory.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if copy < 0 && errno == ENOENT { return [] }  // removed meanwhile, and so empty
    guard copy >= 0 else { throw systemError("read the directory", path) }
    guard let stream = fdopendir(copy) else {
        let number = errno
        close(copy)
        throw systemError("read the directory", path, number)
    }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            if errno != 0 { throw systemError("read the directory", path) }
            break
        }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes -> [UInt8] in
            let length = bytes.firstIndex(of: 0) ?? bytes.count
            return [UInt8](bytes[..<length])
        }
        if name != [46] && name != [46, 46] { names.append(name) }
    }
    names.sort { precedes($0, $1) }
    return names
}

/// Whether one name sorts before another, byte by byte: the order of restic's trees.
func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    let order = left.withUnsafeBytes { one in
        right.withUnsafeBytes { two -> Int32 in
            guard let one = one.baseAddress, let two = two.baseAddress else { return 0 }
            return memcmp(one, two, min(left.count, right.count))
        }
    }
    return order != 0 ? order < 0 : left.count < right.count
}

/// For messages: a name as text; bytes that are not UTF-8 show as replacement characters.
func display(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

/// Splits a path of a backup's tree into names; empty for the root. Refuses `.`, `..` and NUL.
func treeComponents(_ path: String) throws -> [[UInt8]] {
    let names = path.utf8.split(separator: UInt8(ascii: "/")).map { Array($0) }
    for name in names where !isPlainName(name) {
        throw HoldfastError(
            .invalidInput, "'\(path)' is not a path in a backup", hint: "Use names separated by '/', without '..'")
    }
    return names
}

/// Whether a name can stand for one entry of a directory and nothing else.
func isPlainName(_ name: [UInt8]) -> Bool {
    !name.isEmpty && name.count <= 255 && name != [46] && name != [46, 46] && !name.contains(0) && !name.contains(47)
}
