import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastModel
import HoldfastRepository

/// All that an empty machine needs to list and restore every backup again, together with one site.
///
/// One JSON file. Its secrets are either in plain text or sealed with a password; everything else is readable.
struct RecoveryKit: Codable {
    static let format = "holdfast-recovery-kit"

    /// What opens the backups.
    struct Secrets: Codable {
        /// The installation's master key, as its file has it.
        var masterKey: Secret
        /// Project -> password of its repository, for `restic` alone.
        var repositoryPasswords: [String: Secret]
    }

    var format = RecoveryKit.format
    var version = 1
    var createdAt: Date
    /// For whoever opens the file.
    var note: String
    var settings: Settings
    /// Project -> title.
    var projects: [String: String]
    var secrets: Secrets?
    var sealedSecrets: PasswordBox?

    /// Collects it from a state directory; a server may be running there.
    ///
    /// - Parameter password: seals the secrets; nil leaves them in plain text.
    static func collect(from home: StateDirectory, password: Secret?, time: any TimeSource) throws -> RecoveryKit {
        guard FileManager.default.fileExists(atPath: home.catalogue),
            let key = try? String(contentsOfFile: home.masterKey, encoding: .utf8)
        else {
            throw HoldfastError(
                .notFound, "there is no catalogue and master key in \(home.path)",
                hint: "Name the state directory with --home")
        }
        let masterKey = try InstallationKey(text: Secret(key))
        let catalogue = try Catalogue(path: home.catalogue, time: time)
        defer { try? catalogue.close() }
        var secrets = Secrets(
            masterKey: Secret(key.trimmingCharacters(in: .whitespacesAndNewlines)), repositoryPasswords: [:])
        var titles: [String: String] = [:]
        for project in try catalogue.projects() {
            titles[project.id.rawValue] = project.title
            if let sealed = try catalogue.sealedRepositoryPassword(project.id) {
                secrets.repositoryPasswords[project.id.rawValue] = try masterKey.open(sealed)
            }
        }
        var kit = RecoveryKit(
            createdAt: time.now(), note: Self.note(isSealed: password != nil), settings: try Settings.load(home),
            projects: titles)
        if let password {
            let text = Secret(String(decoding: try JSONEncoder().encode(secrets), as: UTF8.self))
            kit.sealedSecrets = try PasswordBox.seal(text, password: password)
        } else {
            kit.secrets = secrets
        }
        return kit
    }

    private static func note(isSealed: Bool) -> String {
        let warning =
            isSealed
            ? "Whoever has this file, its password and a copy of a site can read every backup."
            : "Whoever has this file and a copy of a site can read every backup."
        return warning
            + " Keep it away from the sites. On an empty machine: holdfast catalogue:rebuild --kit <this file>."
    }

    /// - Throws: `wrongPassword`; `invalidInput` if it is sealed and no password is given.
    func open(_ password: Secret?) throws -> Secrets {
        if let secrets { return secrets }
        guard let sealedSecrets else {
            throw HoldfastError(.damaged, "the kit holds no secrets", hint: "Use another copy of it")
        }
        guard let password else {
            throw HoldfastError(
                .invalidInput, "the kit is sealed with a password",
                hint: "Give it with --password-file, or in \(KitPasswordOptions.variable)")
        }
        return try JSONDecoder().decode(Secrets.self, from: Data(sealedSecrets.open(password).reveal().utf8))
    }

    /// Writes a new file with mode 0600; an existing one is never replaced.
    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        let bytes = Array(try encoder.encode(self)) + [10]
        let descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST {
                throw HoldfastError(.conflict, "\(path) is there already", hint: "Choose another name with --output")
            }
            throw HoldfastError(.system, "cannot write \(path) (errno \(errno))", hint: "Choose another --output")
        }
        defer { close(descriptor) }
        guard Foundation.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            let number = errno
            unlink(path)
            throw HoldfastError(.system, "cannot write \(path) (errno \(number))")
        }
    }

    static func read(_ path: String) throws -> RecoveryKit {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw HoldfastError(.notFound, "\(path) cannot be read", hint: "Name the kit with --kit")
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            let kit = try decoder.decode(RecoveryKit.self, from: data)
            guard kit.format == format, kit.version == 1 else {
                throw HoldfastError(
                    .unsupported, "\(path) is no recovery kit of version 1", hint: "Use a newer holdfast")
            }
            return kit
        } catch let error as DecodingError {
            throw HoldfastError(.damaged, "\(path) is no recovery kit", hint: "Use another copy of it", cause: error)
        }
    }
}
