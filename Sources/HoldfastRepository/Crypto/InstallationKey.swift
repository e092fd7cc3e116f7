import Foundation
import HoldfastModel

/// The key of an installation: it seals the random passwords of the repositories, so that the catalogue alone opens
/// nothing. It is 64 random bytes, kept in a file of mode 0600 or given by a command, as base64 text.
public struct InstallationKey: Sendable, CustomStringConvertible, CustomReflectable {
    private let master: MasterKey

    /// - Parameter text: what `makeText` returned, with or without white space around it.
    /// - Throws: `invalidInput` if it is not such a text; the text is not repeated.
    public init(text: Secret) throws {
        let trimmed = text.reveal().trimmingCharacters(in: .whitespacesAndNewlines)
        guard let data = Data(base64Encoded: trimmed), data.count == 64 else {
            throw HoldfastError(
                .invalidInput, "the master key is not 64 bytes in base64",
                hint: "Use the key file that the first start of holdfast serve made")
        }
        master = try MasterKey(derived: Array(data))
    }

    /// A new key from the system's generator.
    public static func makeText() throws -> Secret { Secret(Data(try randomBytes(64)).base64EncodedString()) }

    /// A new password for a repository: 256 random bits in hexadecimal digits, so that a low scrypt cost is right
    /// for it.
    public static func makePassword() throws -> Secret {
        Secret(try randomBytes(32).map { String(format: "%02x", $0) }.joined())
    }

    /// Seals a secret with AES-256-CTR and Poly1305-AES under a fresh random nonce.
    public func seal(_ secret: Secret) throws -> [UInt8] {
        try SealingContext(master).sealed(Array(secret.reveal().utf8))
    }

    /// - Throws: `wrongPassword` if it was sealed under another key, or changed.
    public func open(_ sealed: [UInt8]) throws -> Secret {
        guard let plain = try SealingContext(master).opened(sealed) else {
            throw HoldfastError(
                .wrongPassword, "the master key of this installation does not open the repository's password",
                hint: "Put back the key file that was there when the project was made")
        }
        return Secret(String(decoding: plain, as: UTF8.self))
    }

    public var description: String { "***" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Digests of whole files.
public enum FileDigest {
    /// SHA-256 of some bytes as 64 hexadecimal digits; empty if the library fails, which is equal to no digest.
    public static func sha256(of bytes: [UInt8]) -> String { (try? DigestContext.once(bytes).description) ?? "" }

    /// SHA-256 of a file as 64 hexadecimal digits, read in parts of 1 MiB.
    ///
    /// - Throws: `notFound` if the file cannot be opened.
    public static func sha256(ofFile path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw HoldfastError(.notFound, "\(path) cannot be opened")
        }
        defer { try? file.close() }
        let context = try DigestContext()
        try context.begin()
        while let part = try file.read(upToCount: 1 << 20), !part.isEmpty {
            try part.withUnsafeBytes { try context.update($0) }
        }
        return try context.finish().description
    }
}
