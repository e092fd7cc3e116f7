import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel

/// Exchanges two folders.
package struct FolderSwap: Sendable {
    /// A system call on two paths: 0, or why it failed.
    package typealias Call = @Sendable (_ from: String, _ to: String) -> Int32

    private let swap: Call
    private let rename: Call

    /// - Parameters:
    ///   - swap: exchanges both at once.
    ///   - rename: gives the first another name.
    package init(
        swap: @escaping Call = { holdfast_exchange($0, $1) == 0 ? 0 : errno },
        rename: @escaping Call = { Glibc.rename($0, $1) == 0 ? 0 : errno }
    ) {
        self.swap = swap
        self.rename = rename
    }

    /// Where a folder is set aside while another one takes its name, if the file system cannot exchange the two at
    /// once. After a stop between the two renames it lies there, and nothing has its name.
    package static func aside(_ folder: String) -> String { folder + ".set-aside" }

    /// Exchanges them in one step where the file system can; else with renames, between which nothing has the first
    /// name. It is durable when the call returns.
    ///
    /// - Parameters:
    ///   - one: absolute; neither is a symbolic link, which would be exchanged itself.
    ///   - two: in the same folder.
    /// - Returns: where the first one is now: at `two`, or where it was set aside if it could not be moved on from
    ///   there.
    /// - Throws: an error that says what is where, if that is not as it was.
    package func exchange(_ one: String, _ two: String) throws -> String {
        let place = try move(one, two)
        do {
            let folder = try Descriptor.directory((one as NSString).deletingLastPathComponent)
            guard fsync(folder.raw) == 0 else { throw systemError("sync the folder of", one) }
        } catch {
            throw HoldfastError(
                .system,
                "the folders are exchanged, and what was at \(one) is at \(place), but a loss of power may undo it",
                hint: "Look at both after the next start of the machine", cause: error)
        }
        return place
    }

    private func move(_ one: String, _ two: String) throws -> String {
        let reason = swap(one, two)
        if reason == 0 { return two }
        guard [EINVAL, ENOSYS, EOPNOTSUPP].contains(reason) else {
            throw failure("exchange \(one) and \(two), which are as they were", reason)
        }
        let aside = Self.aside(one)
        var status = stat()
        guard lstat(aside, &status) != 0 else {
            throw HoldfastError(
                .conflict, "there is something at \(aside) already, perhaps of an earlier exchange",
                hint: "Look at it, and move it away")
        }
        let first = rename(one, aside)
        guard first == 0 else { throw failure("rename \(one), which is as it was", first) }
        let second = rename(two, one)
        guard second == 0 else {
            guard rename(aside, one) == 0 else {
                throw HoldfastError(
                    .system,
                    "cannot rename \(two) to \(one): \(String(cString: strerror(second))); "
                        + "what was at \(one) is at \(aside) now",
                    hint: "Rename \(aside) to \(one)")
            }
            throw failure("rename \(two), and \(one) is as it was", second)
        }
        return rename(aside, two) == 0 ? two : aside
    }

    private func failure(_ what: String, _ reason: Int32) -> HoldfastError {
        HoldfastError(
            .system, "cannot \(what): \(String(cString: strerror(reason)))",
            hint: "Make a new repository elsewhere, and use 'copy', if the folder is a mount point")
    }
}
