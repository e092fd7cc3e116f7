import CHoldfastFiles
import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel

/// One backup in the making: from `Repository.beginBackup` to `finish` or `abandon`.
///
/// One thread calls it; inside, it works with one thread per core and two that put packs. Memory: a window of 8 MiB
/// and one more per core, the packs that `PackWriter` states, the index, and about 300 bytes per entry of the captured
/// directories, because `stageChanges` compares with them.
///
/// States: open, then finished or abandoned. A call that throws leaves it open only to `abandon`.
public final class BackupSession {
    /// What was captured from where, so that it can be staged again.
    private struct Source {
        let directory: String
        let filter: CaptureFilter
        /// Nil where nothing watches it.
        let tree: WatchedTree?
        /// Files that were mapped when the capture began, and may have changed since without a trace.
        var inUse: FilesInUse
    }

    private enum State { case open, failed, ended }

    private let repository: Repository
    private let index: BlobIndex
    private let lock: LockKeeper
    private let core: BackupCore
    private let parent: (id: SnapshotID, snapshot: Snapshot)?
    private let writer: BlobWriter
    private let reader: BlobReader
    private let root: CapturedDirectory
    private var sources: [String: Source] = [:]
    private var watch: ChangeWatch?
    private var watchedTrees = 0
    private var staged: [StagedFile] = []
    private var owners = OwnerNames()
    private var state = State.open

    init(_ repository: Repository, _ options: BackupOptions) throws {
        self.repository = repository
        lock = try LockKeeper.take(repository.files, isExclusive: false, time: repository.time)
        do {
            // Snapshots before the index: what a snapshot names is in an index that was there before it.
            parent = try options.parent.map { ($0, try repository.snapshot($0)) }
            index = try repository.currentIndex()
            let gate = WorkGate()
            core = BackupCore(
                chunker: repository.chunker, key: repository.key, time: repository.time,
                blobs: ClaimedBlobs(known: index),
                packs: PackWriter(store: repository.store, key: repository.key, gate: gate), gate: gate,
                counters: AddedCounters(), queue: WorkQueue(), windows: WindowPool(limit: workerCount + 1),
                meter: options.meter)
            writer = try BlobWriter(core, mayWait: false)
            reader = try repository.cachedReader(index)
        } catch {
            lock.release()
            throw error
        }
        root = CapturedDirectory.made(name: [])
        core.packs.start()
        for number in 0..<workerCount {
            startThread("holdfast-work-\(number)") { [core] in
                // What is backed up has its requests to answer meanwhile.
                setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
                FileWorker.run(core)
            }
        }
    }

    deinit { end() }

    /// Stores everything below a directory, as it is found now, under a path of the backup's tree.
    ///
    /// - Parameters:
    ///   - directory: an absolute path. Links below it are stored as links, never followed.
    ///   - path: such as `/mounts/ledger/files`. What an earlier capture brought there is replaced, so that a backup
    ///     can begin anew with all that is stored already; anything else may not be there.
    ///   - willBeStaged: `stageChanges` follows: what happens to the directory meanwhile is watched where the system
    ///     can do that, so that staging costs what was changed, and not what is there.
    /// - Throws: `conflict`, `system` naming a file that cannot be read, or what the store throws.
    @discardableResult
    public func capture(
        _ directory: String, as path: String, filter: CaptureFilter = .everything, willBeStaged: Bool = false
    ) throws -> CaptureStatistics {
        try attempt {
            let names = try treeComponents(path)
            guard let name = names.last else {
                throw HoldfastError(.invalidInput, "nothing can be captured as '\(path)'", hint: "Give it a name")
            }
            let place = try root.directory(at: names.dropLast())
            guard place.entry(name) == nil || sources[Self.key(names)] != nil else {
                throw HoldfastError(.conflict, "there is something at '\(path)' already")
            }
            let before = core.counters.current.bytes
            var walk = CaptureWalk(
                core: core, filter: filter, source: directory, reader: parent == nil ? nil : reader,
                parentTime: Timestamp(parent?.snapshot.info.time ?? .distantPast))
            let source = try willBeStaged ? watched(directory, filter) : nil
            walk.tree = source?.tree
            let captured = try walk.run(as: name, parentTree: parentTree(names), owners: &owners)
            walk.finish(try core.queue.drain(), owners: &owners)
            place.put(.directory(captured))
            sources[Self.key(names)] =
                source ?? Source(directory: directory, filter: filter, tree: nil, inUse: .none)
            var statistics = walk.statistics
            statistics.bytesAdded = core.counters.current.bytes - before
            return statistics
        }
    }

