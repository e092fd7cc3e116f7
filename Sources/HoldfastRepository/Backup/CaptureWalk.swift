import CHoldfastFiles
import Glibc
import HoldfastModel

/// One directory that a walk is in.
struct WalkFrame {
    let directory: CapturedDirectory
    let descriptor: Descriptor
    let names: [[UInt8]]
    var next = 0
    /// Relative to where the walk began; empty there.
    let path: String
    let parent: ParentDirectory
    /// What an earlier walk found here; nil in the first one.
    let earlier: CapturedDirectory?
}

/// What walks of a session share.
enum Walk {
    /// Each level holds a descriptor open, so that no link that is put in our way can lead us elsewhere.
    static let deepest = 256
    /// A change this soon before a reading may be followed by another in the same tick of the file system's clock.
    static let unsettledSeconds: Int64 = 2

    /// Opens the directory at which a walk begins.
    static func root(_ path: String) throws -> Descriptor {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError("open the directory", path) }
        return Descriptor(descriptor)
    }

    static func status(_ descriptor: Descriptor, path: String) throws -> stat {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw systemError("look at", path) }
        return status
    }

    /// What lies at a name; nil if it is gone.
    static func status(_ directory: Descriptor, _ name: [UInt8], path: String) throws -> stat? {
        var status = stat()
        let result = withCName(name) { fstatat(directory.raw, $0, &status, AT_SYMLINK_NOFOLLOW) }
        if result == 0 { return status }
        if errno == ENOENT { return nil }
        throw systemError("look at", path)
    }

    /// Target of a symbolic link; nil if it is gone or no link any more.
    static func target(_ directory: Descriptor, _ name: [UInt8]) -> [UInt8]? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let size = withCName(name) { readlinkat(directory.raw, $0, &buffer, buffer.count) }
        guard size >= 0 else { return nil }
        return buffer[..<size].map { UInt8(bitPattern: $0) }
    }

    static func join(_ path: String, _ name: [UInt8]) -> String {
        path.isEmpty ? display(name) : path + "/" + display(name)
    }

    static func isRecent(_ changed: Timestamp, at reading: Timestamp) -> Bool {
        reading.adding(seconds: -unsettledSeconds) <= changed
    }

    static func refuseDepth(_ depth: Int, _ path: String) throws {
        guard depth < deepest else {
            throw HoldfastError(.unsupported, "directories are nested more than \(deepest) deep at \(path)")
        }
    }
}

/// The first walk over a directory: finds what is there, and hands files that must be read to the workers.
struct CaptureWalk {
    let core: BackupCore
    let filter: CaptureFilter
    let source: String
    let reader: BlobReader?
    /// Files of the parent that changed at this time or later may have been read too soon.
    let parentTime: Timestamp
    /// Watches what is found; nil if nothing does.
    var tree: WatchedTree?

    private(set) var statistics = CaptureStatistics()
    /// Where the outcome of each ticket belongs. A ticket that was used up is given out again.
    private var tickets: [(directory: CapturedDirectory, index: Int)] = []
    private var freeTickets: [Int] = []
    /// Directories with leaves that vanished; these stay as long as tickets name places behind them.
    private var withGone: [ObjectIdentifier: CapturedDirectory] = [:]

    init(core: BackupCore, filter: CaptureFilter, source: String, reader: BlobReader?, parentTime: Timestamp) {
        self.core = core
        self.filter = filter
        self.source = source
        self.reader = reader
        self.parentTime = parentTime
    }

    mutating func run(as name: [UInt8], parentTree: ObjectID?, owners: inout OwnerNames) throws -> CapturedDirectory {
        let descriptor = try Walk.root(source)
        let root = try directory(descriptor, name: name, path: source, in: nil, owners: &owners)
        var frames = [try frame(root, descriptor, path: "", parent: parentTree)]
        while let top = frames.last {
            guard top.next < top.names.count else {
                frames.removeLast()
                continue
            }
            frames[frames.count - 1].next += 1
            let name = top.names[top.next]
            let path = Walk.join(top.path, name)
            if filter.excludes(path) { continue }
            guard let status = try Walk.status(top.descriptor, name, path: path) else {
                statistics.vanished += 1
                continue
            }
            // Whoever listens on a socket makes it anew; restic leaves sockets out as well.
            if NodeType(mode: status.st_mode) == .socket { continue }
            if NodeType(mode: status.st_mode) == .directory {
                try Walk.refuseDepth(frames.count, path)
                guard let inner = top.descriptor.child(name) else {
                    try tolerateAbsence(path)
                    continue
                }
                let child = try directory(inner, name: name, path: path, in: top.directory, owners: &owners)
                top.directory.entries.append(.directory(child))
                frames.append(try frame(child, inner, path: path, parent: top.parent.node(name)?.subtree))
            } else {
                try leaf(name, status, in: top, path: path, owners: &owners)
            }
        }
        return root
    }

    /// A directory is known to the watch before anything of it is read.
    private mutating func directory(
        _ descriptor: Descriptor, name: [UInt8], path: String, in parent: CapturedDirectory?,
        owners: inout OwnerNames
    ) throws -> CapturedDirectory {
        let directory = CapturedDirectory(node: Node(name: name, type: .directory))
        tree?.register(directory, descriptor, in: parent)
        directory.node = Node(name: name, status: try Walk.status(descriptor, path: path), owners: &owners)
        directory.node.attributes = readAttributes(descriptor)
        statistics.directories += 1
        return directory
    }

