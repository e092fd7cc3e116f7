import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel

/// Exchanges two folders.
package enum FolderSwap {
    /// In one step where the file system can; else with two renames, between which the first name is not there. It is
    /// durable when the call returns.
    ///
    /// - Parameters:
    ///   - one: absolute; neither is a symbolic link, which would be exchanged itself.
    ///   - two: in the same folder.
    package static func exchange(_ one: String, _ two: String) throws {
        try rename(one, two)
        let folder = try Descriptor.directory((one as NSString).deletingLastPathComponent)
        guard fsync(folder.raw) == 0 else { throw systemError("sync the folder of", one) }
    }

    private static func rename(_ one: String, _ two: String) throws {
        if holdfast_exchange(one, two) == 0 { return }
        let aside = two + ".old"
        guard Glibc.rename(one, aside) == 0 else { throw failure(one) }
        guard Glibc.rename(two, one) == 0 else {
            let error = failure(two)
            Glibc.rename(aside, one)
            throw error
        }
        guard Glibc.rename(aside, two) == 0 else { throw failure(aside) }
    }

    private static func failure(_ path: String) -> HoldfastError {
        HoldfastError(
            .system, "cannot rename \(path): \(String(cString: strerror(errno)))",
            hint: "Make a new repository elsewhere, and use 'copy', if this folder is a mount point")
    }
}
