import Foundation
import HoldfastModel

/// Paths that come from a configuration and are only allowed to name something inside of a folder.
package enum MountPath {
    /// What is wrong with a path.
    package struct Refusal: Error {
        /// Goes behind `found …, expected `.
        package let expected: String
    }

    /// First components that nobody means as a folder of an app when a slash stands before them.
    static let systemFolders: Set<String> = [
        "boot", "dev", "etc", "lib", "lib64", "proc", "root", "sbin", "sys", "usr",
    ]

    /// A mount's path relative to the app: `/files` and `files/` are `files`.
    ///
    /// - Throws: `Refusal` if it is empty, leaves the app, names a system folder absolutely, or cannot be a file name.
    package static func mount(_ text: String) throws -> String {
        let components = try inside(text)
        guard let first = components.first else {
            throw Refusal(expected: "a folder inside of the app such as /files")
        }
        if text.hasPrefix("/"), systemFolders.contains(first) {
            throw Refusal(
                expected: "a folder inside of the app (for one that is called '\(first)' there, leave out the slash)")
        }
        return components.joined(separator: "/")
    }

    /// A folder of the repository or of a storage; may be empty.
    package static func folder(_ text: String, allowLeadingSlash: Bool) throws -> String {
        if !allowLeadingSlash, text.hasPrefix("/") {
            throw Refusal(expected: "a path that is relative to the storage, without a leading slash")
        }
        return try inside(text).joined(separator: "/")
    }

    /// Whether `inner` lies below `outer`, or is it.
    package static func contains(_ outer: String, _ inner: String) -> Bool {
        outer.isEmpty || inner == outer || inner.hasPrefix(outer + "/")
    }

    /// A path as one path component; different paths give different components.
    package static func component(for path: String) -> String {
        var result = ""
        for byte in path.utf8 {
            let isLetter = (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
            if isLetter || byte == 45 || byte == 95 || (byte == 46 && !result.isEmpty) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else if byte == 47 {
                result += "+"
            } else {
                result += "~" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        guard result.utf8.count > 120 else { return result }
        return result.prefix(100) + "@" + String(StableHash.of(path), radix: 16)
    }

    private static func inside(_ text: String) throws -> [String] {
        guard text.utf8.count <= 1024 else { throw Refusal(expected: "a path of at most 1024 bytes") }
        guard !text.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) else {
            throw Refusal(expected: "a path without control characters")
        }
        let components = text.split(separator: "/").map(String.init).filter { $0 != "." }
        guard !components.contains("..") else {
            throw Refusal(expected: "a path that does not leave its folder by '..'")
        }
        guard components.allSatisfy({ $0.utf8.count <= 255 }) else {
            throw Refusal(expected: "path components of at most 255 bytes")
        }
        return components
    }
}
