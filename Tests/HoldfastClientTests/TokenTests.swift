import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct TokenTests {
    @Test func `the API token is exchanged once, and the access token is sent with every call`() async throws {
        try await ClientFixture.run({ _ in .init(200, "{}") }) { client, server in
            let _: JSONValue = try await client.get("/one")
            let _: JSONValue = try await client.get("/two")
            let exchanges = server.requests.filter { $0.path == "/oauth2/token" }
            #expect(exchanges.count == 1)
            #expect(exchanges[0].body == "client_id=holdfast-cli&grant_type=api_token&api_token=api-token-1")
            #expect(exchanges[0].headers["content-type"] == "application/x-www-form-urlencoded")
            let calls = server.requests.filter { $0.path != "/oauth2/token" }
            #expect(calls.map { $0.headers["authorization"] } == ["Bearer access-1", "Bearer access-1"])
            #expect(!server.requests.contains { $0.target.contains("api-token-1") })
        }
    }

    @Test func `a 401 is answered by one new exchange and one more try`() async throws {
        let exchanges = Mutex(0)
        let server = try StubServer { request in
            if request.path == "/oauth2/token" {
                let number = exchanges.withLock { count in
                    count += 1
                    return count
                }
                return .init(200, #"{"access_token":"t\#(number)","expires_in":900,"token_type":"bearer","scope":""}"#)
            }
            return request.headers["authorization"] == "Bearer t2" ? .init(200, #"{"ok":true}"#) : .init(401, "{}")
        }
        defer { server.stop() }
        try await ClientFixture.withServer(server) { client, _ in
            let answer: JSONValue = try await client.get("/thing")
            #expect(answer["ok"] == .bool(true))
        }
        #expect(server.requests.map(\.path) == ["/oauth2/token", "/thing", "/oauth2/token", "/thing"])
    }

    @Test func `a second 401 is an error and not a loop`() async throws {
        try await ClientFixture.run({ _ in .init(401, #"{"message":"no"}"#) }) { client, server in
            let error = await holdfastError { let _: JSONValue = try await client.get("/thing") }
            #expect(error?.code == .unauthenticated)
            #expect(server.requests.count == 4)
        }
    }

    @Test func `an API token that the server refuses is an authentication error with the server's words`() async throws
    {
        let server = try StubServer { _ in
            .init(400, #"{"error":"invalid_grant","error_description":"Invalid API token"}"#)
        }
        defer { server.stop() }
        try await ClientFixture.withServer(server) { client, server in
            let error = await holdfastError { let _: JSONValue = try await client.get("/thing") }
            #expect(error?.code == .unauthenticated)
            #expect(error?.message == "Invalid API token")
            #expect(server.requests.count == 1)
            #expect(error.map { !$0.description.contains("api-token-1") } == true)
        }
    }

    @Test func `an access token near its end is exchanged before it is used`() async throws {
        let server = try StubServer { request in
            request.path == "/oauth2/token"
                ? .init(200, #"{"access_token":"t","expires_in":0,"token_type":"bearer","scope":""}"#)
                : .init(200, "{}")
        }
        defer { server.stop() }
        try await ClientFixture.withServer(server) { client, server in
            let _: JSONValue = try await client.get("/one")
            let _: JSONValue = try await client.get("/two")
            #expect(server.requests.filter { $0.path == "/oauth2/token" }.count == 2)
        }
    }
}