    /// In the hold: looks again at what may have changed in a captured directory, and copies what did aside.
    ///
    /// After it the tree under `path` is exactly what is in the directory now; `storeStaged` brings the bytes. What was
    /// added below `path` by `add` before is dropped, so add after this. Neither hashes nor stores anything. Before the
    /// hold the same, followed by `storeStaged`, is a round of pre-copy.
    ///
    /// - Parameters:
    ///   - staging: a directory for the copies, made if it is missing; on the same file system as the source it costs
    ///     next to nothing where the file system can share extents. Whoever calls removes it afterwards.
    ///   - inUse: what is in use now, for who stages several directories of one instant; nil to look for it.
    public func stageChanges(
        of path: String, into staging: String, inUse: FilesInUse? = nil
    ) throws -> StageStatistics {
        try attempt {
            let names = try treeComponents(path)
            guard let name = names.last, var source = sources[Self.key(names)] else {
                throw HoldfastError(.notFound, "'\(path)' was not captured in this backup")
            }
            let place = try root.directory(at: names.dropLast())
            guard case .directory(let earlier) = place.entry(name) else {
                throw HoldfastError(.internalFault, "the captured directory '\(path)' is not in the tree")
            }
            source.inUse.formUnion(inUse ?? .now())
            var walk = StageWalk(
                filter: source.filter, source: source.directory, staging: staging, staged: staged,
                time: repository.time)
            walk.inUse = source.inUse
            if let tree = source.tree, tree.isRoot(try Walk.root(source.directory), of: earlier),
                let plan = tree.takeTouched(inUse: source.inUse, root: earlier)
            {
                walk.tree = tree
                var touched = TouchedWalk(plan, tree, stage: walk)
                try touched.run(earlier, owners: &owners)
                staged = touched.stage.staged
                var statistics = touched.stage.statistics
                statistics.isWatched = true
                return statistics
            }
            let current = try walk.run(earlier, owners: &owners)
            staged = walk.staged
            place.put(.directory(current))
            return walk.statistics
        }
    }

    /// After the hold: stores all that `stageChanges` copied aside, and removes the copies.
    @discardableResult
    public func storeStaged() throws -> CaptureStatistics {
        try attempt {
            let before = core.counters.current.bytes
            var statistics = CaptureStatistics()
            var tickets: [(directory: CapturedDirectory, index: Int, file: StagedFile)] = []
            for (directory, index, number) in stagedLeaves() {
                let file = staged[number]
                let raw = holdfast_open_for_reading(AT_FDCWD, file.path)
                guard raw >= 0 else { throw systemError("open the staged copy", file.path) }
                tickets.append((directory, index, file))
                try core.queue.push(
                    FileJob(
                        descriptor: Descriptor(raw), ticket: tickets.count - 1, path: file.path,
                        wantsAttributes: false))
            }
            for outcome in try core.queue.drain() {
                let (directory, index, file) = tickets[outcome.ticket]
                guard case .leaf(var leaf) = directory.entries[index] else { continue }
                leaf.node.content = outcome.content
                leaf.node.size = UInt64(max(outcome.bytesRead, 0))
                leaf.node.attributes = file.attributes
                leaf.isUnsettled = file.isUnsettled || Walk.isRecent(leaf.node.changed, at: file.stagedAt)
                leaf.staged = nil
                directory.entries[index] = .leaf(leaf)
                statistics.filesRead += 1
                statistics.bytesRead += outcome.bytesRead
            }
            for file in staged { unlink(file.path) }
            statistics.files = statistics.filesRead
            statistics.bytes = statistics.bytesRead
            statistics.bytesAdded = core.counters.current.bytes - before
            return statistics
        }
    }

