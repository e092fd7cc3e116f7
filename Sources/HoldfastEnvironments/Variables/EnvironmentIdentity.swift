import Foundation
import HoldfastModel

/// What the processes of an environment are told about where they run; it does not change with a deployment.
///
/// It lies as `identity.json` in the environment's directory, so that a supervisor needs nobody else to start an app.
package struct EnvironmentIdentity: Sendable, Hashable, Codable {
    package static let fileName = "identity.json"

    package var project: ProjectID
    package var environment: EnvironmentID
    /// The branch.
    package var name: String
    package var type: EnvironmentType
    /// What `{default}` in routes stands for, with the port if it is not the usual one, such as `main.localhost:8080`.
    package var host: String
    /// PLATFORM_PROJECT_ENTROPY: random, the same for all environments of the project.
    package var entropy: Secret

    package init(
        project: ProjectID, environment: EnvironmentID, name: String, type: EnvironmentType, host: String,
        entropy: Secret
    ) {
        self.project = project
        self.environment = environment
        self.name = name
        self.type = type
        self.host = host
        self.entropy = entropy
    }

    /// PLATFORM_ENVIRONMENT: the branch as a host name can hold it, made unique by a hash, such as `main-bvxea6i`.
    package var machineName: String {
        let allowed = name.lowercased().utf8.map { byte -> UInt8 in
            (97...122).contains(byte) || (48...57).contains(byte) ? byte : 45
        }
        let text = String(decoding: allowed.prefix(40), as: UTF8.self)
        let trimmed = text.trimmingCharacters(in: CharacterSet(charactersIn: "-"))
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        var hash = StableHash.of("\(project)/\(name)")
        var suffix = ""
        for _ in 0..<7 {
            suffix.unicodeScalars.append(Unicode.Scalar(alphabet[Int(hash & 31)]))
            hash >>= 5
        }
        return trimmed.isEmpty ? suffix : "\(trimmed)-\(suffix)"
    }

    /// Reads it from an environment's directory.
    ///
    /// - Throws: `notFound` if there is none, `damaged` if it cannot be read.
    package static func read(from directory: String) throws -> EnvironmentIdentity {
        let path = "\(directory)/\(fileName)"
        guard let data = FileManager.default.contents(atPath: path) else {
            throw HoldfastError(
                .notFound, "there is no '\(path)'", hint: "Redeploy the environment, which writes it again")
        }
        do {
            return try JSONDecoder().decode(EnvironmentIdentity.self, from: data)
        } catch {
            throw HoldfastError(.damaged, "'\(path)' cannot be read", cause: error)
        }
    }

    /// Writes it into an environment's directory, durable and in one step. Only the owner can read it.
    package func write(to directory: String) throws {
        let text = try JSONText.encode(self) + "\n"
        try DurableFiles.write(Array(text.utf8), to: "\(directory)/\(Self.fileName)", mode: 0o600)
    }
}
