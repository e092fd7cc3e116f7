import CHoldfastFiles
import Glibc
import HoldfastModel

/// Something was there before, and stays.
struct KeptExisting: Error {}

/// The directory that a restore writes into. Everything is reached from its descriptor, name by name, without ever
/// following a link: what somebody puts in our way is refused, and nothing outside is touched.
///
/// Something new gets its own name at once. What replaces something gets a name beside it until it is complete, and is
/// renamed then: so whatever goes wrong before, the old one is still there. Only what was made here is ever removed.
final class RestoreTarget: @unchecked Sendable {
    /// How many directories are kept open.
    private static let cacheLimit = 128

    let root: Descriptor
    private let directories: [PlannedDirectory]
    private let owner: FileOwner?
    private let mayChangeOwner = geteuid() == 0
    private let condition = Condition()
    /// What becomes of things that were there before.
    private let policy: RestoreOptions.Existing
    private var existing: Set<Int> = []
    /// Files that were begun and are not complete, by their numbers, with the names that they have now.
    private var unfinished: [UInt32: (directory: Int, name: [UInt8])] = [:]
    private var cache: [Int: Descriptor] = [:]
    private var cacheOrder: [Int] = []

    /// Makes the target, or takes an empty directory that is there.
    ///
    /// - Throws: `conflict` if something is in it, or if it is no directory.
    init(path: String, plan: RestorePlan, options: RestoreOptions) throws {
        let isNew = mkdir(path, 0o700) == 0
        if !isNew && errno != EEXIST { throw systemError("make the directory", path) }
        root = try Descriptor.directory(path)
        policy = options.existing
        if !isNew && policy != .refused { existing = [0] }
        guard try policy != .refused || directoryNames(root, path: path).isEmpty else {
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

    /// Whether what just failed with `EEXIST` is to be replaced: anything but a directory.
    ///
    /// - Throws: `KeptExisting` if it is to stay.
    private func mayReplace(_ name: [UInt8], in parent: Descriptor) throws -> Bool {
        guard errno == EEXIST else { return false }
        var status = stat()
        let isOther =
            withCName(name) { fstatat(parent.raw, $0, &status, AT_SYMLINK_NOFOLLOW) } == 0
            && status.st_mode & S_IFMT != S_IFDIR
        errno = EEXIST
        if policy == .kept && isOther { throw KeptExisting() }
        return policy == .replaced && isOther
    }

    /// Makes something under its own name, or beside what it is going to replace.
    ///
    /// - Parameter make: gets a name; -1 with `errno` if it fails, with `EEXIST` if the name is taken.
    /// - Returns: what `make` returned, and the name that was used.
    /// - Throws: `KeptExisting` if the name is taken by what is to stay.
    private func makeNew(
        _ name: [UInt8], in parent: Descriptor, _ make: ([UInt8]) -> Int32
    ) throws -> (result: Int32, name: [UInt8]) {
        var used = name
        var result = make(used)
        if result < 0, try mayReplace(name, in: parent) {
            repeat {
                used = Array(".holdfast-restore-\(String(UInt64.random(in: 0 ... .max), radix: 16))".utf8)
                result = make(used)
            } while result < 0 && errno == EEXIST
        }
        return (result, used)
    }

    /// Gives something complete its own name, in place of what is there. On failure it is removed.
    private func install(_ used: [UInt8], as name: [UInt8], in parent: Descriptor) throws {
        if used == name { return }
        let result = withCName(used) { from in withCName(name) { renameat(parent.raw, from, parent.raw, $0) } }
        let reason = errno
        // A rename over another link of the same file does nothing, and leaves both names.
        _ = withCName(used) { unlinkat(parent.raw, $0, 0) }
        guard result == 0 else { throw systemError("replace", display(name), reason) }
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
            if policy != .refused, errno == EEXIST, parent.child(planned.node.name) != nil {
                existing.insert(number)
                return
            }
            errno = reason
            throw systemError("make the directory", display(planned.node.name))
        }
    }

    /// Makes a new file, or opens one that this restore made before.
    ///
    /// - Parameter number: the file's own, until `complete` or `remove`.
    func open(_ file: PlannedFile, number: UInt32, isNew: Bool) throws -> Descriptor {
        let parent = try directory(file.directory)
        let flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        guard isNew else {
            let name = condition.locked { unfinished[number]?.name } ?? file.node.name
            let raw = withCName(name) { openat(parent.raw, $0, flags, 0) }
            guard raw >= 0 else { throw systemError("open", display(file.node.name)) }
            let descriptor = Descriptor(raw)
            try requireOwn(descriptor, S_IFREG, file.node.name)
            return descriptor
        }
        let made = try makeNew(file.node.name, in: parent) { name in
            withCName(name) { openat(parent.raw, $0, flags | O_CREAT | O_EXCL, 0o600) }
        }
        guard made.result >= 0 else { throw systemError("make", display(file.node.name)) }
        condition.locked { unfinished[number] = (file.directory, made.name) }
        return Descriptor(made.result)
    }

    /// Sets the metadata of a file that has all its bytes, and gives it its name.
    ///
    /// - Returns: what could not be set of it.
    func complete(_ file: PlannedFile, number: UInt32, _ descriptor: Descriptor) throws -> [String] {
        let missing = try finish(descriptor, file.node)
        if let begun = condition.locked({ unfinished[number] }) {
            try install(begun.name, as: file.node.name, in: directory(file.directory))
        }
        condition.locked { unfinished[number] = nil }
        return missing
    }

    /// Removes a file that was begun and cannot be completed.
    ///
    /// - Parameter isForeign: something else lies under its name now, and stays.
    func remove(_ number: UInt32, isForeign: Bool = false) {
        guard let begun = condition.locked({ unfinished.removeValue(forKey: number) }), !isForeign,
            let parent = try? directory(begun.directory)
        else { return }
        _ = withCName(begun.name) { unlinkat(parent.raw, $0, 0) }
    }

    /// Removes all files that were begun; for a restore that ends early, when none of its threads works any more.
    func removeUnfinished() {
        for number in condition.locked({ Array(unfinished.keys) }) { remove(number) }
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
        guard mode != S_IFLNK || !node.target.contains(0) else {
            throw HoldfastError(.damaged, "\(display(node.name)) leads to what cannot be a path")
        }
        let made = try makeNew(node.name, in: parent) { name in
            withCName(name) { name in
                mode == S_IFLNK
                    ? withCName(node.target) { symlinkat($0, parent.raw, name) }
                    : mknodat(parent.raw, name, mode | 0o600, dev_t(node.deviceNumber))
            }
        }
        guard made.result == 0 else { throw systemError("make", display(node.name)) }
        do {
            let missing = try setMetadata(of: entry(made.name, mode, in: parent), node, isLink: mode == S_IFLNK)
            try install(made.name, as: node.name, in: parent)
            return missing
        } catch {
            if made.name != node.name { _ = withCName(made.name) { unlinkat(parent.raw, $0, 0) } }
            throw error
        }
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
        let made = try makeNew(other.node.name, in: target) { name in
            withCName(file.node.name) { old in withCName(name) { linkat(source.raw, old, target.raw, $0, 0) } }
        }
        guard made.result == 0 else { throw systemError("link", display(other.node.name)) }
        try install(made.name, as: other.node.name, in: target)
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