    /// Adds a file with these bytes; one that is there already is replaced.
    ///
    /// - Parameters:
    ///   - path: in the backup's tree; missing directories are made.
    ///   - mode: permissions, such as `0o600`.
    public func add(bytes: [UInt8], as path: String, mode: UInt32 = 0o600) throws {
        try attempt {
            let (place, name) = try placeForFile(path)
            var ids: [ObjectID] = []
            try bytes.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let cut = core.chunker.firstCut(UnsafeRawBufferPointer(rebasing: rest))
                    ids.append(try writer.store(UnsafeRawBufferPointer(rebasing: rest.prefix(cut)), .data))
                    rest = rest.dropFirst(cut)
                }
            }
            var node = Node(name: name, type: .file)
            node.permissions = mode & 0o7777
            node.modified = now
            node.changed = now
            node.userID = getuid()
            node.groupID = getgid()
            node.user = owners.user(getuid())
            node.group = owners.group(getgid())
            node.links = 1
            node.size = UInt64(bytes.count)
            node.content = Content(ids)
            place.put(.leaf(CapturedLeaf(node: node)))
        }
    }

    /// Adds a file from the disk with its metadata; one that is there already is replaced. It has been read when the
    /// call returns.
    ///
    /// - Throws: `notFound` if there is none, `invalidInput` if it is no regular file.
    public func add(file: String, as path: String) throws {
        try attempt {
            let (place, name) = try placeForFile(path)
            let raw = holdfast_open_for_reading(AT_FDCWD, file)
            guard raw >= 0 else { throw systemError("open", file) }
            try core.queue.push(
                FileJob(descriptor: Descriptor(raw), ticket: 0, path: file, wantsAttributes: true))
            guard let outcome = try core.queue.drain().first, outcome.bytesRead >= 0 else {
                throw HoldfastError(.invalidInput, "\(file) is not a regular file")
            }
            var leaf = CapturedLeaf(node: Node(name: name, type: .file))
            leaf.settle(outcome, name: name, owners: &owners)
            place.put(.leaf(leaf))
        }
    }

    /// Gives a directory of the backup that only leads to captured ones the metadata that it has on the disk.
    package func describe(directory: String, as path: String) throws {
        try attempt {
            let names = try treeComponents(path)
            guard let name = names.last, sources[Self.key(names)] == nil else { return }
            let place = try root.directory(at: names)
            let descriptor = try Walk.root(directory)
            place.node = Node(name: name, status: try Walk.status(descriptor, path: directory), owners: &owners)
            place.node.attributes = readAttributes(descriptor)
        }
    }

    /// Adds a file with all bytes that a pipe or the like gives; one that is there already is replaced.
    ///
    /// - Returns: how many bytes there were.
    @discardableResult
    package func add(stream descriptor: Int32, as path: String) throws -> Int64 {
        try attempt {
            let (place, name) = try placeForFile(path)
            let buffer = try RawBuffer(capacity: Chunker.largest)
            var ids: [ObjectID] = []
            var total: Int64 = 0
            var filled = 0
            var isAtEnd = false
            repeat {
                while !isAtEnd && filled < Chunker.largest {
                    let count = read(descriptor, buffer.base + filled, Chunker.largest - filled)
                    if count < 0 && errno == EINTR { continue }
                    guard count >= 0 else { throw systemError("read", path) }
                    isAtEnd = count == 0
                    filled += count
                    total += Int64(count)
                    core.meter?.add(bytes: count)
                }
                var start = 0
                while start < filled {
                    let rest = buffer.bytes(start..<filled)
                    let cut = core.chunker.firstCut(rest)
                    // One that comes with the last byte may be none: what follows decides.
                    guard cut < rest.count || isAtEnd || rest.count == Chunker.largest else { break }
                    ids.append(try writer.store(buffer.bytes(start..<start + cut), .data))
                    start += cut
                }
                memmove(buffer.base, buffer.base + start, filled - start)
                filled -= start
            } while !isAtEnd
            var node = Node(name: name, type: .file)
            node.permissions = 0o644
            (node.modified, node.changed) = (now, now)
            (node.userID, node.groupID) = (getuid(), getgid())
            node.user = owners.user(getuid())
            node.group = owners.group(getgid())
            node.links = 1
            node.size = UInt64(total)
            node.content = Content(ids)
            place.put(.leaf(CapturedLeaf(node: node)))
            return total
        }
    }

    /// Makes the session's threads stand still; returns when they do, at most one chunk's work later. A pack that is
    /// just being put may still end meanwhile.
    public func pauseWork() { core.gate.close() }

    /// Lets the threads go on.
    public func resumeWork() { core.gate.reopen() }

    /// Completes the backup: all packs durable, then the index, then the snapshot object. Releases the lock.
    public func finish(_ info: SnapshotInfo) throws -> FinishedBackup {
        let finished = try attempt {
            // The trees and their pack then take the place of the last data in memory.
            try core.packs.end(.data, sealing: writer.sealing)
            var trees = TreeWriter(writer: writer)
            let tree = try trees.store(root)
            return FinishedBackup(
                id: try commit(tree, info), logicalBytes: trees.bytes, addedBytes: core.counters.current.bytes,
                files: trees.files, directories: trees.directories)
        }
        end()
        return finished
    }

    /// Completes the backup with a root tree of somebody else's making instead of the captured one: for tests of what
    /// a reader has to refuse.
    package func finish(rawTree: [UInt8], _ info: SnapshotInfo) throws -> SnapshotID {
        let id = try attempt { try commit(rawTree.withUnsafeBytes { try writer.store($0, .tree) }, info) }
        end()
        return id
    }

    /// Gives the backup up. What was put already stays behind unreferenced, which harms nobody.
    public func abandon() { end() }
}

