import CHoldfastFiles
import Glibc
import HoldfastModel

/// Exchanges two folders.
package enum FolderSwap {
    /// In one step where the file system can; else with two renames, between which the first name is not there.
    package static func exchange(_ one: String, _ two: String) throws {
        if holdfast_exchange(one, two) == 0 { return }
        let aside = two + ".old"
        guard rename(one, aside) == 0 else { throw failure(one) }
        guard rename(two, one) == 0 else {
            let error = failure(two)
            rename(aside, one)
            throw error
        }
        guard rename(aside, two) == 0 else { throw failure(aside) }
    }

    private static func failure(_ path: String) -> HoldfastError {
        HoldfastError(
            .system, "cannot rename \(path): \(String(cString: strerror(errno)))",
            hint: "Make a new repository elsewhere, and use 'copy', if this folder is a mount point")
    }
}
