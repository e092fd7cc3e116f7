import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Testing

@Suite struct ErrorTests {
    private func error(_ status: Int, _ body: String) async throws -> HoldfastError? {
        try await ClientFixture.run({ _ in .init(status, body) }) { client, _ in
            await holdfastError { let _: JSONValue = try await client.get("/thing") }
        }
    }

    @Test func `the kind that our servers name goes before the status`() async throws {
        let found = try await error(409, #"{"message":"it is locked","kind":"locked","code":409,"hint":"Wait for it"}"#)
        #expect(found?.code == .locked)
        #expect(found?.message == "it is locked")
        #expect(found?.hint == "Wait for it")
    }

    @Test(arguments: [
        (400, HoldfastError.Code.invalidInput), (403, .forbidden), (404, .notFound), (409, .conflict),
        (422, .invalidInput), (429, .unavailable), (500, .internalFault), (501, .unsupported), (503, .unavailable),
        (507, .noSpace),
    ])
    func `a status without a kind has a code of its own`(status: Int, code: HoldfastError.Code) async throws {
        #expect(try await error(status, "{}")?.code == code)
    }

    @Test func `detail, title and a body that is no JSON are understood`() async throws {
        #expect(try await error(400, #"{"detail":"bad branch"}"#)?.message == "bad branch")
        #expect(try await error(403, #"{"title":"Forbidden"}"#)?.message == "Forbidden")
        let properties = try await error(
            400, #"{"message":"refused","detail":{"type":"no such type","parent":"loop"}}"#)
        #expect(properties?.message == "refused; parent: loop; type: no such type")
        let own = try await error(
            400, #"{"message":"'a.b': is 0, should be more","detail":{"a.b":"is 0, should be more"}}"#)
        #expect(own?.message == "'a.b': is 0, should be more", "nothing is said twice")
        #expect(try await error(502, "<html>bad gateway</html>")?.message == "the server answered with HTTP status 502")
    }

    @Test func `no server is an error that says where there is none`() async throws {
        let server = try StubServer { _ in .init(200) }
        let url = server.url
        server.stop()
        try await ClientFixture.withServer(server) { client, _ in
            let found = await holdfastError { let _: JSONValue = try await client.get("/thing") }
            #expect(found?.code == .unavailable)
            #expect(found?.message.contains(url) == true)
        }
    }

    @Test func `a server that says nothing is a time-out`() async throws {
        var limits = ClientFixture.quick
        limits.request = .milliseconds(200)
        limits.silence = .milliseconds(200)
        try await ClientFixture.run({ _ in .init(200, "{}").after(seconds: 1) }, limits: limits) { client, _ in
            let found = await holdfastError { let _: JSONValue = try await client.get("/thing") }
            #expect(found?.code == .timedOut)
        }
    }

    @Test func `an answer of another shape is a fault and does not show its bytes`() async throws {
        try await ClientFixture.run({ _ in .init(200, "[1,2]") }) { client, _ in
            let found = await holdfastError { let _: Resource<API.Project> = try await client.get("/projects/p1") }
            #expect(found?.code == .internalFault)
        }
    }
}
