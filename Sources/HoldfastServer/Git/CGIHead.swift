import Foundation
import HoldfastModel

/// The head of a CGI program's answer (RFC 3875, section 6), put together from pieces.
struct CGIHead: Sendable {
    private(set) var status = 200
    /// The fields that are passed on; others are dropped.
    private(set) var fields: [(name: String, value: String)] = []
    /// What came after the head.
    private(set) var rest: [UInt8] = []
    private(set) var isComplete = false
    private var bytes: [UInt8] = []

    private static let limit = 16384
    private static let passedOn: Set<String> = ["content-type", "cache-control", "expires", "pragma"]

    /// Takes the next piece.
    ///
    /// - Throws: `system` if it is no head.
    mutating func take(_ piece: [UInt8]) throws {
        bytes += piece
        guard let (end, next) = Self.emptyLine(in: bytes) else {
            guard bytes.count <= Self.limit else { throw HoldfastError(.system, "git http-backend gave no head") }
            return
        }
        rest = Array(bytes[next...])
        let text = String(decoding: bytes[..<end], as: UTF8.self)
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { throw HoldfastError(.system, "git http-backend gave a head with a bad line") }
            try take(String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces))
        }
        bytes = []
        isComplete = true
    }

    private mutating func take(_ name: String, _ value: String) throws {
        if name.lowercased() == "status" {
            guard let code = Int(value.prefix(3)), (200...599).contains(code) else {
                throw HoldfastError(.system, "git http-backend gave the status '\(value.prefix(40))'")
            }
            status = code
        } else if Self.passedOn.contains(name.lowercased()) {
            fields.append((name, value))
        }
    }

    /// Where the first empty line begins, and what comes behind it.
    private static func emptyLine(in bytes: [UInt8]) -> (Int, Int)? {
        for index in bytes.indices where bytes[index] == 10 {
            if index + 1 < bytes.count, bytes[index + 1] == 10 { return (index, index + 2) }
            if index + 2 < bytes.count, bytes[index + 1] == 13, bytes[index + 2] == 10 { return (index, index + 3) }
        }
        return nil
    }
}
