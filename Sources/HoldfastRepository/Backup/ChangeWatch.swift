import CHoldfastFiles
import Glibc
import HoldfastModel
import Synchronization

/// What was touched in one directory.
struct TouchedNames {
    /// Beyond so many names the whole directory is looked at.
    static let limit = 20_000

    /// Name -> whether it leads to something else now; false if only what it leads to was changed.
    private(set) var names: [[UInt8]: Bool] = [:]
    /// So much was touched that the names were dropped.
    private(set) var isWhole = false

    mutating func add(_ name: [UInt8], isReplaced: Bool) {
        guard !isWhole else { return }
        if isReplaced { names[name] = true } else { names[name] = names[name] ?? false }
        guard names.count > Self.limit else { return }
        names = [:]
        isWhole = true
    }
}

/// Listens to the kernel (fanotify) for what happens to the entries of known directories, so that a second look at a
/// tree costs what was changed in it, and not what is in it.
///
/// A directory is made known before its names are read: what happens earlier is seen by the reading, what happens later
/// is told. Where a mark on the whole file system is allowed it tells what everybody does there, and what is about no
/// known directory is dropped; else each directory gets a mark. The kernel says nothing of writes through a mapping
/// while it is there, nor of all asynchronous ones; see `FilesInUse`. It names a file by the link through which it was
/// opened: files with several links are always looked at, and one that gets its first further link outside of the tree
/// while it is being backed up is not seen to change by that link.
final class ChangeWatch: Sendable {
    private struct State {
        var numbers: [[UInt8]: Int] = [:]
        /// Tree of each known directory.
        var trees: [Int] = []
        var touched: [Int: [Int: TouchedNames]] = [:]
        /// Trees of which something may have been missed.
        var lost: Set<Int> = []
        /// File systems that are watched as a whole, or else directory by directory.
        var devices: [dev_t: Bool] = [:]
        var isClosed = false
    }

    private let descriptor: Descriptor
    private let state = Mutex(State())

    /// Nil where the kernel or our rights do not allow it.
    init?() {
        let raw = holdfast_watch_open()
        guard raw >= 0 else { return nil }
        descriptor = Descriptor(raw)
    }

    /// Takes events from the kernel until `close`, so that its queue stays short.
    func start() {
        startThread("holdfast-changes") { [self] in
            while !state.withLock({ $0.isClosed }) {
                var wanted = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
                _ = poll(&wanted, 1, 500)
                read()
                // Events about the same name are merged while they wait.
                usleep(20_000)
            }
        }
    }

    func close() { state.withLock { $0.isClosed = true } }

    /// Makes a directory known. If that fails the tree cannot be watched, and `take` says so.
    ///
    /// - Parameter tree: number of the tree that it belongs to.
    /// - Returns: the directory's number; nil if it cannot be watched.
    func register(_ directory: Descriptor, tree: Int) -> Int? {
        state.withLock { state in
            guard !state.lost.contains(tree) else { return nil }
            guard let key = key(of: directory, &state) else {
                state.lost.insert(tree)
                return nil
            }
            let number = state.trees.count
            state.trees.append(tree)
            state.numbers[key] = number
            return number
        }
    }

    /// Something may have been missed in a tree: from now on only a look at everything tells.
    func lose(tree: Int) { _ = state.withLock { $0.lost.insert(tree) } }

    /// What was touched in a tree since the last call; nil if something may have been missed.
    func take(tree: Int) -> [Int: TouchedNames]? {
        read()
        return state.withLock { state in
            guard !state.lost.contains(tree) else { return nil }
            return state.touched.removeValue(forKey: tree) ?? [:]
        }
    }

    private func key(of directory: Descriptor, _ state: inout State) -> [UInt8]? {
        var status = stat()
        guard fstat(directory.raw, &status) == 0 else { return nil }
        let isWhole =
            state.devices[status.st_dev] ?? (holdfast_watch_filesystem(descriptor.raw, directory.raw) == 0)
        state.devices[status.st_dev] = isWhole
        guard isWhole || holdfast_watch_directory(descriptor.raw, directory.raw) == 0 else { return nil }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            let length = holdfast_watch_key(directory.raw, buffer.baseAddress, buffer.count)
            return length < 0 ? nil : [UInt8](buffer[..<length])
        }
    }

    /// Reads all that waits.
    private func read() {
        state.withLock { state in
            withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 8) { buffer in
                while true {
                    let length = Glibc.read(descriptor.raw, buffer.baseAddress, buffer.count)
                    if length < 0 && errno == EINTR { continue }
                    if length < 0 && errno != EAGAIN { state.lost.formUnion(state.trees) }
                    guard length > 0 else { return }
                    Self.note(UnsafeRawBufferPointer(rebasing: buffer[..<length]), &state)
                }
            }
        }
    }

    private static func note(_ events: UnsafeRawBufferPointer, _ state: inout State) {
        var offset = 0
        var change = holdfast_change()
        while true {
            offset = holdfast_next_change(events.baseAddress, events.count, offset, &change)
            guard offset > 0 else { return }
            guard change.is_lost == 0 else {
                state.lost.formUnion(state.trees)
                continue
            }
            let key = [UInt8](UnsafeBufferPointer(start: change.key, count: change.key_length))
            guard let number = state.numbers[key], let text = change.name else { continue }
            let name = [UInt8](UnsafeRawBufferPointer(start: text, count: strlen(text)))
            // A directory that was touched itself is there without names.
            state.touched[state.trees[number], default: [:]][number, default: TouchedNames()]
                .addUnlessEmpty(name, isReplaced: change.is_replaced != 0)
        }
    }
}

extension TouchedNames {
    fileprivate mutating func addUnlessEmpty(_ name: [UInt8], isReplaced: Bool) {
        if !name.isEmpty { add(name, isReplaced: isReplaced) }
    }
}
