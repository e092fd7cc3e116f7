import CHoldfastFiles
import Glibc
import HoldfastModel

/// The directory that a restore writes into. Everything is reached from its descriptor, name by name, without ever
/// following a link: what somebody puts in our way is refused, and nothing outside is touched.
final class RestoreTarget: @unchecked Sendable {
    /// How many directories are kept open.
    private static let cacheLimit = 128

    let root: Descriptor
    private let directories: [PlannedDirectory]
    private let owner: FileOwner?
    private let mayChangeOwner = geteuid() == 0
    private let condition = Condition()
    /// Whether things that were there before may be replaced.
    private let replacesExisting: Bool
    private var existing: Set<Int> = []
    private var cache: [Int: Descriptor] = [:]
    private var cacheOrder: [Int] = []

    /// Makes the target, or takes an empty directory that is there.
    ///
    /// - Throws: `conflict` if something is in it, or if it is no directory.
    init(path: String, plan: RestorePlan, options: RestoreOptions) throws {
        let isNew = mkdir(path, 0o700) == 0
        if !isNew && errno != EEXIST { throw systemError("make the directory", path) }
        root = try Descriptor.directory(path)
        replacesExisting = options.replacesExisting
        if !isNew && options.replacesExisting { existing = [0] }
        guard try options.replacesExisting || directoryNames(root, path: path).isEmpty else {
            throw HoldfastError(
                .conflict, "the directory \(path) is not empty", hint: "Restore into a new or an empty directory")
        }
        directories = plan.directories
        owner = options.owner
    }

    /// Whether a directory was there before and stays as it was: the target itself, and those on the way.
    func keepsMetadata(_ number: Int) -> Bool {
        existing.contains(number) && (number == 0 || directories[number].isOnlyOnTheWay)
    }

    /// Removes what is in the way of something to be made, unless it is a directory; whether it is worth another try.
    private func clear(_ name: [UInt8], in parent: Descriptor) -> Bool {
        replacesExisting && errno == EEXIST && withCName(name) { unlinkat(parent.raw, $0, 0) } == 0
    }

    /// The descriptor of a directory of the plan.
    func directory(_ number: Int) throws -> Descriptor {
        if number == 0 { return root }
        if let known = condition.locked({ cache[number] }) { return known }
        // From the nearest open ancestor downwards.
        var missing: [Int] = []
        var current = number
        var start = root
        while current != 0 {
            if let known = condition.locked({ cache[current] }) {
                start = known
                break
            }
            missing.append(current)
            current = directories[current].parent
        }
        for next in missing.reversed() {
            guard let inner = start.child(directories[next].node.name) else {
                throw systemError("enter the directory", display(directories[next].node.name))
            }
            start = inner
        }
        remember(number, start)
        return start
    }

    private func remember(_ number: Int, _ descriptor: Descriptor) {
        condition.locked {
            guard cache[number] == nil else { return }
            if cacheOrder.count >= Self.cacheLimit { cache[cacheOrder.removeFirst()] = nil }
            cache[number] = descriptor
            cacheOrder.append(number)
        }
    }

    /// Makes a directory, open for us only until its metadata are set.
    func make(_ number: Int) throws {
        let planned = directories[number]
        let parent = try directory(planned.parent)
        guard withCName(planned.node.name, { mkdirat(parent.raw, $0, 0o700) }) == 0 else {
            let reason = errno
            if replacesExisting, errno == EEXIST, parent.child(planned.node.name) != nil {
                existing.insert(number)
                return
            }
            errno = reason
            throw systemError("make the directory", display(planned.node.name))
        }
    }

    /// Makes a new file, or opens one that this restore made before.
    func open(_ file: PlannedFile, isNew: Bool) throws -> Descriptor {
        let parent = try directory(file.directory)
        let flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (isNew ? O_CREAT | O_EXCL : 0)
        var raw = withCName(file.node.name) { openat(parent.raw, $0, flags, 0o600) }
        if raw < 0, isNew, clear(file.node.name, in: parent) {
            raw = withCName(file.node.name) { openat(parent.raw, $0, flags, 0o600) }
        }
        guard raw >= 0 else { throw systemError(isNew ? "make" : "open", display(file.node.name)) }
        let descriptor = Descriptor(raw)
        if !isNew { try requireOwn(descriptor, S_IFREG, file.node.name) }
        return descriptor
    }

    /// Removes a file that could not be completed.
    func remove(_ file: PlannedFile) {
        guard let parent = try? directory(file.directory) else { return }
        _ = withCName(file.node.name) { unlinkat(parent.raw, $0, 0) }
    }

