// HoldfastAPI: the shapes that travel between server, client and console.
//
// Every type is a plain Codable value under `API`, written as snake_case JSON with HAL's `_links` and `_embedded`, as
// Upsun's public API has them. Reading and writing always goes through `API.encoder` and `API.decoder`: they own key
// names and time stamps. What a caller may do shows in the links, never in a flag.

import Foundation
import HoldfastModel

/// Namespace of the wire types, and the coders that read and write them.
package enum API {
    /// Writes snake_case keys, `_links`, `_embedded`, and time stamps with microseconds in UTC.
    package static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .custom { path in WireKey(path.last.map { snakeCase($0.stringValue) } ?? "") }
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(Timestamp.format(date))
        }
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    /// Reads what `encoder` writes; unknown keys are ignored.
    package static func decoder() -> JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in WireKey(path.last.map { camelCase($0.stringValue) } ?? "") }
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = Timestamp.parse(text) else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "'\(text)' is not an ISO 8601 time stamp")
            }
            return date
        }
        return decoder
    }

    /// Names that carry an underscore in front on the wire.
    private static let reserved = ["links": "_links", "embedded": "_embedded", "entryId": "_id"]
    private static let reservedBack = ["_links": "links", "_embedded": "embedded", "_id": "entryId"]

    private static func snakeCase(_ name: String) -> String {
        if let special = reserved[name] { return special }
        var result = ""
        for character in name {
            if character.isUppercase {
                result += "_" + character.lowercased()
            } else {
                result.append(character)
            }
        }
        return result
    }

    private static func camelCase(_ name: String) -> String {
        if let special = reservedBack[name] { return special }
        let parts = name.split(separator: "_", omittingEmptySubsequences: true)
        guard let first = parts.first else { return name }
        return parts.dropFirst().reduce(String(first)) { $0 + $1.prefix(1).uppercased() + $1.dropFirst() }
    }
}

/// A key whose text was worked out by the coders.
private struct WireKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// An optional that is written as `null` when it is nil, because readers ask for the key.
@propertyWrapper
package struct Nullable<Value: Codable & Sendable>: Codable, Sendable {
    package var wrappedValue: Value?

    package init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

extension KeyedDecodingContainer {
    /// A missing key reads as nil; the compiler picks this one in the code that it writes for `Codable`.
    package func decode<Value>(_ type: Nullable<Value>.Type, forKey key: Key) throws -> Nullable<Value> {
        try decodeIfPresent(type, forKey: key) ?? Nullable(wrappedValue: nil)
    }
}
