import Glibc
import HoldfastModel

/// A repository in a folder, in the layout of restic's local backend, so that `restic -r <root>` reads the same files.
///
/// ```
/// root/                0700
///   config             0600
///   keys/ locks/ snapshots/ index/      one file per object, named by its hash
///   data/00 ... data/ff/                packs, by the first two digits of their name
/// ```
/// Source: restic, `doc/design.rst`, "Repository Layout".
///
/// An object is written under a temporary name in its own folder, synced, renamed, and the folder synced. The writer
/// holds a lock (`flock`) on the temporary file, so that files left behind by a process that was killed can be told
/// from files being written; listing removes those that are left behind.
///
/// The store is there if `root/data` is a folder. If it is not, every call fails with `unavailable`, because the disk
/// may not be mounted: nothing is ever created in its place. Only `create(root:inside:)` makes a store.
public struct FileBlobStore: BlobStore {
    /// Absolute path of the folder, as it was given.
    public let root: String
    private let hook: FileHook?

    /// Names the folder; nothing is read or created, and a missing folder is reported by each call.
    public init(root: String) { self.init(root: root, hook: nil) }

    /// - Parameter hook: sees every call that changes something on the disk; for tests.
    package init(root: String, hook: FileHook?) {
        self.root = root
        self.hook = hook
    }

    /// Makes an empty store with all its folders, or completes one that is there.
    ///
    /// - Parameters:
    ///   - root: The new store's folder.
    ///   - folder: A folder above `root` that must exist, such as a site's; missing folders between it and `root`
    ///     are made. Without it the folder directly above `root` must exist.
    /// - Throws: `unavailable` if the folder above does not exist; `conflict` if `root` holds something that is not a
    ///   store; `invalidInput` if `root` is not below `folder`; `noSpace`, `system`.
    public static func create(root: String, inside folder: String? = nil) throws -> FileBlobStore {
        try create(root: root, inside: folder, hook: nil)
    }

    /// As above, with a hook as `init(root:hook:)` takes it.
    package static func create(root: String, inside folder: String? = nil, hook: FileHook?) throws -> FileBlobStore {
        let store = FileBlobStore(root: root, hook: hook)
        for parent in try missingParents(of: root, inside: folder) { try makeFolder(parent, hook) }
        try makeFolder(root, hook)
        if !store.isPresent {
            guard try directoryEntries(root).allSatisfy({ $0 == "lost+found" }) else {
                throw HoldfastError(
                    .conflict, "\(root) is not empty, and not a repository",
                    hint: "Choose an empty folder for the repository")
            }
        }
        for kind in BlobKind.allCases where kind.isOfRestic && kind != .config && kind != .data {
            try makeFolder("\(root)/\(kind.folder)", hook, syncing: false)
        }
        // `data` is what marks a store as there, so it comes last.
        try syncFolder(root, hook)
        try makeFolder("\(root)/data", hook)
        for number in 0..<256 {
            let name = String(number + 256, radix: 16).dropFirst()
            try makeFolder("\(root)/data/\(name)", hook, syncing: false)
        }
        try syncFolder("\(root)/data", hook)
        return store
    }

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        try name.validate()
        if try isStored(name, bytes) { return try syncFolder(folder(of: name), hook) }
        let file = try temporaryFile(for: name)
        do {
            try file.write(bytes)
            try install(file, as: name, bytes)
        } catch {
            file.discard()
            throw located(error)
        }
        file.close()
        do { try syncFolder(folder(of: name), hook) } catch { throw located(error) }
    }

    public func get(_ name: BlobName) throws -> [UInt8] {
        let file = try open(name)
        defer { file.close() }
        return try file.read(0..<file.size())
    }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        let file = try open(name)
        defer { file.close() }
        let size = try file.size()
        guard range.lowerBound >= 0, range.upperBound <= size else { throw name.tooShort(for: range, size: size) }
        return try file.read(range)
    }

    public func size(_ name: BlobName) throws -> Int {
        let file = try open(name)
        defer { file.close() }
        return try file.size()
    }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] {
        switch kind {
        case .config:
            do {
                return [BlobEntry(name: .config, size: try size(.config))]
            } catch let error as HoldfastError where error.code == .notFound {
                return []
            }
        case .key, .lock, .snapshot, .index, .deletion, .record:
            return try list(kind, in: "\(root)/\(kind.folder)")
        case .data:
            guard isPresent else { throw missing }
            var entries: [BlobEntry] = []
            for prefix in try directoryEntries("\(root)/data") where prefix.utf8.count == 2 {
                entries += try list(kind, in: "\(root)/data/\(prefix)")
            }
            return entries
        }
    }

    public func delete(_ name: BlobName) throws {
        try name.validate()
        let path = path(of: name)
        try hook?(.unlink(path: path))
        guard unlink(path) == 0 else {
            let number = errno
            guard number == ENOENT || number == ENOTDIR else { throw systemError(number, "cannot delete \(path)") }
            guard isPresent else { throw missing }
            // Whoever deleted it may have been killed before that was durable.
            if isFolder(folder(of: name)) { try syncFolder(folder(of: name), hook) }
            return
        }
        do { try syncFolder(folder(of: name), hook) } catch { throw located(error) }
    }

    public func device() -> UInt64? {
        var status = stat()
        guard stat(root, &status) == 0 else { return nil }
        return UInt64(status.st_dev)
    }

    /// Removes temporary files that a killed process left behind, in all folders. Those being written now stay.
    ///
    /// - Returns: How many were removed.
    @discardableResult
    public func removeLeftovers() throws -> Int {
        guard isPresent else { throw missing }
        var folders = BlobKind.allCases.map { $0 == .config ? root : "\(root)/\($0.folder)" }
        folders += try directoryEntries("\(root)/data").filter { $0.utf8.count == 2 }.map { "\(root)/data/\($0)" }
        var removed = 0
        for folder in folders {
            for entry in (try? directoryEntries(folder)) ?? [] where TemporaryFile.isTemporary(entry) {
                if try TemporaryFile.removeIfAbandoned("\(folder)/\(entry)", hook) { removed += 1 }
            }
        }
        return removed
    }
}

