import Foundation
import HoldfastModel

/// Who runs the processes of an environment and owns their files.
package struct ProcessUser: Sendable, Hashable, Codable {
    package let name: String
    package let uid: UInt32
    package let gid: UInt32
    /// The user's home directory.
    package let home: String

    package init(name: String, uid: UInt32, gid: UInt32, home: String) {
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home
    }

    /// Whether processes must change to this user: only root can, and only root has to.
    package var needsChange: Bool { geteuid() == 0 && uid != 0 }

    /// Ourselves.
    package static var current: ProcessUser {
        let uid = geteuid()
        if let known = try? lookUp(uid: uid) { return known }
        // A uid without an entry in the user database, as in some containers.
        return ProcessUser(name: "\(uid)", uid: uid, gid: getegid(), home: NSHomeDirectory())
    }

    /// The user of an environment: ourselves unless we are root; else `hf-<environment id>`, made if it is missing, or
    /// the existing user that is named.
    ///
    /// - Throws: `notFound` if the named user does not exist, `system` if the user cannot be made.
    package static func forEnvironment(_ environment: EnvironmentID, named name: String? = nil) throws -> ProcessUser {
        guard geteuid() == 0 else { return .current }
        if let name {
            guard let user = try lookUp(name: name) else {
                throw HoldfastError(
                    .notFound, "there is no user '\(name)'", hint: "Create it, or leave the setting out")
            }
            return user
        }
        let own = "hf-\(environment)"
        guard own.utf8.count <= 32 else {
            throw HoldfastError(.invalidInput, "'\(own)' is too long for a user name, which ends at 32 characters")
        }
        return try lookUp(name: own) ?? create(own)
    }

    /// Removes the user that `forEnvironment` made for an environment; does nothing if there is none, or without root.
    ///
    /// Only for environments that are gone: a number that is free again may be given to another user.
    package static func remove(for environment: EnvironmentID) throws {
        let name = "hf-\(environment)"
        guard geteuid() == 0, try lookUp(name: name) != nil else { return }
        let specification = ProcessSpecification(
            executable: "userdel", arguments: [name], environment: ["PATH": "/usr/sbin:/sbin:/usr/bin:/bin"],
            directory: "/")
        let outcome = try ProcessRunner().run(specification, options: ProcessOptions(timeout: .seconds(30)))
        guard try lookUp(name: name) == nil else {
            throw HoldfastError(
                .system, "cannot remove user '\(name)': \(outcome.errorText.prefix(500))",
                hint: "Remove it with userdel")
        }
    }

    /// The user of that name; nil if there is none.
    package static func lookUp(name: String) throws -> ProcessUser? {
        try lookUp("user '\(name)'") { entry, buffer, size, found in getpwnam_r(name, entry, buffer, size, found) }
    }

    static func lookUp(uid: UInt32) throws -> ProcessUser? {
        try lookUp("uid \(uid)") { entry, buffer, size, found in getpwuid_r(uid, entry, buffer, size, found) }
    }

    /// All groups of the user, its own among them.
    func groups() -> [gid_t] {
        var count: Int32 = 64
        var groups = [gid_t](repeating: gid, count: Int(count))
        if getgrouplist(name, gid, &groups, &count) < 0 {
            groups = [gid_t](repeating: gid, count: Int(count))
            guard getgrouplist(name, gid, &groups, &count) >= 0 else { return [gid] }
        }
        return Array(groups.prefix(Int(count)))
    }

    /// Gives a file or directory to this user, if we are root. A link is given away, not what it points to.
    package func own(_ path: String) throws {
        guard geteuid() == 0 else { return }
        guard lchown(path, uid, gid) == 0 else { throw SystemFailure.error("give '\(path)' to \(name)") }
    }

    private static func create(_ name: String) throws -> ProcessUser {
        let specification = ProcessSpecification(
            executable: "useradd",
            arguments: [
                "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell",
                "/usr/sbin/nologin", name,
            ],
            environment: ["PATH": "/usr/sbin:/sbin:/usr/bin:/bin"], directory: "/")
        // Another useradd may hold the lock of the user database.
        for attempt in 1...5 {
            let outcome = try ProcessRunner().run(specification, options: ProcessOptions(timeout: .seconds(30)))
            if let user = try lookUp(name: name) { return user }
            if attempt == 5 {
                throw HoldfastError(
                    .system, "cannot create user '\(name)': \(outcome.errorText.prefix(500))",
                    hint: "Create it with useradd --system, or name an existing user in the settings")
            }
            usleep(200_000)
        }
        throw HoldfastError(.system, "cannot create user '\(name)'")
    }

    private static func lookUp(
        _ what: String,
        _ call: (
            UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32
    ) throws -> ProcessUser? {
        var entry = passwd()
        var buffer = [CChar](repeating: 0, count: 16384)
        var found: UnsafeMutablePointer<passwd>?
        let result = call(&entry, &buffer, buffer.count, &found)
        guard result == 0 || result == ENOENT else { throw SystemFailure.error("look up \(what)", result) }
        guard found != nil, let name = entry.pw_name, let home = entry.pw_dir else { return nil }
        return ProcessUser(
            name: String(cString: name), uid: entry.pw_uid, gid: entry.pw_gid, home: String(cString: home))
    }
}

/// Failed system calls as errors.
enum SystemFailure {
    /// - Parameter number: a positive errno.
    static func error(_ what: String, _ number: Int32 = errno) -> HoldfastError {
        let code: HoldfastError.Code =
            switch number {
            case ENOENT: .notFound
            case ENOSPC, EDQUOT: .noSpace
            case EEXIST: .conflict
            case EACCES, EPERM: .forbidden
            case ETIMEDOUT: .timedOut
            default: .system
            }
        return HoldfastError(code, "cannot \(what): \(String(cString: strerror(number)))")
    }
}
