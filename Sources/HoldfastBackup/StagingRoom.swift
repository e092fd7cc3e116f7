import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Whether there is room for what a hold copies aside. Nobody is to be held for what cannot succeed.
///
/// It says no only when it is sure: needs are the least that is copied, nothing is kept in reserve, and copies that
/// share their blocks with what they are of need no room.
package struct StagingRoom: Sendable {
    /// What a file system has left.
    package struct Free: Sendable, Hashable {
        /// Folders with the same number are on the same one.
        package var fileSystem: UInt64
        /// Bytes that this process may still write.
        package var bytes: Int64

        package init(fileSystem: UInt64, bytes: Int64) {
            self.fileSystem = fileSystem
            self.bytes = bytes
        }

        /// Of the file system that a folder is on; nil if it does not say.
        package init?(at folder: String) {
            var room = statvfs()
            var status = stat()
            // Without a size there is no bound, or none that is known.
            guard statvfs(folder, &room) == 0, room.f_blocks > 0, stat(folder, &status) == 0 else { return nil }
            let blocks = UInt64(geteuid() == 0 ? room.f_bfree : room.f_bavail)
            let (bytes, isMore) = blocks.multipliedReportingOverflow(by: UInt64(room.f_frsize))
            self.init(fileSystem: UInt64(status.st_dev), bytes: isMore ? .max : Int64(clamping: bytes))
        }
    }

    private let free: @Sendable (String) -> Free?
    private let shares: @Sendable (String, String) -> Bool

    /// - Parameters:
    ///   - free: what is left where a folder is; nil if nobody knows.
    ///   - shares: whether copies of what is in a directory, made in a folder, share its blocks.
    package init(
        free: @escaping @Sendable (_ folder: String) -> Free? = { Free(at: $0) },
        shares: @escaping @Sendable (_ directory: String, _ folder: String) -> Bool = { directory, folder in
            (try? StagingForecast(of: directory, into: folder))?.isShared ?? false
        }
    ) {
        self.free = free
        self.shares = shares
    }

    /// - Throws: `noSpace` with what is needed, what is free, and where, if the needs on one file system are more than
    ///   it has left.
    package func check(_ needs: [StagingNeed]) throws {
        var left: [UInt64: Int64] = [:]
        var wanted: [UInt64: [StagingNeed]] = [:]
        for need in needs where need.bytes > 0 {
            guard let found = free(need.folder) else { continue }
            left[found.fileSystem] = found.bytes
            wanted[found.fileSystem, default: []].append(need)
        }
        for (fileSystem, needs) in wanted.sorted(by: { $0.key < $1.key }) {
            let bytes = left[fileSystem] ?? .max
            guard Self.sum(needs) > bytes else { continue }
            // Only now: it writes two small files.
            let taking = needs.filter { need in !(need.source.map { shares($0, need.folder) } ?? false) }
            guard Self.sum(taking) > bytes else { continue }
            throw HoldfastError(
                .noSpace,
                "no room for what the hold would copy aside: it needs \(ByteCount(Self.sum(taking))), and "
                    + "\(ByteCount(bytes)) are free at \(taking.map(\.folder).joined(separator: ", "))",
                hint: "Free space there, or use a file system on which copies share their blocks (XFS, btrfs)")
        }
    }

    private static func sum(_ needs: [StagingNeed]) -> Int64 { needs.reduce(0) { $0 + $1.bytes } }
}