extension FileBlobStore {
    private var isPresent: Bool { isFolder("\(root)/data") }

    private var missing: HoldfastError {
        HoldfastError(
            .unavailable, "there is no repository in \(root)",
            hint: "Check that its disk is mounted; if the folder is lost, rebuild it from another site")
    }

    private func path(of name: BlobName) -> String { "\(root)/\(name.path)" }

    private func folder(of name: BlobName) -> String {
        switch name.kind {
        case .config: root
        case .data: "\(root)/data/\(name.name.prefix(2))"
        case .key, .lock, .snapshot, .index, .deletion, .record: "\(root)/\(name.kind.folder)"
        }
    }

    /// The error, or `unavailable` if the cause is that the whole store went away.
    private func located(_ error: any Error) -> any Error {
        guard let error = error as? HoldfastError, error.code == .system || error.code == .unavailable else {
            return error
        }
        return isPresent ? error : missing
    }

    private func open(_ name: BlobName) throws -> OpenFile {
        try name.validate()
        let path = path(of: name)
        do {
            guard let file = try OpenFile(reading: path) else { throw isPresent ? name.notFound : missing }
            return file
        } catch {
            throw located(error)
        }
    }

    /// Whether exactly these bytes lie under that name; then they are durable. A config with other bytes is an error.
    private func isStored(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws -> Bool {
        let file: OpenFile
        do {
            guard let found = try OpenFile(reading: path(of: name)) else { return false }
            file = found
        } catch let error as HoldfastError where error.code == .damaged && name.kind != .config {
            return false
        }
        defer { file.close() }
        guard try file.holds(bytes) else {
            if name.kind == .config { throw name.differentConfig }
            return false
        }
        try file.sync(hook)
        return true
    }

    private func temporaryFile(for name: BlobName) throws -> TemporaryFile {
        let folder = folder(of: name)
        // The config lies in the root itself, which is there even if it is only a bare mount point.
        guard name.kind != .config || isPresent else { throw missing }
        do {
            if let file = try TemporaryFile(in: folder, for: name.name, hook) { return file }
            guard isPresent else { throw missing }
            // Another tool may leave out empty folders. Only the last one is made, and only inside of a store.
            try Self.makeFolder(folder, hook)
            if let file = try TemporaryFile(in: folder, for: name.name, hook) { return file }
            throw missing
        } catch {
            throw located(error)
        }
    }

    /// Gives the finished temporary file its name.
    private func install(_ file: TemporaryFile, as name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        let path = path(of: name)
        guard name.kind == .config else { return try file.rename(to: path) }
        // A config must never replace another one, not even if two are written at the same time.
        guard try file.link(as: path) == false else { return }
        guard try isStored(name, bytes) else {
            throw HoldfastError(.unavailable, "\(path) was removed while it was being written")
        }
    }

    private func list(_ kind: BlobKind, in folder: String) throws -> [BlobEntry] {
        guard let directory = try OpenDirectory(folder) else {
            guard isPresent else { throw missing }
            return []
        }
        defer { directory.close() }
        var entries: [BlobEntry] = []
        while let entry = try directory.next() {
            let name = BlobName(kind: kind, name: entry)
            if name.isValid {
                if let size = try directory.sizeOfFile(entry) { entries.append(BlobEntry(name: name, size: size)) }
            } else if TemporaryFile.isTemporary(entry) {
                try TemporaryFile.removeIfAbandoned("\(folder)/\(entry)", hook)
            }
        }
        return entries
    }

    /// The folders between `folder` and `root` that have to be made, outermost first.
    private static func missingParents(of root: String, inside folder: String?) throws -> [String] {
        let parts = root.split(separator: "/")
        let above = folder.map { $0.split(separator: "/") } ?? parts.dropLast()
        guard root.hasPrefix("/"), parts.count > above.count, parts.starts(with: above),
            !parts.contains("..")
        else {
            throw HoldfastError(
                .invalidInput, "'\(root)' is not a folder below '\(folder ?? "/")'", hint: "Use an absolute path")
        }
        let existing = "/" + above.joined(separator: "/")
        guard isFolder(existing) else {
            throw HoldfastError(
                .unavailable, "there is no folder \(existing)", hint: "Check that its disk is mounted, or make it")
        }
        return (above.count + 1..<parts.count).map { "/" + parts.prefix($0).joined(separator: "/") }
    }

    /// Makes one folder with mode 0700, and its name durable; no error if it is there.
    private static func makeFolder(_ path: String, _ hook: FileHook?, syncing: Bool = true) throws {
        try hook?(.makeFolder(path: path))
        if mkdir(path, 0o700) != 0 {
            let number = errno
            guard number == EEXIST, isFolder(path) else { throw systemError(number, "cannot make the folder \(path)") }
        }
        // Also if it was there: whoever made it may have been killed before this.
        if syncing { try syncFolder(parent(of: path), hook) }
    }
}
