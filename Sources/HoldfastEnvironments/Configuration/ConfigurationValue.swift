import Foundation

/// A part of the file whose shape is not ours to say: a service's `configuration`, a variable's value.
package enum ConfigurationValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([ConfigurationValue])
    case map([String: ConfigurationValue])

    /// The value under a key; nil if this is not a map or has no such key.
    package subscript(key: String) -> ConfigurationValue? {
        if case .map(let map) = self { return map[key] }
        return nil
    }

    package var string: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    package var integer: Int? {
        if case .integer(let number) = self { return number }
        return nil
    }

    package var list: [ConfigurationValue]? {
        if case .list(let values) = self { return values }
        return nil
    }

    package var map: [String: ConfigurationValue]? {
        if case .map(let values) = self { return values }
        return nil
    }

    /// The text that an environment variable gets: a string as it is, anything else as JSON, nothing for null.
    package var environmentText: String {
        switch self {
        case .null: ""
        case .string(let text): text
        default: (try? JSONText.encode(self)) ?? ""
        }
    }
}

extension ConfigurationValue: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([ConfigurationValue].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: ConfigurationValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .list(let values): try container.encode(values)
        case .map(let values): try container.encode(values)
        }
    }
}

/// JSON as one line with sorted keys, so that the same value always gives the same text.
enum JSONText {
    static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
