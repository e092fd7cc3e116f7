import Glibc

/// Files that processes have mapped or open for writing at an instant.
///
/// What is written through a mapping changes no time stamp as long as the page was not written back since, and is told
/// to no watch; what is written asynchronously need not be told either. Processes that may not be looked into are left
/// out. Mapped files are known by their number only, which may be that of another file elsewhere: then a file is copied
/// without need.
public struct FilesInUse: Sendable {
    struct Place: Hashable, Sendable {
        let device: dev_t
        let inode: UInt64
    }

    /// Inodes mapped so that writing reaches the file: nothing but its content tells what it is.
    private(set) var mapped: Set<UInt64> = []
    /// Open for writing.
    private(set) var open: Set<Place> = []

    static let none = FilesInUse()

    private init() {}

    /// Looks at all processes but this one.
    public static func now() -> FilesInUse {
        var found = FilesInUse()
        let own = getpid()
        guard let processes = try? Descriptor.directory("/proc"),
            let names = try? directoryNames(processes, path: "/proc")
        else { return found }
        for name in names where name.first.map({ (48...57).contains($0) }) == true {
            let pid = display(name)
            guard pid != String(own) else { continue }
            found.addMappings("/proc/\(pid)/maps")
            found.addDescriptors("/proc/\(pid)/fd")
        }
        return found
    }

    /// Inodes on a file system of which the kernel need not tell all.
    func inodes(on device: dev_t) -> Set<UInt64> {
        mapped.union(open.lazy.filter { $0.device == device }.map(\.inode))
    }

    mutating func formUnion(_ other: FilesInUse) {
        mapped.formUnion(other.mapped)
        open.formUnion(other.open)
    }

    /// Lines such as `7f…-7f… rw-s 00000000 08:01 1234 /path`.
    private mutating func addMappings(_ path: String) {
        guard let stream = fopen(path, "re") else { return }
        defer { fclose(stream) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, stream) > 0 {
            guard let text = line, let space = strchr(text, 32) else { continue }
            // Permissions are four letters behind the addresses.
            guard space[2] == CChar(UInt8(ascii: "w")), space[4] == CChar(UInt8(ascii: "s")) else { continue }
            let fields = String(cString: space).split(separator: " ", maxSplits: 4)
            if fields.count > 3, let inode = UInt64(fields[3].filter(\.isNumber)), inode > 0 { mapped.insert(inode) }
        }
    }

    /// The mode of a link in this folder says whether the file is open for writing.
    private mutating func addDescriptors(_ path: String) {
        guard let folder = try? Descriptor.directory(path), let names = try? directoryNames(folder, path: path) else {
            return
        }
        var status = stat()
        for name in names {
            let isWriting = withCName(name) { text in
                fstatat(folder.raw, text, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IWUSR != 0
                    && fstatat(folder.raw, text, &status, 0) == 0
            }
            guard isWriting, status.st_mode & S_IFMT == S_IFREG else { continue }
            open.insert(Place(device: status.st_dev, inode: UInt64(status.st_ino)))
        }
    }
}
