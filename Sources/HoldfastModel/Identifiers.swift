import Foundation

/// A typed identifier: a short lowercase string that is safe in a path, a URL segment and a tag.
///
/// `Kind` only keeps identifiers of different things apart; it is never instantiated.
public struct Identifier<Kind: IdentifierKind>: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let rawValue: String

    /// Accepts 1 to 64 characters out of `a-z`, `0-9` and `-`, not beginning with `-`; nil for anything else.
    public init?(_ rawValue: String) {
        guard Self.isValid(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    /// A new random identifier of the kind's usual length in base32 (`a-z`, `2-7`: five bits a character).
    public static func random(using generator: inout some RandomNumberGenerator) -> Self {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let bytes = (0..<Kind.length).map { _ in alphabet[Int.random(in: 0..<32, using: &generator)] }
        return Self(unchecked: String(decoding: bytes, as: UTF8.self))
    }

    /// A new random identifier from the system's generator.
    public static func random() -> Self {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    public var description: String { rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    private init(unchecked rawValue: String) { self.rawValue = rawValue }

    private static func isValid(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
        }
    }
}

extension Identifier: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text)' is not a \(Kind.name) id")
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// What an identifier names, and how long a new one is.
public protocol IdentifierKind: Sendable {
    static var name: String { get }
    static var length: Int { get }
}

public enum ProjectKind: IdentifierKind {
    public static let name = "project"
    public static let length = 13
}
public enum EnvironmentKind: IdentifierKind {
    public static let name = "environment"
    public static let length = 13
}
public enum BackupKind: IdentifierKind {
    public static let name = "backup"
    public static let length = 26
}
public enum ActivityKind: IdentifierKind {
    public static let name = "activity"
    public static let length = 13
}
public enum UserKind: IdentifierKind {
    public static let name = "user"
    public static let length = 13
}
public enum TokenKind: IdentifierKind {
    public static let name = "token"
    public static let length = 13
}

public typealias ProjectID = Identifier<ProjectKind>
/// The immutable identity of an environment. Its name (the branch) is what the API calls `id`.
public typealias EnvironmentID = Identifier<EnvironmentKind>
public typealias BackupID = Identifier<BackupKind>
public typealias ActivityID = Identifier<ActivityKind>
public typealias UserID = Identifier<UserKind>
public typealias TokenID = Identifier<TokenKind>
