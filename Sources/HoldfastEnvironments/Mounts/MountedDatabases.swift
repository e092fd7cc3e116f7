import CHoldfastFiles
import Foundation
import HoldfastModel

/// The SQLite databases below a directory that apps write to.
package struct MountedDatabases: Sendable {
    /// So many are held at once; each takes two descriptors.
    private static let limit = 128
    private static let deepest = 64
    private static let magic = Array("SQLite format 3\0".utf8)

    let root: String
    /// Relative to the directory; those that changed last come first.
    package let paths: [String]

    /// Looks for databases: regular files of whole pages that begin as one. Links are not followed, and what cannot be
    /// looked at is none.
    ///
    /// - Parameter directory: absolute path, in a directory that only the control plane writes to.
    package init(below directory: String) {
        root = directory
        var found: [(path: String, changed: Int)] = []
        if let top = try? GuardedDirectory(directory) { Self.search(top, "", depth: 0, &found) }
        found.sort { ($1.changed, $0.path) < ($0.changed, $1.path) }
        paths = found.prefix(Self.limit).map(\.path)
    }

    private static func search(
        _ directory: GuardedDirectory, _ prefix: String, depth: Int, _ found: inout [(path: String, changed: Int)]
    ) {
        guard depth < deepest, let names = try? directory.names() else { return }
        for name in names {
            guard let status = try? directory.status(name) else { continue }
            switch status.st_mode & S_IFMT {
            case S_IFDIR:
                guard let inner = try? directory.directory(name) else { continue }
                search(inner, "\(prefix)\(name)/", depth: depth + 1, &found)
            case S_IFREG:
                // The smallest page; a look at the size spares opening nearly all other files.
                guard status.st_size > 0, status.st_size % 512 == 0, isDatabase(name, in: directory) else { continue }
                found.append((prefix + name, Int(status.st_ctim.tv_sec)))
            default: continue
            }
        }
    }

    private static func isDatabase(_ name: String, in directory: GuardedDirectory) -> Bool {
        guard let file = try? directory.openFile(name) else { return false }
        defer { close(file.descriptor) }
        var bytes = [UInt8](repeating: 0, count: magic.count)
        return pread(file.descriptor, &bytes, magic.count, 0) == magic.count && bytes == magic
    }

    /// Keeps the databases from changing until the result is released or gone.
    ///
    /// - Parameter patience: for those that are just being written; meanwhile writers of the others wait.
    package func hold(patience: Duration = .seconds(1), time: any TimeSource) -> HeldDatabases {
        HeldDatabases(self, patience: patience, time: time)
    }
}

