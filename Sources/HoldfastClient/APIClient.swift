// HoldfastClient: talks to a Holdfast server over its HTTP API.
//
// It exchanges an API token for access tokens, follows HAL links, turns every failure into one `HoldfastError`, and
// watches activities until the seal of their log. It knows nothing of terminals: what to show is its caller's matter.
// `Load/` holds the bounded load of real requests that the demo and the oracle use.

import AsyncHTTPClient
import Foundation
import HoldfastAPI
import HoldfastModel
import NIOCore
import NIOHTTP1

/// A connection to one server with one API token. Made by `withClient`, valid inside of it.
package struct APIClient: Sendable {
    /// How long the client waits, in all kinds of waiting.
    package struct Limits: Sendable {
        /// For the connection to be made.
        package var connect: Duration = .seconds(5)
        /// For the head of an answer.
        package var request: Duration = .seconds(60)
        /// Between two pieces of a body; a log that is silent for longer is asked for again.
        package var silence: Duration = .seconds(20)
        /// For a log that cannot be read, or an activity that does not end after its seal.
        package var lostLog: Duration = .seconds(120)
        /// Between two attempts to read a log.
        package var pause: Duration = .milliseconds(500)
        /// Between two looks at an activity.
        package var poll: Duration = .seconds(1)
        /// Largest answer that is read, in bytes.
        package var bodyBytes = 64 << 20

        package init() {}
    }

    package let server: ServerAddress
    package let limits: Limits
    package let time: any TimeSource
    let http: HTTPClient
    let tokens: AccessTokens

    /// Runs `body` with a client and closes its connections afterwards.
    ///
    /// - Parameter token: an API token, as `token:create` prints it; it is only ever sent to `server`.
    /// - Throws: what `body` throws.
    package static func withClient<Answer: Sendable>(
        server: ServerAddress, token: Secret, time: any TimeSource, limits: Limits = Limits(),
        _ body: (APIClient) async throws -> Answer
    ) async throws -> Answer {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: TimeAmount(limits.connect), read: TimeAmount(limits.silence))
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            let tokens = AccessTokens(time: time) {
                try await exchange(token, at: server, over: http, limits: limits)
            }
            return try await body(
                APIClient(server: server, limits: limits, time: time, http: http, tokens: tokens))
        }
    }

    /// One call of the API with the right token; a 401 is answered with one new token and one more try.
    ///
    /// - Throws: `HoldfastError` for every status that is not 2xx, and if there is no answer.
    package func send(_ call: Call) async throws -> Answer {
        let token = try await tokens.current()
        let first = try await execute(call, token: token)
        guard first.status == 401 else { return try first.checked() }
        let fresh = try await tokens.renewed(after: token)
        return try await execute(call, token: fresh).checked()
    }

    /// As `send`, and gives the answer whatever its status is.
    package func sendRaw(_ call: Call) async throws -> Answer {
        let token = try await tokens.current()
        let first = try await execute(call, token: token)
        guard first.status == 401 else { return first }
        return try await execute(call, token: tokens.renewed(after: token))
    }

    private func execute(_ call: Call, token: Secret) async throws -> Answer {
        let request = try call.request(to: server, token: token)
        return try await Self.execute(request, over: http, server: server, limits: limits)
    }

    /// Sends a request and reads the whole answer.
    static func execute(
        _ request: HTTPClientRequest, over http: HTTPClient, server: ServerAddress, limits: Limits
    ) async throws -> Answer {
        do {
            let response = try await http.execute(request, timeout: TimeAmount(limits.request))
            let body = try await response.body.collect(upTo: limits.bodyBytes)
            return Answer(status: Int(response.status.code), body: Data(body.readableBytesView))
        } catch {
            throw transportError(error, server: server)
        }
    }
}

/// One request, before it has a token.
package struct Call: Sendable {
    package var method: String
    /// A path such as `/projects/x`, or the `href` of a link.
    package var target: String
    package var query: [(name: String, value: String)]
    package var body: Data?

    package init(
        _ method: String, _ target: String, query: [(name: String, value: String)] = [], body: Data? = nil
    ) {
        self.method = method
        self.target = target
        self.query = query
        self.body = body
    }

    func request(to server: ServerAddress, token: Secret) throws -> HTTPClientRequest {
        var url = server.url(for: target)
        if !query.isEmpty {
            let pairs = query.map { "\(ServerAddress.escape($0.name))=\(ServerAddress.escape($0.value))" }
            url += (url.contains("?") ? "&" : "?") + pairs.joined(separator: "&")
        }
        var request = HTTPClientRequest(url: url)
        request.method = HTTPMethod(rawValue: method)
        request.headers.add(name: "Authorization", value: "Bearer \(token.reveal())")
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "User-Agent", value: "holdfast")
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: body))
        }
        return request
    }
}

/// A whole answer of the server.
package struct Answer: Sendable {
    package let status: Int
    package let body: Data

    /// - Throws: the error that the answer tells of, if its status is not 2xx.
    func checked() throws -> Answer {
        guard (200..<300).contains(status) else { throw answerError(status: status, body: body) }
        return self
    }

    /// - Throws: `internalFault` if the body is not of that shape.
    package func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        do {
            return try API.decoder().decode(Value.self, from: body)
        } catch {
            throw HoldfastError(
                .internalFault, "the server's answer is not what this version of holdfast understands",
                hint: "Use the same version of holdfast on both sides", cause: error)
        }
    }
}

extension TimeAmount {
    /// Whole nanoseconds of a duration.
    init(_ duration: Duration) {
        let parts = duration.components
        self = .nanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }
}
