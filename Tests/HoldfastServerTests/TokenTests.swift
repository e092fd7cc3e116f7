import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Testing

@Suite struct TokenTests {
    private let form: HTTPFields = [.contentType: "application/x-www-form-urlencoded"]

    @Test(arguments: ["body", "basic", "platform-api-user"])
    func `an API token is exchanged whichever way the client names itself`(client: String) async throws {
        let bench = try Bench()
        let token = try #require(bench.tokens["viewer"]).reveal()
        var headers = form
        var body = "grant_type=api_token&api_token=\(token)"
        switch client {
        case "body": body = "client_id=upsun-cli&client_secret=&" + body
        case "basic":
            headers[.authorization] = "Basic " + Data("upsun-cli:".utf8).base64EncodedString()
            body += "&scope="
        default: headers[.authorization] = "Basic " + Data("platform-api-user:".utf8).base64EncodedString()
        }
        let (sentHeaders, sentBody) = (headers, body)
        try await bench.serve(live: true) { client async throws in
            let answer = try await client.send(.post, "/oauth2/token", sentBody, headers: sentHeaders)
            #expect(answer.status == 200)
            #expect(answer.json["expires_in"] == 900)
            #expect(answer.json["token_type"] == "bearer")
            #expect(answer.json["refresh_token"] == nil)
            let access = try #require(answer.json["access_token"]?.string)
            let me = try await client.send(.get, "/users/me", "", headers: [.authorization: "Bearer \(access)"])
            #expect(me.json["username"] == "viewer")
        }
    }

    @Test func `a wrong token is refused in the words that clients look for`() async throws {
        try await Bench().serve { client async throws in
            let body = "grant_type=api_token&api_token=hfk_nobody_x"
            let wrong = try await client.send(.post, "/oauth2/token", body, headers: form)
            #expect(wrong.status == 400)
            #expect(wrong.json["error"] == "invalid_grant")
            #expect(wrong.json["error_description"]?.string?.contains("Invalid API token") == true)
            let grant = try await client.send(.post, "/oauth2/token", "grant_type=password", headers: form)
            #expect(grant.status == 400)
            #expect(grant.json["error"] == "unsupported_grant_type")
            #expect(try await client.send(.post, "/oauth2/token", "", headers: form).status == 400)
        }
    }

    @Test func `without a good access token everything is 401, and says so as RFC 6750 wants`() async throws {
        let bench = try Bench()
        let apiToken = try #require(bench.tokens["operator"]).reveal()
        try await bench.serve { client async throws in
            for path in ["/users/me", "/projects", bench.path(""), bench.path("/environments"), "/organizations"] {
                let answer = try await client.get(path, as: nil)
                #expect(answer.status == 401, "\(path)")
                #expect(answer.json["kind"] == "unauthenticated")
                #expect(answer.headers[.wwwAuthenticate]?.hasPrefix("Bearer") == true)
            }
            for header in ["Bearer", "Bearer x", "Bearer \(apiToken)", "Basic eDp5", "Bearer hfa_\(apiToken)"] {
                let answer = try await client.send(.get, "/users/me", "", headers: [.authorization: header])
                #expect(answer.status == 401, "\(header.prefix(12))")
            }
        }
    }