/// Databases that stand still: whoever copies them gets what a reader would see.
///
/// SQLite's own locks for readers do it, taken on the files alone; nothing of them is interpreted, mapped or written:
/// - The shared lock on the database: without a log, a writer cannot touch the database under it. A journal that it
///   has begun takes back nothing, because nothing is changed. With a log, nobody can end that or remove it.
/// - In the log's index, the checkpointer's lock and one of the readers': the database stays as it is, and the log only
///   becomes longer. The part of it that is copied ends, as after a crash, with the last transaction that is complete.
///
/// The locks belong to the open file, so no other use of the file in this process drops them.
package final class HeldDatabases {
    /// Which file it is, whatever its name.
    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }

        init?(_ descriptor: Int32) {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return nil }
            self.init(status)
        }
    }

    private struct Lock {
        let path: String
        let database: Int32
        /// The log's index; nil if nobody had one.
        let index: Int32?
    }

    private let root: String
    private var locks: [Lock] = []
    /// Paths of those that stood still all the time; final after `release`.
    package private(set) var held: [String] = []
    /// Paths of those that did not.
    package private(set) var missed: [String] = []

    init(_ databases: MountedDatabases, patience: Duration, time: any TimeSource) {
        root = databases.root
        let deadline = Deadline(after: patience, time: time)
        var open = databases.paths
        while true {
            open = open.filter { path in
                guard let lock = try? take(path) else { return true }
                locks.append(lock)
                return false
            }
            if open.isEmpty || deadline.hasPassed { break }
            Thread.sleep(forTimeInterval: 0.002)
        }
        held = locks.map(\.path)
        missed = open
    }

    deinit { closeAll() }

    /// Lets writers go on. Says in `held` and `missed` which databases were the same files all the time.
    package func release() {
        for lock in locks where !isSame(lock) {
            held.removeAll { $0 == lock.path }
            missed.append(lock.path)
        }
        closeAll()
    }

    private func closeAll() {
        for lock in locks {
            close(lock.database)
            if let index = lock.index { close(index) }
        }
        locks = []
    }

    private func parent(of path: String) throws -> (directory: GuardedDirectory, name: String) {
        let parts = path.split(separator: "/").map(String.init)
        var directory = try GuardedDirectory(root)
        for part in parts.dropLast() { directory = try directory.directory(part) }
        return (directory, parts.last ?? "")
    }

    /// - Returns: nil if somebody writes just now.
    private func take(_ path: String) throws -> Lock? {
        let (directory, name) = try parent(of: path)
        let database = try directory.openFile(name).descriptor
        guard Self.lockDatabase(database) else {
            close(database)
            return nil
        }
        do {
            let index = try directory.openFile("\(name)-shm").descriptor
            if Self.lockIndex(index) { return Lock(path: path, database: database, index: index) }
            close(index)
        } catch let error as HoldfastError where error.code == .notFound {
            return Lock(path: path, database: database, index: nil)
        } catch {}
        close(database)
        return nil
    }

    /// Nobody put other files at the names, and no log was begun that is not locked.
    private func isSame(_ lock: Lock) -> Bool {
        guard let (directory, name) = try? parent(of: lock.path), let database = try? directory.status(name),
            Identity(database) == Identity(lock.database)
        else { return false }
        let index = (try? directory.status("\(name)-shm")).map { Identity($0) }
        return index == lock.index.flatMap { Identity($0) }
    }

    // MARK: Where SQLite has its locks

    private static let pending = 0x4000_0000
    private static let shared = (first: 0x4000_0002, count: 510)
    /// Bytes of the log's index: the checkpointer's lock, and the last of those of readers. A log that begins anew
    /// needs the locks of all readers; the others are left to readers.
    private static let checkpointer = 121
    private static let lastReader = 127

    private static func lockDatabase(_ file: Int32) -> Bool {
        // A writer that waits for its turn has this one, and readers let it go first.
        guard holdfast_lock_for_reading(file, pending, 1) == 0 else { return false }
        defer { _ = holdfast_unlock(file, pending, 1) }
        return holdfast_lock_for_reading(file, shared.first, shared.count) == 0
    }

    private static func lockIndex(_ file: Int32) -> Bool {
        holdfast_lock_for_reading(file, checkpointer, 1) == 0 && holdfast_lock_for_reading(file, lastReader, 1) == 0
    }
}

/// Files of a live backup whose copies may be torn.
package struct TornFiles: Sendable, Hashable {
    /// So many are said; of the others only how many they are.
    private static let said = 10

    /// Relative to the mount, sorted.
    package let paths: [String]

    /// - Parameters:
    ///   - unstable: paths of files that changed while they were copied.
    ///   - held: databases that stood still meanwhile: their logs may grow.
    ///   - missed: databases that did not stand still.
    package init(unstable: [String], held: [String] = [], missed: [String] = []) {
        let fine = Set(held.flatMap { [$0, "\($0)-wal", "\($0)-shm", "\($0)-journal"] })
        paths = Set(unstable).subtracting(fine).union(missed).sorted()
    }

    /// For people. Apps choose the names, so nothing of them but text is left.
    package static func summary(of paths: [String]) -> String {
        let names = paths.prefix(said).map(text)
        let more = paths.count - names.count
        return names.joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
    }

    private static func text(_ path: String) -> String {
        var text = String.UnicodeScalarView()
        for scalar in path.unicodeScalars.prefix(200) { text.append(isText(scalar) ? scalar : "?") }
        return String(text)
    }

    private static func isText(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
        default: true
        }
    }
}
