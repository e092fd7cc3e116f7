import Foundation
import HoldfastModel

/// The programs of one major version.
struct PostgreSQLPrograms {
    /// Major version, such as `15`.
    let major: String
    private let directory: String

    /// - Throws: `unsupported` if the version is not installed, naming those that are.
    init(_ type: TypeReference) throws {
        guard let directory = try InstalledTypes().resolve(service: type).directory else {
            throw HoldfastError(.internalFault, "'\(type)' has no programs of its own")
        }
        self.directory = directory
        major = type.version
    }

    func path(_ program: String) -> String { directory + "/" + program }
}
