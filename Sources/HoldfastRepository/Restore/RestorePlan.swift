import HoldfastModel

/// A use of a blob: it goes into this file at this place.
struct BlobUse {
    let location: BlobLocation
    /// Number of the file in the plan.
    let file: UInt32
    let offset: UInt64
}

/// A directory to be made; its parent has a smaller number.
struct PlannedDirectory {
    let parent: Int
    let node: Node
    /// One that exists keeps its metadata.
    var isOnlyOnTheWay = false
}

struct PlannedFile {
    let directory: Int
    /// Without its content.
    let node: Node
    let chunks: Int
    /// A chunk follows upon itself, as in a hole: not all of the file need lie on the disk.
    let mayHaveHoles: Bool
}

/// Something that is neither a file nor a directory, or another name of a file.
struct PlannedOther {
    let directory: Int
    let node: Node
    /// Number of the file that this is a hard link to.
    var linkedFile: Int?
}

/// All that a restore has to do, in flat tables; nothing on the disk has been touched yet.
struct RestorePlan {
    private struct LinkKey: Hashable {
        let inode: UInt64
        let device: UInt64
    }

    /// The first one is the target itself.
    private(set) var directories: [PlannedDirectory]
    private(set) var files: [PlannedFile] = []
    private(set) var others: [PlannedOther] = []
    /// Sorted by pack and offset once `build` is done.
    private(set) var uses: [BlobUse] = []
    private(set) var problems: [RestoreProblem] = []
    private(set) var remarks: [RestoreProblem] = []
    /// Paths of what is left out because something else is there.
    private(set) var kept: [String] = []
    private var firstLinks: [LinkKey: Int] = [:]

    private init(root: Node) { directories = [PlannedDirectory(parent: 0, node: root)] }

    /// Walks the trees below `tree`.
    ///
    /// - Parameter isKept: whether something is in the way of this path, and stays. Then nothing is read for it; what
    ///   comes up later is seen when it is in the way.
    static func build(
        tree: ObjectID, root: Node, reader: BlobReader, index: BlobIndex, options: RestoreOptions,
        isKept: (String) -> Bool
    ) throws -> RestorePlan {
        var plan = RestorePlan(root: root)
        var onTheWay: [(Int, String)] = []
        var open: [(directory: Int, tree: ObjectID, path: String, depth: Int)] = [(0, tree, "", 1)]
        while let place = open.popLast() {
            let nodes: [Node]
            do {
                nodes = try reader.tree(place.tree)
            } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                plan.refuse(place.path.isEmpty ? "/" : place.path, error.description)
                continue
            }
            var names: Set<[UInt8]> = []
            for node in nodes {
                let path = Walk.join(place.path, node.name)
                guard isPlainName(node.name) else {
                    plan.refuse(path, "the name would lead out of its directory, or cannot be a name")
                    continue
                }
                guard names.insert(node.name).inserted else {
                    plan.refuse(path, "there are two entries of that name")
                    continue
                }
                if options.excludes(path) { continue }
                if isKept(path) {
                    plan.kept.append(path)
                    continue
                }
                if let subtree = plan.add(node, in: place.directory, path: path, index: index) {
                    if options.existing != .refused { onTheWay.append((plan.directories.count - 1, path)) }
                    if place.depth < Walk.deepest {
                        open.append((plan.directories.count - 1, subtree, path, place.depth + 1))
                    } else {
                        plan.refuse(path, "it is nested more than \(Walk.deepest) directories deep")
                    }
                }
            }
        }
        for (number, path) in onTheWay { plan.directories[number].isOnlyOnTheWay = options.isOnlyOnTheWay(path) }
        plan.uses.sort { ($0.location.pack, $0.location.offset) < ($1.location.pack, $1.location.offset) }
        return plan
    }

    /// Path of something in a directory of the plan, for messages.
    func path(_ name: [UInt8], in directory: Int) -> String {
        var names = [display(name)]
        var number = directory
        while number != 0 {
            names.append(display(directories[number].node.name))
            number = directories[number].parent
        }
        return names.reversed().joined(separator: "/")
    }

    private mutating func refuse(_ path: String, _ reason: String) {
        problems.append(RestoreProblem(path: path, reason: reason))
    }

    /// - Returns: the tree of a directory that was added.
    private mutating func add(_ node: Node, in directory: Int, path: String, index: BlobIndex) -> ObjectID? {
        switch node.type {
        case .directory:
            directories.append(PlannedDirectory(parent: directory, node: node))
            if node.subtree == nil { refuse(path, "the directory has no tree") }
            return node.subtree
        case .file: addFile(node, in: directory, path: path, index: index)
        case .symlink, .fifo, .blockDevice, .characterDevice:
            others.append(PlannedOther(directory: directory, node: node))
        case .socket:
            remarks.append(RestoreProblem(path: path, reason: "a socket is made by the program that listens on it"))
        case .other: refuse(path, "it is of a type that this version does not know")
        }
        return nil
    }

    private mutating func addFile(_ node: Node, in directory: Int, path: String, index: BlobIndex) {
        let key = LinkKey(inode: node.inode, device: node.device)
        if node.links > 1, node.inode != 0, let first = firstLinks[key] {
            others.append(PlannedOther(directory: directory, node: node, linkedFile: first))
            return
        }
        let number = files.count
        let firstUse = uses.count
        var offset: UInt64 = 0
        for id in node.content.ids {
            guard let (location, _) = index.locate(id, .data) else {
                uses.removeLast(uses.count - firstUse)
                return refuse(path, "its blob \(id) is not in the repository")
            }
            uses.append(BlobUse(location: location, file: UInt32(number), offset: offset))
            offset += UInt64(location.plainLength)
        }
        guard offset == node.size else {
            uses.removeLast(uses.count - firstUse)
            return refuse(path, "its blobs have \(offset) bytes, and it should have \(node.size)")
        }
        if node.links > 1, node.inode != 0 { firstLinks[key] = number }
        var bare = node
        bare.content = .none
        let ids = node.content.ids
        files.append(
            PlannedFile(
                directory: directory, node: bare, chunks: ids.count,
                mayHaveHoles: zip(ids, ids.dropFirst()).contains { $0 == $1 }))
    }
}
