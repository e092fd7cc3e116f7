import Foundation
import HoldfastAPI
import HoldfastModel

/// An object of the API: its typed value, everything the server said, and its links.
package struct Resource<Value: Decodable & Sendable>: Sendable, Decodable {
    package let value: Value
    /// As it came, with keys as on the wire.
    package let raw: JSONValue
    package let links: API.Links

    private struct Linked: Decodable {
        var links: API.Links?
    }

    package init(from decoder: any Decoder) throws {
        value = try Value(from: decoder)
        raw = try JSONValue(from: decoder)
        links = try Linked(from: decoder).links ?? [:]
    }

    /// The properties without `_links` and `_embedded`.
    package var properties: [String: JSONValue] {
        guard case .object(let all) = raw else { return [:] }
        return all.filter { !$0.key.hasPrefix("_") }
    }

    /// Whether the caller may run the operation now, such as `backup` for the link `#backup`.
    package func offers(_ operation: String) -> Bool { links["#\(operation)"] != nil }

    /// - Throws: `internalFault` if the server sent no such link.
    package func link(_ relation: String) throws -> String {
        guard let href = links[relation] else {
            throw HoldfastError(.internalFault, "the server sent no '\(relation)' link")
        }
        return href
    }
}

extension APIClient {
    package func get<Value: Decodable>(
        _ target: String, query: [(name: String, value: String)] = []
    ) async throws -> Value {
        try await send(Call("GET", target, query: query)).decode()
    }

    /// The object, or nil if there is none (404).
    package func find<Value: Decodable>(_ target: String) async throws -> Value? {
        do {
            return try await send(Call("GET", target)).decode()
        } catch let error as HoldfastError where error.code == .notFound {
            return nil
        }
    }

    /// Sends a body as JSON and reads the answer.
    package func post<Value: Decodable>(_ target: String, _ body: some Encodable) async throws -> Value {
        try await send(Call("POST", target, body: API.encoder().encode(body))).decode()
    }

    /// The object as it is now.
    package func refreshed<Value>(_ resource: Resource<Value>) async throws -> Resource<Value> {
        try await get(resource.link("self"))
    }

    /// Runs the operation of a `#` link. If the link is missing the object is read once more, because it may have
    /// been taken away by work that is over by now.
    ///
    /// - Returns: nil if the operation is not offered.
    package func operate<Value>(
        _ operation: String, on resource: Resource<Value>, body: (any Encodable & Sendable)? = nil
    ) async throws -> Started? {
        var current = resource
        if !current.offers(operation) { current = try await refreshed(resource) }
        guard current.offers(operation) else { return nil }
        let data = try body.map { try API.encoder().encode($0) }
        return try await send(Call("POST", current.link("#\(operation)"), body: data)).started()
    }
}

/// What an accepted request set off.
package struct Started: Sendable {
    package let activities: [Resource<API.Activity>]
    /// The object as it is now, if the answer had one.
    package let entity: JSONValue?
}

extension Answer {
    private struct Envelope: Decodable {
        struct Embedded: Decodable {
            var activities: [Resource<API.Activity>]?
            var entity: JSONValue?
        }
        var embedded: Embedded?
    }

    /// Reads the envelope of an accepted request; an empty body has no activities.
    func started() throws -> Started {
        guard !body.isEmpty else { return Started(activities: [], entity: nil) }
        let envelope: Envelope = try decode()
        return Started(activities: envelope.embedded?.activities ?? [], entity: envelope.embedded?.entity)
    }
}
