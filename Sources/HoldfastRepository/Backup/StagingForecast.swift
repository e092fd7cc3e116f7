import CHoldfastFiles
import Glibc
import HoldfastModel

/// How `stageChanges` would work on a directory now.
public struct StagingForecast: Sendable, Hashable {
    /// What changed would be told by the kernel; else every entry is looked at.
    public let isWatched: Bool
    /// What changed would be shared with its copy; else it is copied.
    public let isShared: Bool

    /// - Parameters:
    ///   - directory: what would be staged.
    ///   - staging: where copies would go; a small file is made there and removed.
    /// - Throws: `system` or `noSpace` if the directory cannot be opened or nothing can be written to `staging`.
    public init(of directory: String, into staging: String) throws {
        let source = try Walk.root(directory)
        isWatched = ChangeWatch()?.register(source, tree: 1) != nil
        isShared = try Self.canShare(source, directory, with: staging)
    }

    /// Tries it with a file that is ours: one of theirs need not be there, or be readable.
    private static func canShare(_ source: Descriptor, _ path: String, with staging: String) throws -> Bool {
        let target = try Descriptor.directory(staging)
        guard try Walk.status(source, path: path).st_dev == Walk.status(target, path: staging).st_dev else {
            return false
        }
        let names: [[UInt8]] = [Array("probe-1".utf8), Array("probe-2".utf8)]
        defer { for name in names { _ = withCName(name) { unlinkat(target.raw, $0, 0) } } }
        let files = try names.map { name in
            let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
            let raw = withCName(name) { openat(target.raw, $0, flags, 0o600) }
            guard raw >= 0 else { throw systemError("make a file in", staging) }
            return Descriptor(raw)
        }
        try withUnsafeBytes(of: UInt64(0)) { try writeFully(files[0].raw, $0, path: staging) }
        return holdfast_clone(files[1].raw, files[0].raw) == 0
    }
}
