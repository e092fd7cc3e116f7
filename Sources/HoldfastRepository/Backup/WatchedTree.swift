import Glibc
import HoldfastModel

/// The directories of one captured tree that a watch knows by number; used by the session's thread only.
final class WatchedTree {
    let watch: ChangeWatch
    private let number: Int
    private let device: dev_t
    /// By the watch's number.
    private var directories: [Int: (directory: CapturedDirectory, parent: Int?)] = [:]
    /// Files with several links: they may be changed by a name elsewhere.
    private var linked: [(directory: Int, name: [UInt8])] = []
    /// Where files lie that were in use when somebody looked; nil for those of others.
    private var places: [UInt64: (directory: Int, name: [UInt8])?] = [:]

    /// - Parameter number: of this tree among those of the watch.
    init(_ watch: ChangeWatch, number: Int, device: dev_t) {
        self.watch = watch
        self.number = number
        self.device = device
    }

    /// Makes a directory known before its names are read.
    func register(_ directory: CapturedDirectory, _ descriptor: Descriptor, in parent: CapturedDirectory?) {
        var status = stat()
        // Another file system may be mounted here, or taken away, without a word.
        guard fstat(descriptor.raw, &status) == 0, status.st_dev == device else { return watch.lose(tree: number) }
        guard let given = watch.register(descriptor, tree: number) else { return }
        directory.watchNumber = given
        directories[given] = (directory, parent?.watchNumber)
    }

    /// Remembers a file that can be changed by other names, or was in use before it was found here.
    func note(_ leaf: Node, in directory: CapturedDirectory) {
        guard leaf.type == .file, let number = directory.watchNumber else { return }
        if places[leaf.inode] != nil { places[leaf.inode] = (number, leaf.name) }
        if leaf.links > 1 { linked.append((number, leaf.name)) }
    }

    /// Whether the directory is the one that was captured. Nothing tells of changes in one that was put in its place,
    /// so from then on only a look at everything helps.
    func isRoot(_ descriptor: Descriptor, of root: CapturedDirectory) -> Bool {
        var status = stat()
        let isSame =
            fstat(descriptor.raw, &status) == 0 && status.st_dev == device
            && UInt64(status.st_ino) == root.node.inode
        if !isSame { watch.lose(tree: number) }
        return isSame
    }

    /// What has to be looked at since the last time; nil if only a look at everything tells.
    ///
    /// - Parameters:
    ///   - inUse: files that are being written to without the kernel telling.
    ///   - root: of the tree.
    func takeTouched(inUse: FilesInUse, root: CapturedDirectory) -> TouchedPlan? {
        guard let rootNumber = root.watchNumber, var touched = watch.take(tree: number) else { return nil }
        for place in linked + located(inUse.inodes(on: device), below: root) {
            touched[place.directory, default: TouchedNames()].add(place.name, isReplaced: false)
        }
        var plan = TouchedPlan(touched: touched, root: rootNumber)
        for number in touched.keys {
            var at = number
            while let parent = directories[at]?.parent, plan.children[parent, default: []].insert(at).inserted {
                at = parent
            }
        }
        return plan
    }

    func directory(_ number: Int) -> CapturedDirectory? { directories[number]?.directory }

    /// Where files of these numbers were captured. Those not seen before cost a look through the tree in memory.
    private func located(_ inodes: Set<UInt64>, below root: CapturedDirectory) -> [(directory: Int, name: [UInt8])] {
        let unknown = inodes.filter { places[$0] == nil }
        if !unknown.isEmpty {
            for inode in unknown { places[inode] = .some(nil) }
            var open = [root]
            while let directory = open.popLast() {
                for entry in directory.entries {
                    switch entry {
                    case .directory(let inner): open.append(inner)
                    case .leaf(let leaf):
                        guard unknown.contains(leaf.node.inode), let number = directory.watchNumber else { continue }
                        places[leaf.node.inode] = (number, leaf.node.name)
                    }
                }
            }
        }
        return inodes.compactMap { places[$0] ?? nil }
    }
}

/// Which directories of a tree have to be gone into, and what has to be looked at in them.
struct TouchedPlan {
    let touched: [Int: TouchedNames]
    let root: Int
    /// Directory -> those in it that lead to touched ones or are touched themselves.
    fileprivate(set) var children: [Int: Set<Int>] = [:]

    fileprivate init(touched: [Int: TouchedNames], root: Int) {
        self.touched = touched
        self.root = root
    }
}
