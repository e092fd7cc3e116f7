import Glibc
import HoldfastBlobStore
import HoldfastModel
import Synchronization

/// What a disk holds after a loss of power, worked out from the calls that a `FileBlobStore` made.
///
/// The model is the weakest that POSIX allows: bytes of a file are safe when the file was synced; a name is made,
/// changed or removed for good when its folder was synced. Anything else may have happened or not, each for itself: so
/// later changes may survive that earlier ones do not. A rename is never seen half.
package struct DiskModel: Sendable {
    private struct File: Sendable {
        var bytes: [UInt8] = []
        /// How many of the bytes are safe.
        var durable = 0
    }

    /// A change of the names in one folder that is not safe yet; nil removes the name.
    private struct Change: Sendable {
        var names: [(path: String, file: Int?)]
    }

    private var files: [File] = []
    /// What a program sees.
    private var seen: [String: Int] = [:]
    /// What is safe.
    private var safe: [String: Int] = [:]
    /// By folder, oldest first.
    private var pending: [String: [Change]] = [:]

    /// - Parameter root: of a repository that is safe as it is.
    package init(durable root: String, store: FileBlobStore) throws {
        for kind in BlobKind.allCases {
            for entry in try store.list(kind) {
                let bytes = try store.get(entry.name)
                files.append(File(bytes: bytes, durable: bytes.count))
                seen["\(root)/\(entry.name.path)"] = files.count - 1
            }
        }
        safe = seen
    }

    /// Takes note of a call that succeeds.
    package mutating func note(_ call: FileCall) {
        switch call {
        case .create(let path):
            files.append(File())
            change([(path, files.count - 1)])
        case .write(let path, _, let bytes):
            if let file = seen[path] { files[file].bytes += Array(bytes) }
        case .sync(let path):
            if let file = seen[path] { files[file].durable = files[file].bytes.count }
        case .rename(let path, let target): change([(path, nil), (target, seen[path])])
        case .link(let path, let target): change([(target, seen[path])])
        case .unlink(let path): change([(path, nil)])
        // Folders are made with the repository, and are safe.
        case .makeFolder: break
        case .syncFolder(let path):
            for change in pending.removeValue(forKey: path) ?? [] { Self.apply(change, to: &safe) }
        }
    }

    private mutating func change(_ names: [(path: String, file: Int?)]) {
        let change = Change(names: names)
        Self.apply(change, to: &seen)
        pending[Self.folder(of: names[0].path), default: []].append(change)
    }

    private static func apply(_ change: Change, to names: inout [String: Int]) {
        for (path, file) in change.names { names[path] = file }
    }

    private static func folder(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// Which of what is not safe survives.
    package enum Loss: CaseIterable, Sendable {
        /// Nothing.
        case all
        /// All names, and no bytes that were not synced: files are there, and empty.
        case bytes
        /// Each change of a name for itself, and each file up to a random length.
        case random
    }

    /// The files after a loss of power, by path.
    package func survivors(of loss: Loss, using generator: inout some RandomNumberGenerator) -> [String: [UInt8]] {
        var names = safe
        for folder in pending.keys.sorted() where loss != .all {
            for change in pending[folder] ?? [] where loss == .bytes || Bool.random(using: &generator) {
                Self.apply(change, to: &names)
            }
        }
        return names.mapValues { number in
            let file = files[number]
            guard loss == .random else { return Array(file.bytes[..<file.durable]) }
            return Array(file.bytes[..<Int.random(in: file.durable...file.bytes.count, using: &generator)])
        }
    }

    /// The files as programs see them, when the process dies and the machine goes on.
    package var visible: [String: [UInt8]] { seen.mapValues { files[$0].bytes } }
}

/// The hook of a `FileBlobStore` whose process dies at its n-th call that changes the disk.
package final class FileCrash: Sendable {
    private struct State {
        var calls = 0
        var hasStopped = false
        var model: DiskModel?
        var history: [DiskModel] = []
    }

    private let stop: Int
    private let writesHalf: Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - stop: number of the call before which the end comes, counted from 1.
    ///   - writesHalf: whether half of the bytes are written if that call is a write.
    ///   - model: is told of every call until then.
    package init(stop: Int, writesHalf: Bool = false, model: DiskModel? = nil) {
        self.stop = stop
        self.writesHalf = writesHalf
        state = Mutex(State(model: model))
    }

    package var hasStopped: Bool { state.withLock { $0.hasStopped } }
    /// The disk now.
    package var model: DiskModel? { state.withLock { $0.model } }
    /// The disk before each call.
    package var history: [DiskModel] { state.withLock { $0.history } }

    package var hook: FileHook {
        { [self] call in try see(call) }
    }

    private func see(_ call: FileCall) throws {
        let end = HoldfastError(.cancelled, "this process is dead")
        let isLast = try state.withLock { state in
            if state.hasStopped { throw end }
            state.calls += 1
            if state.calls == stop {
                state.hasStopped = true
                return true
            }
            if let model = state.model { state.history.append(model) }
            state.model?.note(call)
            return false
        }
        guard isLast else { return }
        if writesHalf, case .write(_, let descriptor, let bytes) = call {
            _ = write(descriptor, bytes.baseAddress, bytes.count / 2)
        }
        throw end
    }
}
