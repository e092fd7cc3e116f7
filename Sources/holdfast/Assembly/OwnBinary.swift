import Foundation

/// The binary that runs now.
enum OwnBinary {
    /// Absolute path. A binary that was replaced while it ran is named by the path of its successor.
    static var path: String {
        let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = link ?? CommandLine.arguments[0]
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
    }
}
