import Foundation
import HoldfastModel

/// `name:version` of an application or service, such as `python:3.11`; `binary` alone has no version.
package struct TypeReference: Sendable, Hashable, Codable, CustomStringConvertible {
    package let name: String
    /// Empty for `binary`.
    package let version: String

    package init(name: String, version: String) {
        self.name = name
        self.version = version
    }

    /// - Throws: `invalidInput` if the text is not of that form.
    package init(_ text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let version = parts.count == 2 ? parts[1] : ""
        guard Self.isName(parts[0]), parts.count == 2 ? Self.isVersion(version) : parts[0] == "binary" else {
            throw HoldfastError(
                .invalidInput, "'\(text.prefix(80))' is not a type",
                hint: "Write NAME:VERSION such as python:3.11 or postgresql:15, or binary")
        }
        self.init(name: parts[0], version: version)
    }

    /// Storage that apps share by mounts with the source `service`: a service without process, port and password. Its
    /// version says nothing, because there is no server.
    package static let networkStorage = "network-storage"

    package var isNetworkStorage: Bool { name == Self.networkStorage }

    package var description: String { version.isEmpty ? name : "\(name):\(version)" }

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, (97...122).contains(first), text.utf8.count <= 40 else { return false }
        return text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    }

    private static func isVersion(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != 45, first != 46, text.utf8.count <= 40 else { return false }
        return text.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
                || byte == 45 || byte == 46
        }
    }
}
