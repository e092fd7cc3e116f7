import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Synchronization

/// A stub server that exchanges tokens, and a client with short waits that talks to it.
enum ClientFixture {
    static let tokenReply = #"{"access_token":"access-1","expires_in":900,"token_type":"bearer","scope":""}"#

    /// Runs `body` with a client of a server that answers token requests itself and all else by `answer`.
    static func run<Value: Sendable>(
        _ answer: @escaping @Sendable (StubServer.Request) -> StubServer.Reply,
        limits: APIClient.Limits = quick,
        _ body: (APIClient, StubServer) async throws -> Value
    ) async throws -> Value {
        let server = try StubServer { request in
            request.path == "/oauth2/token" ? .init(200, tokenReply) : answer(request)
        }
        defer { server.stop() }
        return try await withServer(server, limits: limits, body)
    }

    /// Runs `body` with a client of that server.
    static func withServer<Value: Sendable>(
        _ server: StubServer, limits: APIClient.Limits = quick,
        _ body: (APIClient, StubServer) async throws -> Value
    ) async throws -> Value {
        try await APIClient.withClient(
            server: ServerAddress(server.url), token: Secret("api-token-1"), time: SystemTime(), limits: limits
        ) { client in
            try await body(client, server)
        }
    }

    /// Waits that a test can wait for.
    static var quick: APIClient.Limits {
        var limits = APIClient.Limits()
        limits.request = .seconds(5)
        limits.silence = .milliseconds(300)
        limits.lostLog = .seconds(5)
        limits.pause = .milliseconds(20)
        limits.poll = .milliseconds(20)
        return limits
    }

    static func activity(state: String = "in_progress", result: String? = nil) -> String {
        """
        {"id":"a1","type":"environment.backup","project":"p1","environments":["main"],"state":"\(state)",\
        "result":\(result.map { "\"\($0)\"" } ?? "null"),"completion_percent":\(state == "complete" ? 100 : 40),\
        "parameters":{},"timings":{},"log":"","payload":{"backup_name":"b1"},"description":"","text":"a backup",\
        "commands":[],"created_at":"2026-01-31T12:00:00.000000+00:00",\
        "_links":{"self":{"href":"/projects/p1/activities/a1"},"log":{"href":"/projects/p1/activities/a1/log"}}}
        """
    }

    static func line(_ number: Int, _ text: String) -> String {
        #"{"_id":"a1-\#(number)","data":{"timestamp":"2026-01-31T12:00:00.000000+00:00","message":"\#(text)\n"}}"#
            + "\n"
    }

    static let seal = #"{"_id":"a1-seal","seal":true}"# + "\n"

    static func decode<Value: Decodable>(_ text: String) throws -> Value {
        try API.decoder().decode(Value.self, from: Data(text.utf8))
    }
}

/// Gathers values from closures that run anywhere.
final class Collector<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    var all: [Value] { values.withLock { $0 } }
    func add(_ value: Value) { values.withLock { $0.append(value) } }
}

/// The error that a call throws, if it throws one.
func holdfastError(_ work: () async throws -> Void) async -> HoldfastError? {
    do {
        try await work()
        return nil
    } catch {
        return error as? HoldfastError
    }
}
