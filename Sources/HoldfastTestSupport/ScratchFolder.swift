import Foundation

/// A new folder that goes away with the value.
package final class ScratchFolder: Sendable {
    /// Absolute path; others may enter it.
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "holdfast-test-" + UUID().uuidString.lowercased()
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A path in it.
    package func callAsFunction(_ name: String) -> String { path + "/" + name }
}