    private func frame(
        _ directory: CapturedDirectory, _ descriptor: Descriptor, path: String, parent: ObjectID?
    ) throws -> WalkFrame {
        var nodes: [Node] = []
        // A parent that cannot be read saves no work, and does no harm.
        if let parent, let reader { nodes = (try? reader.tree(parent)) ?? [] }
        let names = try directoryNames(descriptor, path: path)
        directory.entries.reserveCapacity(names.count)
        return WalkFrame(
            directory: directory, descriptor: descriptor, names: names, path: path,
            parent: ParentDirectory(nodes: nodes), earlier: nil)
    }

    private mutating func leaf(
        _ name: [UInt8], _ status: stat, in frame: WalkFrame, path: String, owners: inout OwnerNames
    ) throws {
        var node = Node(name: name, status: status, owners: &owners)
        guard node.type == .file else {
            if node.type == .symlink {
                guard let target = Walk.target(frame.descriptor, name) else {
                    statistics.vanished += 1
                    return
                }
                node.target = target
            }
            node.attributes = readAttributes(in: frame.descriptor, name: name)
            statistics.others += 1
            frame.directory.entries.append(.leaf(CapturedLeaf(node: node)))
            return
        }
        statistics.files += 1
        tree?.note(node, in: frame.directory)
        if let old = frame.parent.node(name), isReusable(old, for: node) {
            node.content = old.content
            node.attributes = old.attributes
            statistics.filesUnchanged += 1
            core.meter?.add(items: 1, bytes: Int(clamping: node.size))
            statistics.bytes += Int64(node.size)
            frame.directory.entries.append(.leaf(CapturedLeaf(node: node)))
            return
        }
        let descriptor = withCName(name) { holdfast_open_for_reading(frame.descriptor.raw, $0) }
        guard descriptor >= 0 else {
            statistics.files -= 1
            return try tolerateAbsence(path)
        }
        let ticket = ticket(for: (frame.directory, frame.directory.entries.count))
        frame.directory.entries.append(.leaf(CapturedLeaf(node: node)))
        try core.queue.push(
            FileJob(
                descriptor: Descriptor(descriptor), ticket: ticket, path: source + "/" + path, wantsAttributes: true))
        apply(core.queue.takeOutcomes(), owners: &owners)
    }

    private mutating func ticket(for place: (CapturedDirectory, Int)) -> Int {
        if let free = freeTickets.popLast() {
            tickets[free] = place
            return free
        }
        tickets.append(place)
        return tickets.count - 1
    }

    private func isReusable(_ old: Node, for node: Node) -> Bool {
        old.isUnchanged(node) && old.changed < parentTime.adding(seconds: -Walk.unsettledSeconds)
            && old.content.ids.allSatisfy { core.blobs.contains($0, .data) }
    }

    /// What just went away, or became a link, is left out; anything else is an error.
    private mutating func tolerateAbsence(_ path: String) throws {
        guard errno == ENOENT || errno == ELOOP || errno == ENOTDIR else {
            let error = systemError("open", path)
            guard filter.unreadable?(path, error) == true else { throw error }
            return
        }
        statistics.vanished += 1
    }

    /// Puts outcomes of the workers where they belong.
    private mutating func apply(_ outcomes: [FileOutcome], owners: inout OwnerNames) {
        for outcome in outcomes {
            let (directory, index) = tickets[outcome.ticket]
            freeTickets.append(outcome.ticket)
            guard case .leaf(var leaf) = directory.entries[index] else { continue }
            if outcome.bytesRead < 0 {
                leaf.isGone = true
                withGone[ObjectIdentifier(directory)] = directory
                statistics.files -= 1
                statistics.vanished += 1
            } else {
                leaf.settle(outcome, name: leaf.node.name, owners: &owners)
                statistics.filesRead += 1
                statistics.bytesRead += outcome.bytesRead
                statistics.bytes += outcome.bytesRead
                if outcome.changedWhileRead && !filter.mayVanish { statistics.changedWhileRead += 1 }
            }
            directory.entries[index] = .leaf(leaf)
        }
    }

    /// Puts the last outcomes where they belong, and drops what vanished.
    mutating func finish(_ outcomes: [FileOutcome], owners: inout OwnerNames) {
        apply(outcomes, owners: &owners)
        for directory in withGone.values {
            directory.entries.removeAll { entry in
                if case .leaf(let leaf) = entry { leaf.isGone } else { false }
            }
        }
    }
}

extension CapturedLeaf {
    /// Takes over what a worker found in the file itself.
    mutating func settle(_ outcome: FileOutcome, name: [UInt8], owners: inout OwnerNames) {
        node = Node(name: name, status: outcome.status, owners: &owners)
        node.content = outcome.content
        node.attributes = outcome.attributes
        node.size = UInt64(outcome.bytesRead)
        isUnsettled = outcome.changedWhileRead || Walk.isRecent(node.changed, at: outcome.readAt)
    }
}
