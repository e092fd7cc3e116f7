import Foundation
import Glibc
import HoldfastModel

/// Where a machine keeps what it read of repositories: index files, decoded, and trees. It may be removed at any time.
///
/// Each repository has a folder named by its id, with mode 0700. A file in it is sealed with the repository's key, and
/// says of what object it is; one that does not open is removed, and read from the repository again. Files are written
/// under a temporary name and renamed, so that several processes may share a cache.
public struct LocalCache: Sendable, Hashable {
    /// Absolute path of the folder for all repositories.
    public let directory: String
    /// Bytes that one repository's files may take; beyond it those that were not read for longest go.
    public let limit: Int
    /// Whether trees are kept too: worth it only if the repository is farther away than a disk.
    public let keepsTrees: Bool

    /// - Parameter limit: in bytes; 1 GiB by default.
    public init(directory: String, limit: Int = 1 << 30, keepsTrees: Bool = false) {
        self.directory = directory
        self.limit = limit
        self.keepsTrees = keepsTrees
    }

    /// The user's own: `$XDG_CACHE_HOME/holdfast`, or `~/.cache/holdfast`; nil if neither is known.
    ///
    /// Source: XDG Base Directory Specification, which wants an absolute path.
    public static func standardDirectory(_ environment: [String: String]) -> String? {
        if let path = environment["XDG_CACHE_HOME"], path.hasPrefix("/") { return "\(path)/holdfast" }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return "\(home)/.cache/holdfast"
    }
}

/// The cache of one open repository. Thread-safe; whatever goes wrong in it is as if it held nothing.
final class RepositoryCache: Sendable {
    enum Kind: String {
        case index
        case tree
    }

    private static let suffix = ".tmp"
    let keepsTrees: Bool
    private let path: String
    private let key: MasterKey
    private let limit: Int

    /// - Returns: nil if the folder cannot be made, or is not the caller's own.
    init?(_ cache: LocalCache, repository: String, key: MasterKey) {
        path = "\(cache.directory)/\(repository)"
        self.key = key
        limit = cache.limit
        keepsTrees = cache.keepsTrees
        for folder in [cache.directory, path, "\(path)/index", "\(path)/tree"] {
            guard Self.makeFolder(folder) else { return nil }
        }
    }

    private static func makeFolder(_ folder: String) -> Bool {
        if mkdir(folder, 0o700) != 0 && errno == ENOENT {
            try? FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        var status = stat()
        return lstat(folder, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & 0o077 == 0
    }

    /// What was kept of an object; nil if nothing was, or it is damaged.
    func load(_ kind: Kind, _ id: ObjectID) -> [UInt8]? {
        let file = file(kind, id)
        let raw = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let descriptor = Descriptor(raw)
        guard let sealed = Self.readAll(descriptor),
            let plain = try? SealingContext(key).opened(sealed), plain.starts(with: Self.mark(kind, id))
        else {
            unlink(file)
            return nil
        }
        return Array(plain.dropFirst(Self.mark(kind, id).count))
    }

    /// Keeps something. Not synced: after a crash a torn file does not open.
    func keep(_ kind: Kind, _ id: ObjectID, _ bytes: [UInt8]) {
        guard let sealed = try? SealingContext(key).sealed(Self.mark(kind, id) + bytes), sealed.count <= limit else {
            return
        }
        let target = file(kind, id)
        let temporary = "\(target).\(String(UInt64.random(in: 0 ... .max), radix: 16))\(Self.suffix)"
        let raw = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return }
        let descriptor = Descriptor(raw)
        let isWritten = sealed.withUnsafeBytes { (try? writeFully(descriptor.raw, $0, path: temporary)) != nil }
        if !isWritten || rename(temporary, target) != 0 { unlink(temporary) }
    }

    /// Removes index files that the repository has no more, and what is beyond the limit, oldest first.
    func trim(index present: Set<ObjectID>) {
        var files: [(path: String, size: Int, read: Timestamp)] = []
        for kind in [Kind.index, .tree] {
            let folder = "\(path)/\(kind.rawValue)"
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                let file = "\(folder)/\(name)"
                var status = stat()
                guard lstat(file, &status) == 0 else { continue }
                let isGone = kind == .index && ObjectID(hex: name).map { !present.contains($0) } ?? false
                let isAbandoned = name.hasSuffix(Self.suffix) && status.st_mtim.tv_sec < Self.yesterday(path)
                if isGone || isAbandoned {
                    unlink(file)
                } else {
                    files.append((file, Int(status.st_size), max(Timestamp(status.st_atim), Timestamp(status.st_mtim))))
                }
            }
        }
        var total = files.reduce(0) { $0 + $1.size }
        for file in files.sorted(by: { $0.read < $1.read }) where total > limit {
            unlink(file.path)
            total -= file.size
        }
    }

    /// A day before now by the clock of the file system, of which the folder was touched just now.
    private static func yesterday(_ folder: String) -> Int {
        utimensat(AT_FDCWD, folder, nil, 0)
        var status = stat()
        return lstat(folder, &status) == 0 ? status.st_mtim.tv_sec - 86_400 : Int.min
    }

    private func file(_ kind: Kind, _ id: ObjectID) -> String { "\(path)/\(kind.rawValue)/\(id)" }

    /// Begins every plain text, so that a file put under another name is not believed.
    private static func mark(_ kind: Kind, _ id: ObjectID) -> [UInt8] {
        Array("holdfast \(kind.rawValue) 1 \(id)\n".utf8)
    }

    private static func readAll(_ descriptor: Descriptor) -> [UInt8]? {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size <= SealingContext.longest
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                read(descriptor.raw, buffer.baseAddress.map { $0 + done }, buffer.count - done)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return nil }
            done += count
        }
        return bytes
    }
}
