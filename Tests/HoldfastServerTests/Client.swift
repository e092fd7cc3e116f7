import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Testing

/// What came back.
struct Answer {
    var status: Int
    var json: JSONValue
    var text: String
    var headers: HTTPFields

    var items: [JSONValue] {
        if case .array(let items) = json { items } else { [] }
    }
    /// Relations of the object.
    var links: Set<String> {
        if case .object(let links)? = json["_links"] { Set(links.keys) } else { [] }
    }
    var message: String { json["message"]?.string ?? "" }
    /// The first activity of an accepted request.
    var activity: JSONValue? {
        if case .array(let items)? = json["_embedded"]?["activities"] { items.first } else { nil }
    }
}

extension Bench {
    /// Runs a test against the router, or against a server with a socket.
    func serve(
        live: Bool = false, hooks: [RouteHook] = [], bodyLimit: Int = 1 << 20, metricsTokenFile: String? = nil,
        _ test: @escaping @Sendable (Client) async throws -> Void
    ) async throws {
        var configuration = ServerConfiguration(port: 0)
        configuration.bodyLimit = bodyLimit
        configuration.metricsTokenFile = metricsTokenFile
        let server = HoldfastServer(
            catalogue: catalogue, operations: operations, configuration: configuration, time: time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, hooks: hooks)
        let application = try server.application()
        try await application.test(live ? .live : .router) { client async throws in
            try await test(Client(raw: client, bench: self))
        }
    }
}

/// Sends requests as one of the people of the bench.
struct Client: Sendable {
    let raw: any TestClientProtocol
    let bench: Bench

    func get(_ path: String, as name: String? = "manager") async throws -> Answer {
        try await send(.get, path, as: name)
    }

    func post(_ path: String, _ body: String = "", as name: String? = "manager") async throws -> Answer {
        try await send(.post, path, body, as: name)
    }

    func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: String = "", as name: String? = "manager",
        contentType: String = "application/json"
    ) async throws -> Answer {
        var headers: HTTPFields = [.contentType: contentType]
        if let name, let token = bench.tokens[name] {
            headers[.authorization] = "Bearer " + (try bench.catalogue.exchange(token).reveal())
        }
        return try await send(method, path, body, headers: headers)
    }

    func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: String, headers: HTTPFields
    ) async throws -> Answer {
        let buffer = body.isEmpty ? nil : ByteBuffer(string: body)
        let response = try await raw.executeRequest(uri: path, method: method, headers: headers, body: buffer)
        let data = Data(response.body.readableBytesView)
        let json = try? JSONDecoder().decode(JSONValue.self, from: data)
        return Answer(
            status: response.status.code, json: json ?? .null, text: String(decoding: data, as: UTF8.self),
            headers: response.headers)
    }
}
