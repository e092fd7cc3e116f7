import Foundation
import HTTPTypes
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Hummingbird
import NIOCore
import Testing

/// Git over HTTP in front of a stub: who is let in, what the backend is told, what becomes of slow and lost clients.
@Suite struct GitHTTPTests {
    private static let push = "git-receive-pack"
    private static let fetch = "git-upload-pack"

    private func hook(
        _ bench: Bench, _ backend: any GitBackend, limit: Int = 32, stall: Duration = .seconds(900)
    ) -> [RouteHook] {
        let access = GitAccess(catalogue: bench.catalogue, time: bench.time)
        let routes = GitHTTPRoutes(access: access, backend: backend, limit: limit, stall: stall)
        return [{ routes.add(to: $0) }]
    }

    private func authorization(_ bench: Bench, _ name: String) throws -> String {
        let token = try #require(bench.tokens[name]).reveal()
        return "Basic " + Data("git:\(token)".utf8).base64EncodedString()
    }

    private func headers(_ bench: Bench, _ name: String, _ more: HTTPFields = [:]) throws -> HTTPFields {
        var headers = more
        headers[.authorization] = try authorization(bench, name)
        return headers
    }

    private func waitUntil(_ condition: () -> Bool) async throws {
        for _ in 0..<600 where !condition() { try await Task.sleep(for: .milliseconds(50)) }
        #expect(condition())
    }

    // MARK: Who is let in

    @Test func `without a good API token Git is asked for a password and nothing is started`() async throws {
        let bench = try Bench()
        let stub = GitStub(.say("no"))
        let viewer = try #require(bench.tokens["viewer"]).reveal()
        let access = try bench.catalogue.exchange(Secret(viewer)).reveal()
        func basic(_ text: String) -> String { "Basic " + Data(text.utf8).base64EncodedString() }
        let wrong: [String?] = [
            nil, "Basic", "Basic !!!", basic(viewer), basic("\(viewer):"), basic("git:\(viewer)x"), basic("git:"),
            // An access token is for the API: it is short-lived, and Git would store it.
            basic("git:\(access)"), "Bearer \(viewer)", basic("git:hfk_" + String(repeating: "a", count: 4000)),
        ]
        try await bench.serve(hooks: hook(bench, stub)) { client in
            for header in wrong {
                var headers = HTTPFields()
                headers[.authorization] = header
                let path = "/\(bench.project.id).git/info/refs?service=\(Self.push)"
                let answer = try await client.send(.get, path, "", headers: headers)
                #expect(answer.status == 401, "\(header ?? "none")")
                #expect(answer.headers[.wwwAuthenticate]?.hasPrefix("Basic ") == true)
                #expect(answer.headers[.contentType]?.hasPrefix("text/plain") == true)
                #expect(answer.text.contains("API token"), "\(answer.text)")
                #expect(!answer.text.contains(viewer))
            }
        }
        #expect(stub.requests.isEmpty)
    }

