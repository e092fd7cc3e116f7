import Glibc
import HoldfastModel

/// What lies below some directories, counted without reading any file: for an estimate of the time that is left.
package struct BackupScan: Sendable, Hashable {
    package private(set) var files = 0
    package private(set) var bytes: Int64 = 0

    package init() {}

    /// Adds a file or a directory with all that is in it; what cannot be looked at is left out.
    ///
    /// - Parameter isWanted: asked from time to time; the count ends when nobody wants it any more.
    package mutating func add(_ path: String, filter: CaptureFilter, while isWanted: () -> Bool) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { return count(status) }
        var open = [(path: path, relative: "")]
        while let (path, relative) = open.popLast(), isWanted() {
            guard let directory = try? Descriptor.directory(path),
                let names = try? directoryNames(directory, path: path)
            else { continue }
            for name in names {
                let place = Walk.join(relative, name)
                if filter.excludes(place) { continue }
                guard let status = try? Walk.status(directory, name, path: place) else { continue }
                if status.st_mode & S_IFMT == S_IFDIR {
                    open.append((path + "/" + display(name), place))
                } else {
                    count(status)
                }
            }
        }
    }

    private mutating func count(_ status: stat) {
        guard status.st_mode & S_IFMT == S_IFREG else { return }
        files += 1
        bytes += Int64(status.st_size)
    }
}
