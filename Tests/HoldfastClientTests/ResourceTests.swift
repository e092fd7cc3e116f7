import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct ResourceTests {
    private struct Thing: Codable, Sendable {
        var name: String
        var headCommit: String?
    }

    @Test func `an object keeps its raw keys beside its typed value and its links`() throws {
        let thing: Resource<Thing> = try ClientFixture.decode(
            #"{"name":"main","head_commit":"abc","other_key":{"inner_key":[1,null]},"_links":{"self":{"href":"/x"}}}"#)
        #expect(thing.value.headCommit == "abc")
        #expect(thing.properties["other_key"] == ["inner_key": [1, nil]])
        #expect(thing.properties["_links"] == nil)
        #expect(try thing.link("self") == "/x")
        #expect(!thing.offers("backup"))
    }

    @Test func `an operation whose link is missing is looked for once more, then not offered`() async throws {
        let thing: Resource<Thing> = try ClientFixture.decode(#"{"name":"main","_links":{"self":{"href":"/x"}}}"#)
        try await ClientFixture.run({ _ in .init(200, #"{"name":"main","_links":{"self":{"href":"/x"}}}"#) }) {
            client, server in
            let started = try await client.operate("backup", on: thing)
            #expect(started == nil)
            #expect(server.requests.map(\.method) == ["POST", "GET"])
        }
    }

    @Test func `an operation sends its body to the link and gives the activities`() async throws {
        let thing: Resource<Thing> = try ClientFixture.decode(
            ##"{"name":"main","_links":{"self":{"href":"/x"},"#backup":{"href":"/x/backup"}}}"##)
        let reply = #"{"status":"Accepted","code":202,"_embedded":{"activities":[\#(ClientFixture.activity())]}}"#
        try await ClientFixture.run({ _ in .init(202, reply) }) { client, server in
            let started = try await client.operate("backup", on: thing, body: API.BackupInput(safe: false))
            #expect(started?.activities.first?.value.backupName == "b1")
            #expect(server.requests.last?.method == "POST")
            #expect(server.requests.last?.target == "/x/backup")
            #expect(server.requests.last?.body == #"{"safe":false}"#)
        }
    }

    @Test func `activities are paged by time and no one comes twice`() async throws {
        @Sendable func item(_ id: String, _ second: Int) -> String {
            ClientFixture.activity().replacingOccurrences(of: #""id":"a1""#, with: #""id":"\#(id)""#)
                .replacingOccurrences(of: "12:00:00", with: "12:00:0\(second)")
        }
        try await ClientFixture.run({ request in
            request.target.contains("starts_at")
                ? .init(200, "[\(item("a2", 2)),\(item("a3", 1))]") : .init(200, "[\(item("a1", 3)),\(item("a2", 2))]")
        }) { client, server in
            var filter = ActivityFilter()
            filter.types = ["environment.backup", "environment.restore"]
            filter.limit = 3
            let found = try await client.activities(under: "/projects/p1", filter)
            #expect(found.map(\.value.id.rawValue) == ["a1", "a2", "a3"])
            let target = server.requests.last?.target ?? ""
            #expect(
                target.hasPrefix("/projects/p1/activities?type=environment.backup&type=environment.restore&starts_at="))
            #expect(target.contains("12%3A00%3A02.000000%2B00%3A00"))
        }
    }
}