    @Test func `a role is needed, it is said which, and every refusal is on record`() async throws {
        let bench = try Bench()
        let stub = GitStub(.say("\(GitStub.head)fine"))
        let cases: [(name: String, service: String, status: Int, words: [String])] = [
            ("viewer", Self.fetch, 200, ["fine"]),
            ("viewer", Self.push, 403, ["viewer", "contributor", "a push needs it"]),
            ("stager", Self.push, 200, ["fine"]), ("producer", Self.push, 200, ["fine"]),
            ("manager", Self.push, 200, ["fine"]), ("operator", Self.push, 200, ["fine"]),
            ("stranger", Self.fetch, 404, ["no project"]), ("stranger", Self.push, 404, ["no project"]),
        ]
        try await bench.serve(hooks: hook(bench, stub)) { client in
            for item in cases {
                for path in ["/info/refs?service=\(item.service)", "/\(item.service)"] {
                    let answer = try await client.send(
                        path.hasPrefix("/info") ? .get : .post, "/\(bench.project.id).git\(path)", "",
                        headers: try headers(bench, item.name))
                    #expect(answer.status == item.status, "\(item.name) \(path): \(answer.text)")
                    for word in item.words { #expect(answer.text.contains(word), "\(item.name): \(answer.text)") }
                }
            }
        }
        #expect(stub.requests.count == 10)
        let refused = try bench.catalogue.auditLog(of: bench.project.id, limit: 100).filter { $0.result == .refused }
        #expect(refused.count == 6)
        #expect(refused.filter { $0.action == "environment.push" }.count == 4)
    }

    @Test func `a narrowed token does not push, and not to another project`() async throws {
        let bench = try Bench()
        let stub = GitStub(.say("\(GitStub.head)fine"))
        let user = try #require(bench.users["manager"])
        let scope = TokenScope(project: bench.project.id, permissions: try Permissions(strings: ["viewer"]))
        let token = try bench.catalogue.createToken(named: "narrow", for: user.id, scope: scope).secret
        let other = Project(
            id: .random(), title: "Other", defaultBranch: "main", region: "local", timeZone: "UTC",
            createdAt: bench.time.now())
        try bench.catalogue.createProject(other)
        _ = try bench.catalogue.grant(Permissions(strings: ["admin"]), to: user.id, in: other.id)
        let fields: HTTPFields = [
            .authorization: "Basic " + Data("x:\(token.reveal())".utf8).base64EncodedString()
        ]
        try await bench.serve(hooks: hook(bench, stub)) { client in
            let id = bench.project.id
            let fetch = try await client.send(.get, "/\(id).git/info/refs?service=\(Self.fetch)", "", headers: fields)
            #expect(fetch.status == 200)
            let push = try await client.send(.post, "/\(id).git/\(Self.push)", "", headers: fields)
            #expect(push.status == 403)
            let elsewhere = try await client.send(.post, "/\(other.id).git/\(Self.push)", "", headers: fields)
            #expect(elsewhere.status == 404)
        }
        #expect(stub.requests.count == 1)
    }

    @Test func `nothing but a project's two services is at these addresses`() async throws {
        let bench = try Bench()
        let stub = GitStub(.say("\(GitStub.head)fine"))
        let id = bench.project.id
        let gets = [
            "/\(id).git/HEAD", "/\(id).git/config", "/\(id).git/objects/info/packs", "/\(id).git/info/refs",
            "/\(id).git/info/refs?service=git-upload-archive", "/\(id).git/info/refs?service=../../x",
            "/..%2f\(id).git/info/refs?service=\(Self.fetch)", "/nosuch.git/info/refs?service=\(Self.fetch)",
            "/%2e%2e%2f%2e%2e%2fetc.git/info/refs?service=\(Self.fetch)", "/.git/info/refs?service=\(Self.fetch)",
            "/git/..%2f\(id).git/info/refs?service=\(Self.fetch)",
        ]
        try await bench.serve(hooks: hook(bench, stub)) { client in
            for path in gets {
                let answer = try await client.send(.get, path, "", headers: try headers(bench, "operator"))
                // A path that is nobody's meets the API first, which wants a token of another kind.
                #expect([401, 404].contains(answer.status), "\(path): \(answer.status)")
            }
            let answer = try await client.send(
                .post, "/\(id).git/git-upload-archive", "x", headers: try headers(bench, "operator"))
            #expect([401, 404].contains(answer.status))
        }
        #expect(stub.requests.isEmpty)
    }

    // MARK: What the backend is told, and what it says

    @Test func `the backend is told what CGI tells, and odd headers do not reach it`() async throws {
        let bench = try Bench()
        let stub = GitStub(.say("\(GitStub.head)fine"))
        let version = try #require(HTTPField.Name("Git-Protocol"))
        let path = "/git/\(bench.project.id).git/\(Self.fetch)"
        try await bench.serve(hooks: hook(bench, stub)) { client in
            let type = "application/x-git-upload-pack-request"
            let good = try headers(
                bench, "viewer", [.contentType: type, .contentEncoding: "gzip", version: "version=2:hash=sha1"])
            let answer = try await client.send(.post, path, "0000", headers: good)
            #expect(answer.headers[.contentType] == "application/x-git-test")
            #expect(answer.headers[.cacheControl] == "no-cache")
            #expect(HTTPField.Name("X-Odd").flatMap { answer.headers[$0] } == nil)
            let odd = try headers(bench, "viewer", [version: "version=2\tGIT_DIR=/etc; $(id)"])
            #expect(try await client.send(.post, path, "0000", headers: odd).status == 200)
            let packed = try headers(bench, "viewer", [.contentEncoding: "br"])
            #expect(try await client.send(.post, path, "0000", headers: packed).status == 400)
        }
        #expect(stub.requests.count == 2)
        let first = try #require(stub.requests.first)
        #expect(first.project == bench.project.id)
        #expect(first.service == .uploadPack && !first.isAdvertisement)
        #expect(first.contentEncoding == "gzip")
        #expect(first.contentType == "application/x-git-upload-pack-request")
        #expect(first.protocolVersion == "version=2:hash=sha1")
        #expect(first.session.user.username == "viewer")
        #expect(stub.requests.last?.protocolVersion == nil)
    }

    @Test(arguments: [
        ("Status: 403 Forbidden\nContent-Type: text/plain\n\nno", 403, "no"),
        ("Status: 404 Not Found\r\n\r\n", 404, ""), ("Content-Type: a/b\r\n\r\n\n\nbody", 200, "\n\nbody"),
    ])
    func `the status and the body are Git's`(said: String, status: Int, body: String) async throws {
        let bench = try Bench()
        try await bench.serve(hooks: hook(bench, GitStub(.say(said)))) { client in
            let answer = try await client.send(
                .post, "/\(bench.project.id).git/\(Self.fetch)", "0000", headers: try headers(bench, "viewer"))
            #expect(answer.status == status)
            #expect(answer.text == body)
        }
    }

    @Test(arguments: [
        "", "no head", "Status: 99\n\n", "Status: x\n\nsecret", "a line\n\nsecret",
        "X: " + String(repeating: "x", count: 20_000),
    ])
    func `what is no answer is a fault of ours that says nothing about it`(said: String) async throws {
        let bench = try Bench()
        try await bench.serve(hooks: hook(bench, GitStub(.say(said)))) { client in
            let answer = try await client.send(
                .post, "/\(bench.project.id).git/\(Self.fetch)", "0000", headers: try headers(bench, "viewer"))
            #expect(answer.status == 500)
            #expect(!answer.text.contains("secret"))
        }
    }

    // MARK: Long, slow, lost

    @Test func `a body larger than any limit of the API passes through, both ways at once`() async throws {
        let bench = try Bench()
        let stub = GitStub(.echo)
        try await bench.serve(live: true, hooks: hook(bench, stub), bodyLimit: 1000) { client in
            let body = ByteBuffer(bytes: (0..<(24 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
            let response = try await client.raw.executeRequest(
                uri: "/\(bench.project.id).git/\(Self.push)", method: .post, headers: try headers(bench, "stager"),
                body: body)
            #expect(response.status == .ok)
            #expect(response.body == body)
        }
        #expect(stub.exchanges.first?.receivedBytes == 24 << 20)
    }

    @Test func `only so many run at once, and a place is free again when one has ended`() async throws {
        let bench = try Bench()
        let stub = GitStub(.late("done"))
        try await bench.serve(live: true, hooks: hook(bench, stub, limit: 1)) { client in
            let port = try #require(client.raw.port)
            let head = try head(bench, "stager", Self.push, length: 4)
            let first = try await onThread { try RawConnection(port: port) }
            let begun = try await onThread {
                first.send(head + "00")
                return first.receive(until: "\r\n\r\n")
            }
            #expect(begun.contains("200 OK"))
            let path = "/\(bench.project.id).git/\(Self.fetch)"
            let second = try await client.send(.post, path, "0000", headers: try headers(bench, "viewer"))
            #expect(second.status == 503)
            #expect(second.text.contains("1 fetches and pushes run already"), "\(second.text)")
            let end = try await onThread {
                first.send("00")
                return first.receive(until: "0\r\n\r\n")
            }
            #expect(end.contains("done"))
            var third = 0
            for _ in 0..<100 where third != 200 {
                third = try await client.send(.post, path, "0000", headers: try headers(bench, "viewer")).status
                if third != 200 { try await Task.sleep(for: .milliseconds(50)) }
            }
            #expect(third == 200)
        }
    }

    @Test func `a backend that says nothing is ended, and the client is told`() async throws {
        let bench = try Bench()
        let stub = GitStub(.silence)
        try await bench.serve(hooks: hook(bench, stub, stall: .milliseconds(300))) { client in
            let answer = try await client.send(
                .post, "/\(bench.project.id).git/\(Self.fetch)", "0000", headers: try headers(bench, "viewer"))
            #expect(answer.status == 504)
            #expect(answer.text.contains("nothing moved"), "\(answer.text)")
        }
        #expect(stub.exchanges.first?.wasStopped == true)
    }

    @Test func `a push whose client is gone is not ended: its input ends, and it may finish`() async throws {
        let bench = try Bench()
        let stub = GitStub(.late(String(repeating: "x", count: 1 << 20)))
        try await bench.serve(live: true, hooks: hook(bench, stub)) { client in
            let port = try #require(client.raw.port)
            let head = try head(bench, "stager", Self.push, length: 1 << 20)
            try await onThread {
                let connection = try RawConnection(port: port)
                connection.send(head + "0000")
                _ = connection.receive(until: "\r\n\r\n")
                connection.cut()
            }
            try await waitUntil { stub.exchanges.first?.hasFinished == true }
            #expect(stub.exchanges.first?.inputIsClosed == true)
        }
    }

    @Test func `a fetch whose client is gone is ended, however much it would still say`() async throws {
        let bench = try Bench()
        let stub = GitStub(.flood)
        try await bench.serve(live: true, hooks: hook(bench, stub)) { client in
            let port = try #require(client.raw.port)
            let head = try head(bench, "viewer", Self.fetch, length: 4)
            try await onThread {
                let connection = try RawConnection(port: port)
                connection.send(head + "0000")
                _ = connection.receive(until: "AAAA")
                connection.cut()
            }
            try await waitUntil { stub.exchanges.first?.wasStopped == true }
        }
    }

    private func head(_ bench: Bench, _ name: String, _ service: String, length: Int) throws -> String {
        "POST /\(bench.project.id).git/\(service) HTTP/1.1\r\nHost: localhost\r\n"
            + "Authorization: \(try authorization(bench, name))\r\nContent-Length: \(length)\r\n\r\n"
    }

    // MARK: Branches

    @Test func `a push is judged by the types of its branches, all or none`() throws {
        let bench = try Bench()
        let access = GitAccess(catalogue: bench.catalogue, time: bench.time)
        func judge(_ name: String, _ references: [String]) throws {
            let token = try #require(bench.tokens[name])
            let session = try bench.catalogue.authenticate(apiToken: token)
            try access.judge(
                push: references, to: bench.project.id, by: session.user.id, token: session.token)
        }
        try judge("stager", ["refs/heads/stage"])
        try judge("producer", ["refs/heads/main", "refs/tags/v1"])
        try judge("manager", ["refs/heads/main", "refs/heads/new", "refs/heads/stage"])
        let refused: [(String, [String])] = [
            ("stager", ["refs/heads/main"]), ("stager", ["refs/heads/stage", "refs/heads/main"]),
            // What does not exist yet would be a development environment.
            ("stager", ["refs/heads/new"]), ("producer", ["refs/heads/new"]), ("viewer", ["refs/tags/v1"]),
            ("stranger", ["refs/heads/stage"]),
        ]
        for (name, references) in refused {
            #expect(throws: HoldfastError.self, "\(name) \(references)") { try judge(name, references) }
        }
        let entries = try bench.catalogue.auditLog(of: bench.project.id, limit: 100)
        #expect(entries.filter { $0.result == .allowed }.count == 6)
        #expect(entries.filter { $0.result == .refused }.count == 7)
    }

    @Test func `a token that was revoked during the push, or is another's, pushes nothing`() throws {
        let bench = try Bench()
        let access = GitAccess(catalogue: bench.catalogue, time: bench.time)
        let session = try bench.catalogue.authenticate(apiToken: try #require(bench.tokens["manager"]))
        let stranger = try #require(bench.users["stranger"])
        #expect(throws: HoldfastError.self) {
            try access.judge(
                push: ["refs/heads/main"], to: bench.project.id, by: stranger.id, token: session.token)
        }
        try bench.catalogue.revokeToken(session.token, of: session.user.id)
        #expect(throws: HoldfastError.self) {
            try access.judge(
                push: ["refs/heads/main"], to: bench.project.id, by: session.user.id, token: session.token)
        }
    }
}
