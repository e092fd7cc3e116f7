import Foundation

/// Room on the disks of the state directory and the sites.
package struct DiskCheck: Sendable {
    /// What a disk has.
    package struct Room: Sendable, Hashable {
        /// Bytes.
        package var free: UInt64
        package var total: UInt64
        /// Files that can still be made; nil if the file system does not count them.
        package var freeFiles: UInt64?

        package init(free: UInt64, total: UInt64, freeFiles: UInt64? = nil) {
            self.free = free
            self.total = total
            self.freeFiles = freeFiles
        }

        /// Of the disk that a path lies on; nil if there is nothing.
        package init?(at path: String) {
            var status = statvfs()
            guard statvfs(path, &status) == 0 else { return nil }
            let unit = UInt64(status.f_frsize)
            free = UInt64(status.f_bavail) * unit
            total = UInt64(status.f_blocks) * unit
            freeFiles = status.f_files > 0 ? UInt64(status.f_favail) : nil
        }
    }

    /// What may not be gone below, in bytes.
    static let least: UInt64 = 512 << 20
    static let leastFiles: UInt64 = 1000

    package init() {}

    /// Judges one disk.
    ///
    /// - Parameters:
    ///   - name: such as `site site-a`.
    ///   - largest: logical bytes of the largest backup that a restore would write there; 0 for sites.
    package func finding(_ name: String, _ path: String, _ room: Room?, largest: UInt64 = 0) -> Finding {
        let check = "disk"
        // That a folder is away is the sites' check to say.
        guard let room else { return .note(check, "the disk of \(name) cannot be looked at") }
        let free = Self.text(room.free)
        if room.free < Self.least {
            return .wrong(check, "\(name) has \(free) left at \(path)", "Free space there, or move it to a larger disk")
        }
        if let files = room.freeFiles, files < Self.leastFiles {
            return .wrong(check, "\(name) can take \(files) files more at \(path)", "Remove files there")
        }
        if room.free < largest {
            return .wrong(
                check, "a restore of the largest backup needs \(Self.text(largest)), and \(name) has \(free) left",
                "Free space at \(path): a restore is written beside what runs")
        }
        if room.free < room.total / 10 {
            return .note(check, "\(name) has \(free) left, less than a tenth, at \(path)", "Watch it")
        }
        return .good(check, "\(name) has \(free) left")
    }

    private static func text(_ bytes: UInt64) -> String {
        let gigabytes = Double(bytes) / 1e9
        return gigabytes >= 1 ? String(format: "%.1f GB", gigabytes) : "\(bytes / 1_000_000) MB"
    }
}
