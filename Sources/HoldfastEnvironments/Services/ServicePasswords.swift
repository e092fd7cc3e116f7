import Foundation
import HoldfastModel

/// The passwords of a service's users, in `conf/endpoint.json`, which only the control plane's user can read.
struct ServicePasswords {
    private struct Stored: Codable {
        var version = 1
        var passwords: [String: Secret]
    }

    private static let file = "endpoint.json"
    private let directory: GuardedDirectory

    init(_ instance: ServiceInstance) throws {
        directory = try GuardedDirectory(instance.configurationDirectory)
    }

    /// The password of a user; made and stored if there is none.
    func password(of user: String) throws -> Secret {
        var stored = try read()
        if let password = stored.passwords[user] { return password }
        let password = Self.random()
        stored.passwords[user] = password
        try write(stored)
        return password
    }

    /// Users whose passwords are stored.
    var users: Set<String> { get throws { Set(try read().passwords.keys) } }

    func forget(_ user: String) throws {
        var stored = try read()
        stored.passwords[user] = nil
        try write(stored)
    }

    private func read() throws -> Stored {
        guard try directory.status(Self.file) != nil else { return Stored(passwords: [:]) }
        do {
            let bytes = try directory.read(Self.file, limit: 65536)
            return try JSONDecoder().decode(Stored.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw HoldfastError(
                .damaged, "'\(directory.path)/\(Self.file)' is not what Holdfast wrote",
                hint: "Remove it: a new password is made at the next start", cause: error)
        }
    }

    private func write(_ stored: Stored) throws {
        try directory.write(Self.file, Array(JSONEncoder().encode(stored)), mode: 0o600)
    }

    /// 32 characters of `a-z2-7`: 160 bits, and safe in a URL.
    static func random() -> Secret {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
        var generator = SystemRandomNumberGenerator()
        return Secret(String((0..<32).map { _ in alphabet[Int.random(in: 0..<32, using: &generator)] }))
    }
}
