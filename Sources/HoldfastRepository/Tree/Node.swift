import Glibc

/// What a node of a tree is.
enum NodeType: Sendable, Hashable {
    case file
    case directory
    case symlink
    case fifo
    case blockDevice
    case characterDevice
    case socket
    /// Something that this version does not know, such as restic's `irregular`.
    case other

    init(mode: mode_t) {
        switch mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .directory
        case S_IFLNK: self = .symlink
        case S_IFIFO: self = .fifo
        case S_IFBLK: self = .blockDevice
        case S_IFCHR: self = .characterDevice
        case S_IFSOCK: self = .socket
        default: self = .other
        }
    }

    init(name: String) {
        switch name {
        case "file": self = .file
        case "dir": self = .directory
        case "symlink": self = .symlink
        case "fifo": self = .fifo
        case "dev": self = .blockDevice
        case "chardev": self = .characterDevice
        case "socket": self = .socket
        default: self = .other
        }
    }

    /// restic's name.
    var name: StaticString {
        switch self {
        case .file: "file"
        case .directory: "dir"
        case .symlink: "symlink"
        case .fifo: "fifo"
        case .blockDevice: "dev"
        case .characterDevice: "chardev"
        case .socket: "socket"
        case .other: "irregular"
        }
    }

    /// The bits that Go's `os.FileMode` adds for this type.
    var modeBits: UInt32 {
        switch self {
        case .file: 0
        case .directory: 1 << 31
        case .symlink: 1 << 27
        case .blockDevice: 1 << 26
        case .characterDevice: 1 << 26 | 1 << 21
        case .fifo: 1 << 25
        case .socket: 1 << 24
        case .other: 1 << 19
        }
    }
}

/// An extended attribute.
struct ExtendedAttribute: Sendable, Hashable {
    var name: [UInt8]
    var value: [UInt8]
}

/// The chunks of a file; most files have one.
enum Content: Sendable, Hashable {
    case none
    case one(ObjectID)
    case many([ObjectID])

    init(_ ids: [ObjectID]) {
        switch ids.count {
        case 0: self = .none
        case 1: self = .one(ids[0])
        default: self = .many(ids)
        }
    }

    var ids: [ObjectID] {
        switch self {
        case .none: []
        case .one(let id): [id]
        case .many(let ids): ids
        }
    }
}

/// An entry of a directory, with everything that restic stores of it.
struct Node: Sendable {
    var name: [UInt8]
    var type: NodeType
    /// Permissions with setuid, setgid and sticky as `chmod` takes them.
    var permissions: UInt32
    var modified: Timestamp
    var changed: Timestamp
    var userID: UInt32
    var groupID: UInt32
    var user: String
    var group: String
    var inode: UInt64
    /// Stored only for files with several links, so that trees do not change with the device's number.
    var device: UInt64
    var size: UInt64
    var links: UInt64
    /// Of a symbolic link, byte for byte.
    var target: [UInt8]
    var attributes: [ExtendedAttribute]
    /// Of a device node.
    var deviceNumber: UInt64
    var content: Content
    var subtree: ObjectID?

    init(name: [UInt8], type: NodeType) {
        self.name = name
        self.type = type
        permissions = 0
        modified = .zero
        changed = .zero
        userID = 0
        groupID = 0
        user = ""
        group = ""
        inode = 0
        device = 0
        size = 0
        links = 0
        target = []
        attributes = []
        deviceNumber = 0
        content = .none
    }

    /// The node of what `status` describes, without link target, attributes and content.
    init(name: [UInt8], status: stat, owners: inout OwnerNames) {
        self.init(name: name, type: NodeType(mode: status.st_mode))
        permissions = UInt32(status.st_mode & 0o7777)
        modified = Timestamp(status.st_mtim)
        changed = Timestamp(status.st_ctim)
        userID = status.st_uid
        groupID = status.st_gid
        user = owners.user(status.st_uid)
        group = owners.group(status.st_gid)
        inode = UInt64(status.st_ino)
        device = UInt64(status.st_dev)
        switch type {
        case .file:
            size = UInt64(status.st_size)
            links = UInt64(status.st_nlink)
        case .symlink: links = UInt64(status.st_nlink)
        case .blockDevice, .characterDevice:
            deviceNumber = UInt64(status.st_rdev)
            links = UInt64(status.st_nlink)
        case .directory, .fifo, .socket, .other: break
        }
    }
}

/// Names of users and groups, looked up once each.
struct OwnerNames {
    private var users: [UInt32: String] = [:]
    private var groups: [UInt32: String] = [:]

    mutating func user(_ id: UInt32) -> String {
        if let name = users[id] { return name }
        let name = Self.lookUp { record, buffer, size in
            var entry = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let code = getpwuid_r(id, &entry, buffer, size, &result)
            record = result.flatMap { $0.pointee.pw_name }.map { String(cString: $0) } ?? ""
            return code
        }
        users[id] = name
        return name
    }

    mutating func group(_ id: UInt32) -> String {
        if let name = groups[id] { return name }
        let name = Self.lookUp { record, buffer, size in
            var entry = Glibc.group()
            var result: UnsafeMutablePointer<Glibc.group>?
            let code = getgrgid_r(id, &entry, buffer, size, &result)
            record = result.flatMap { $0.pointee.gr_name }.map { String(cString: $0) } ?? ""
            return code
        }
        groups[id] = name
        return name
    }

    private static func lookUp(_ call: (inout String, UnsafeMutablePointer<CChar>, Int) -> Int32) -> String {
        var size = 4096
        while size <= 1 << 20 {
            let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: size)
            defer { buffer.deallocate() }
            var name = ""
            if call(&name, buffer, size) != ERANGE { return name }
            size *= 4
        }
        return ""
    }
}