extension BackupSession {
    private var now: Timestamp { Timestamp(repository.time.now()) }

    private static func key(_ names: [[UInt8]]) -> String { names.map(display).joined(separator: "/") }

    /// Runs a step; after one that failed nothing but `abandon` is left.
    private func attempt<Result>(_ step: () throws -> Result) throws -> Result {
        guard state == .open else {
            throw HoldfastError(.conflict, "this backup has \(state == .failed ? "failed" : "ended") already")
        }
        do { return try step() } catch {
            state = .failed
            throw error
        }
    }

    private func end() {
        guard state != .ended else { return }
        state = .ended
        watch?.close()
        core.queue.close()
        core.packs.close()
        core.windows.wake()
        core.gate.reopen()
        lock.release()
    }

    /// Makes everything durable in the order that every prefix of it leaves a sound repository: packs, index, snapshot.
    ///
    /// If somebody took our lock for stale meanwhile, a prune may have removed what this backup builds on: whoever
    /// lists the repository after us sees what we wrote, and who did so before us has removed the lock by then. So the
    /// lock is looked for once more at the end, and what was written is taken back if it is gone.
    private func commit(_ tree: ObjectID, _ info: SnapshotInfo) throws -> SnapshotID {
        let packs = try core.packs.flush(sealing: writer.sealing)
        try lock.requireHeld()
        var written = try repository.saveIndex(packs).map { BlobName(kind: .index, name: $0.description) }
        let snapshot = Snapshot(info: info, parent: parent?.id, tree: tree)
        let id = try repository.files.save(snapshot.encoded(), as: .snapshot)
        written.append(BlobName(kind: .snapshot, name: id.description))
        try repository.requireHeld(lock, orTakeBack: written)
        return SnapshotID(id)
    }

    /// Begins to watch a directory, if that can be, and notes what is in use there.
    private func watched(_ directory: String, _ filter: CaptureFilter) throws -> Source {
        if watch == nil {
            watch = ChangeWatch()
            watch?.start()
        }
        watchedTrees += 1
        let device = try Walk.status(Walk.root(directory), path: directory).st_dev
        let tree = watch.map { WatchedTree($0, number: watchedTrees, device: device) }
        return Source(directory: directory, filter: filter, tree: tree, inUse: .now())
    }

    private func placeForFile(_ path: String) throws -> (CapturedDirectory, [UInt8]) {
        let names = try treeComponents(path)
        guard let name = names.last else { throw HoldfastError(.invalidInput, "'\(path)' names no file") }
        let place = try root.directory(at: names.dropLast())
        if case .directory = place.entry(name) { throw HoldfastError(.conflict, "'\(path)' is a directory") }
        return (place, name)
    }

    /// The parent's tree at a path of the backup; nil if it has none.
    private func parentTree(_ names: [[UInt8]]) -> ObjectID? {
        guard var tree = parent?.snapshot.treeID else { return nil }
        for name in names {
            guard let nodes = try? reader.tree(tree),
                let next = ParentDirectory(nodes: nodes).node(name)?.subtree
            else { return nil }
            tree = next
        }
        return tree
    }

    /// All leaves that wait for their staged copies.
    private func stagedLeaves() -> [(CapturedDirectory, Int, Int)] {
        var found: [(CapturedDirectory, Int, Int)] = []
        var open = [root]
        while let directory = open.popLast() {
            for (index, entry) in directory.entries.enumerated() {
                switch entry {
                case .directory(let inner): open.append(inner)
                case .leaf(let leaf): if let number = leaf.staged { found.append((directory, index, number)) }
                }
            }
        }
        return found
    }
}

extension Repository {
    /// Begins a backup: takes a lock and reads the index.
    ///
    /// - Throws: `locked`, `notFound` if there is no such parent, or what the store throws.
    public func beginBackup(_ options: BackupOptions = BackupOptions()) throws -> BackupSession {
        try BackupSession(self, options)
    }
}