    /// Makes a symbolic link, a pipe or a device node, with its metadata.
    ///
    /// - Returns: what could not be set of it.
    func make(_ other: PlannedOther) throws -> [String] {
        let parent = try directory(other.directory)
        let node = other.node
        let mode: mode_t
        switch node.type {
        case .fifo: mode = S_IFIFO
        case .blockDevice: mode = S_IFBLK
        case .characterDevice: mode = S_IFCHR
        default: mode = S_IFLNK
        }
        func attempt() -> Int32 {
            withCName(node.name) { name in
                mode == S_IFLNK
                    ? (node.target.contains(0) ? -1 : withCName(node.target) { symlinkat($0, parent.raw, name) })
                    : mknodat(parent.raw, name, mode | 0o600, dev_t(node.deviceNumber))
            }
        }
        var result = attempt()
        if result != 0, clear(node.name, in: parent) { result = attempt() }
        guard result == 0 else { throw systemError("make", display(node.name)) }
        return try setMetadata(of: entry(node.name, mode, in: parent), node, isLink: mode == S_IFLNK)
    }

    /// The entry that was just made: by a descriptor, so that all that follows concerns it, and not what somebody put
    /// in its place.
    private func entry(_ name: [UInt8], _ type: mode_t, in parent: Descriptor) throws -> Descriptor {
        let raw = withCName(name) { holdfast_open_path(parent.raw, $0) }
        guard raw >= 0 else { throw systemError("look at", display(name)) }
        let descriptor = Descriptor(raw)
        try requireOwn(descriptor, type, name)
        return descriptor
    }

    /// Refuses what this restore cannot have made: something of another type, of another owner, or with other names.
    private func requireOwn(_ descriptor: Descriptor, _ type: mode_t, _ name: [UInt8]) throws {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0, status.st_mode & S_IFMT == type, status.st_nlink == 1,
            status.st_uid == geteuid()
        else {
            throw HoldfastError(.conflict, "\(display(name)) was replaced by something else while it was restored")
        }
    }

    private func setMetadata(of entry: Descriptor, _ node: Node, isLink: Bool) throws -> [String] {
        if let owner = owner(of: node), holdfast_chown_path(entry.raw, owner.user, owner.group) != 0 {
            throw systemError("set the owner of", display(node.name))
        }
        // Leads to the entry itself, even if that is a link.
        let path = "/proc/self/fd/\(entry.raw)"
        // A link has no permissions of its own.
        if !isLink, chmod(path, mode_t(node.permissions & 0o7777)) != 0 {
            throw systemError("set the permissions of", display(node.name))
        }
        let missing = Self.setAttributes(node.attributes) { holdfast_setxattr(path, $0, $1, $2) }
        let times = [node.modified.timespec, node.modified.timespec]
        guard utimensat(AT_FDCWD, path, times, 0) == 0 else { throw systemError("set the time of", display(node.name)) }
        return missing
    }

    /// Gives a file that was restored another name.
    func link(_ other: PlannedOther, to file: PlannedFile) throws {
        let source = try directory(file.directory)
        let target = try directory(other.directory)
        func attempt() -> Int32 {
            withCName(file.node.name) { old in
                withCName(other.node.name) { new in linkat(source.raw, old, target.raw, new, 0) }
            }
        }
        var result = attempt()
        if result != 0, clear(other.node.name, in: target) { result = attempt() }
        guard result == 0 else { throw systemError("link", display(other.node.name)) }
    }

    /// Sets owner, permissions, attributes and time of an open file or directory.
    ///
    /// - Returns: what could not be set of it.
    func finish(_ descriptor: Descriptor, _ node: Node) throws -> [String] {
        if let owner = owner(of: node), fchown(descriptor.raw, owner.user, owner.group) != 0 {
            throw systemError("set the owner of", display(node.name))
        }
        guard fchmod(descriptor.raw, mode_t(node.permissions & 0o7777)) == 0 else {
            throw systemError("set the permissions of", display(node.name))
        }
        let missing = Self.setAttributes(node.attributes) { holdfast_fsetxattr(descriptor.raw, $0, $1, $2) }
        let times = [node.modified.timespec, node.modified.timespec]
        guard futimens(descriptor.raw, times) == 0 else { throw systemError("set the time of", display(node.name)) }
        return missing
    }

    private func owner(of node: Node) -> FileOwner? {
        guard mayChangeOwner else { return nil }
        return owner ?? FileOwner(user: node.userID, group: node.groupID)
    }

    private static func setAttributes(
        _ attributes: [ExtendedAttribute], _ set: (UnsafePointer<CChar>, UnsafeRawPointer?, Int) -> Int32
    ) -> [String] {
        attributes.compactMap { attribute in
            guard !attribute.name.contains(0) else { return "attribute with an impossible name" }
            let result = withCName(attribute.name) { name in
                attribute.value.withUnsafeBytes { set(name, $0.baseAddress, $0.count) }
            }
            return result == 0
                ? nil : "attribute \(display(attribute.name)) not set: \(String(cString: strerror(errno)))"
        }
    }
}
