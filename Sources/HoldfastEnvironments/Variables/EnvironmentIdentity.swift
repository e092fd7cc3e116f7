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
    package var machineName: String { Environment.machineName(project: project, name: name) }

    /// The host of an environment that nobody gave another one: every name under `localhost` is this machine.
    package static func defaultHost(project: ProjectID, name: String) -> String {
        Environment.machineName(project: project, name: name) + ".localhost"
    }

    /// Reads it from an environment's directory.
    ///
    /// - Throws: `notFound` if there is none, `damaged` if it cannot be read.
    package static func read(from directory: String) throws -> EnvironmentIdentity {
        let path = "\(directory)/\(fileName)"
        guard let bytes = try DurableFile.read(path) else {
            throw HoldfastError(
                .notFound, "there is no '\(path)'", hint: "Redeploy the environment, which writes it again")
        }
        do {
            return try JSONDecoder().decode(EnvironmentIdentity.self, from: Data(bytes))
        } catch {
            throw HoldfastError(
                .damaged, "'\(path)' cannot be read", hint: "Delete it and redeploy the environment", cause: error)
        }
    }

    /// Writes it into an environment's directory, durable and in one step. Only the owner can read it.
    package func write(to directory: String) throws {
        try DurableFile.write(Array((try JSONText.encode(self) + "\n").utf8), to: "\(directory)/\(Self.fileName)")
    }

    /// The identity of an environment, written anew if it is missing or if branch or type have changed since.
    ///
    /// - Parameters:
    ///   - host: the host it gets; nil leaves the one it has, or gives it the default one.
    ///   - repository: the project's Git directory, where the project's entropy is kept.
    package static func prepare(
        for environment: Environment, in directory: String, host: String? = nil, repository: String
    ) throws -> EnvironmentIdentity {
        let known = try? read(from: directory)
        let identity = EnvironmentIdentity(
            project: environment.project, environment: environment.id, name: environment.name,
            type: environment.type,
            host: host ?? known?.host ?? defaultHost(project: environment.project, name: environment.name),
            entropy: try known?.entropy ?? entropy(in: repository))
        if identity != known { try identity.write(to: directory) }
        return identity
    }

    /// The project's entropy: 32 random bytes, made once.
    private static func entropy(in repository: String) throws -> Secret {
        let path = "\(repository)/holdfast-entropy"
        if let bytes = try DurableFile.read(path), bytes.count == 64 {
            return Secret(String(decoding: bytes, as: UTF8.self))
        }
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef".utf8)
        let bytes = (0..<64).map { _ in digits[Int.random(in: 0..<16, using: &generator)] }
        try DurableFile.write(bytes, to: path)
        return Secret(String(decoding: bytes, as: UTF8.self))
    }
}
