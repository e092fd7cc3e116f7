import Foundation
import HoldfastAPI
import HoldfastModel

/// What a request says, read whole and bounded.
struct Input: Sendable {
    let body: Data
    /// Query parameters in order, decoded; a `+` stays a plus, because clients send time stamps with one unencoded.
    let query: [(name: String, value: String)]
    private let parameters: [String: String]

    /// - Parameter parameters: parts of the path as they were sent.
    init(body: Data, query: String, parameters: [(name: String, value: String)]) throws {
        self.body = body
        self.query = Self.pairs(query, plusIsBlank: false)
        let decoded = try parameters.map { name, value in
            // Decoded after the path was split, so that `feature%2Fx` is one name.
            guard let text = value.removingPercentEncoding else {
                throw HoldfastError(.invalidInput, "'\(value.prefix(80))' is not encoded as in a URL")
            }
            return (name, text)
        }
        self.parameters = Dictionary(decoded) { first, _ in first }
    }

    func has(_ parameter: String) -> Bool { parameters[parameter] != nil }

    /// A part of the path.
    func parameter(_ name: String) throws -> String {
        guard let value = parameters[name] else {
            throw HoldfastError(.internalFault, "no route gives the parameter '\(name)'")
        }
        return value
    }

    /// A part of the path that is an identifier.
    ///
    /// - Throws: `notFound` if it cannot be one.
    func id<Kind>(_ name: String) throws -> Identifier<Kind> {
        let text = try parameter(name)
        guard let id = Identifier<Kind>(text) else {
            throw HoldfastError(.notFound, "there is no \(Kind.name) '\(text.prefix(80))'")
        }
        return id
    }

    /// All values of a query parameter; `name[]` counts as `name`.
    func values(_ name: String) -> [String] {
        query.filter { $0.name == name || $0.name == name + "[]" }.map(\.value)
    }

    /// The fields of a form, or of a JSON object with text values.
    func form() throws -> [String: String] {
        let text = String(decoding: body, as: UTF8.self)
        if text.drop(while: \.isWhitespace).first == "{" {
            return try decode([String: JSONValue].self).compactMapValues(\.string)
        }
        return Dictionary(Self.pairs(text, plusIsBlank: true).map { ($0.name, $0.value) }) { first, _ in first }
    }

    /// The body as JSON, whatever its content type says; an empty one counts as `{}`, a comma before a closing bracket
    /// is overlooked.
    ///
    /// - Throws: `invalidInput` that names the property.
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let data = body.allSatisfy { $0 <= 0x20 } ? Data("{}".utf8) : body
        let decoder = API.decoder()
        do {
            return try decoder.decode(type, from: data)
        } catch let strict {
            let mended = LenientJSON.withoutTrailingCommas(data)
            guard mended.count < data.count else { throw strict }
            return try decoder.decode(type, from: mended)
        }
    }

    private static func pairs(_ text: String, plusIsBlank: Bool) -> [(name: String, value: String)] {
        text.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { part in
                let text = plusIsBlank ? part.replacingOccurrences(of: "+", with: " ") : String(part)
                return text.removingPercentEncoding ?? text
            }
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
    }
}

/// JSON as people type it.
enum LenientJSON {
    /// Drops every comma that is followed by nothing but white space and a closing bracket, outside of texts.
    static func withoutTrailingCommas(_ data: Data) -> Data {
        var result = Data(capacity: data.count)
        var isInText = false
        var isEscaped = false
        var comma: Int?
        for byte in data {
            if isInText {
                isInText = isEscaped || byte != UInt8(ascii: "\"")
                isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
            } else if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") {
                if let index = comma { result.remove(at: result.startIndex + index) }
                comma = nil
            } else if byte == UInt8(ascii: ",") {
                comma = result.count
            } else if byte > 0x20 {
                comma = nil
                isInText = byte == UInt8(ascii: "\"")
            }
            result.append(byte)
        }
        return result
    }
}