    @Test func `an access token that was revoked is wrong at once`() async throws {
        let bench = try Bench()
        let access = try bench.catalogue.exchange(#require(bench.tokens["viewer"])).reveal()
        try await bench.serve { client async throws in
            let body = "client_id=upsun-cli&token=\(access)&token_type_hint=access_token"
            #expect(try await client.send(.post, "/oauth2/revoke", body, headers: form).status == 200)
            let after = try await client.send(.get, "/users/me", "", headers: [.authorization: "Bearer \(access)"])
            #expect(after.status == 401)
            #expect(try await client.send(.post, "/oauth2/revoke", "token=x", headers: form).status == 200)
        }
    }

    @Test func `a token is shown once, and narrowed tokens do no more than they say`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let body = #"{"name":"ci","project":"\#(bench.project.id)","permissions":["staging:admin"]}"#
            let made = try await client.post("/users/me/tokens", body, as: "operator")
            #expect(made.status == 201)
            let secret = try #require(made.json["token"]?.string)
            let listed = try await client.get("/users/me/tokens", as: "operator")
            #expect(!listed.text.contains(secret))
            #expect(listed.items.count == 2)

            let access = try bench.catalogue.exchange(Secret(secret)).reveal()
            let headers: HTTPFields = [.authorization: "Bearer \(access)"]
            func post(_ path: String, _ body: String) async throws -> Int {
                try await client.send(.post, path, body, headers: headers).status
            }
            #expect(try await post(bench.path("/environments/stage/backup"), "{}") == 202)
            #expect(try await post(bench.path("/environments/main/backup"), "{}") == 403)
            #expect(try await post("/projects", #"{"title":"x"}"#) == 403)
            #expect(try await post("/users/me/tokens", #"{"name":"more"}"#) == 403)
        }
    }

    @Test func `only operators make tokens for others`() async throws {
        try await Bench().serve { client async throws in
            let body = #"{"name":"x","user":"viewer@example.org"}"#
            #expect(try await client.post("/users/me/tokens", body, as: "manager").status == 403)
            let made = try await client.post("/users/me/tokens", body, as: "operator")
            #expect(made.status == 201)
            #expect(made.json["user_id"] == client.bench.users["viewer"].map { .string($0.id.rawValue) })
        }
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("localhost", true), ("::1", true), ("127.9.9.9", true), ("0.0.0.0", false),
        ("127.0.0.1.example.org", false), ("10.0.0.1", false), ("127.1", false), ("", false), ("127.0.0.999", false),
    ])
    func `tokens never travel in clear text over a network unless somebody says so`(host: String, isFine: Bool) {
        var configuration = ServerConfiguration(host: host, port: 8443)
        #expect(((try? configuration.validate()) != nil) == isFine)
        configuration.allowsInsecure = true
        #expect((try? configuration.validate()) != nil)
        configuration.allowsInsecure = false
        configuration.tls = ServerConfiguration.TLSFiles(certificate: "c.pem", key: "k.pem")
        #expect((try? configuration.validate()) != nil)
        configuration.port = 70_000
        #expect((try? configuration.validate()) == nil)
    }

    @Test func `a token that says more than its owner may do is refused`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            func make(_ permission: String, as who: String) async throws -> Answer {
                let body = #"{"name":"x","project":"\#(bench.project.id)","permissions":["\#(permission)"]}"#
                return try await client.post("/users/me/tokens", body, as: who)
            }
            let refused = try await make("production:admin", as: "viewer")
            #expect(refused.status == 403)
            #expect(refused.message.contains("production:admin"))
            #expect(try await make("admin", as: "producer").status == 403)
            #expect(try await make("viewer", as: "producer").status == 403)
            #expect(try await make("viewer", as: "stranger").status == 403)
            #expect(try await make("production:viewer", as: "viewer").status == 201)
            #expect(try await make("production:contributor", as: "producer").status == 201)
            #expect(try await make("admin", as: "operator").status == 201)
        }
    }

    @Test func `operators list and revoke the tokens of others, by address too`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let listed = try await client.get("/users/viewer%40example.org/tokens", as: "operator").items
            let id = try #require(listed.first?["id"]?.string)
            #expect(try await client.get("/users/viewer%40example.org/tokens", as: "manager").status == 403)
            let path = "/users/viewer%40example.org/tokens/\(id)"
            #expect(try await client.send(.delete, path, as: "operator").status == 204)
            #expect(try await client.send(.delete, path, as: "operator").status == 404)
        }
        let token = try #require(bench.tokens["viewer"])
        #expect(throws: HoldfastError.self) { try bench.catalogue.exchange(token) }
    }
}
