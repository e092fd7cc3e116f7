import Foundation
import HoldfastTestSupport
import Testing

/// A policy is that of a type: what it deletes in one environment it deletes in all.
@Suite struct PolicyScopeTests {
    private let project = "/projects/shopshopshop2"

    private func retention(_ environment: String, removed: [String]) -> String {
        let items = removed.map {
            #"{"id":"\#($0)","created_at":null,"automated":false,"reasons":["manual_count is 1"],"expires_at":null}"#
        }
        return """
            {"environment":"\(environment)","timezone":"UTC","max_backups":null,"manual_count":1,"schedule":[],\
            "next_due_at":null,"attempts":0,"failures":0,"overdue_seconds":0,"due":[],"kept":[],\
            "removed":[\(items.joined(separator: ","))],"warnings":[],\
            "_links":{"self":{"href":"\(project)/environments/\(environment)/retention"}}}
            """
    }

    private func replies() -> [String: StubServer.Reply] {
        func development(_ name: String) -> String {
            ReplyFixture.environment(name).replacingOccurrences(of: #""production""#, with: #""development""#)
        }
        var replies = ReplyFixture.house
        replies["GET \(project)/environments"] = .init(
            200, "[\(ReplyFixture.environment()),\(development("new")),\(development("old"))]")
        replies["GET \(project)/environments/new"] = .init(200, development("new"))
        for (name, removed) in [("main", ["b9"]), ("new", []), ("old", ["b1", "b2"])] {
            replies["POST \(project)/environments/\(name)/retention/preview"] = .init(
                200, retention(name, removed: removed))
        }
        replies["GET \(project)/settings"] = .init(200, PolicyVerbTests.settingsReply)
        replies["PATCH \(project)/settings"] = .init(200, #"{"status":"OK","code":200}"#)
        return replies
    }

    @Test func `backup:policy set asks for what goes in every environment of the type, and in no other`() async throws {
        let arguments = ["backup:policy", "set", "--manual-count", "1", "-p", "shopshopshop2", "-e", "new"]
        let unasked = try await CommandFixture.run(arguments, replies: replies())
        #expect(unasked.status == .failure)
        #expect(unasked.error.contains("deletes b1 of old: manual_count is 1"), "\(unasked.error)")
        #expect(unasked.error.contains("Delete 2 backups of old?"), "\(unasked.error)")
        #expect(!unasked.error.contains("b9"))
        #expect(!unasked.requests.contains { $0.method == "PATCH" })
        let agreed = try await CommandFixture.run(arguments + ["-y"], replies: replies())
        #expect(agreed.status == .success, "\(agreed.error)")
        #expect(agreed.requests.contains { $0.method == "PATCH" })
    }

    @Test func `the last good backup is not one that is being deleted, nor one that is complete nowhere`() async throws
    {
        let nowhere = ReplyFixture.backup("b4", created: "2026-02-02T12:00:00")
            .replacingOccurrences(of: #""complete":true"#, with: #""complete":false"#)
        let leaving = ReplyFixture.backup("b3", created: "2026-02-01T12:00:00", restorable: false)
        var replies = replies()
        replies["GET \(project)/environments"] = .init(200, "[\(ReplyFixture.environment())]")
        replies["GET \(ReplyFixture.base)/retention"] = .init(200, retention("main", removed: []))
        replies["GET \(ReplyFixture.base)/backups"] = .init(200, "[\(nowhere),\(leaving),\(ReplyFixture.backup())]")
        let status = try await CommandFixture.run(["status", "-p", "shopshopshop2"], replies: replies)
        #expect(status.status == .success, "\(status.error)")
        #expect(status.out.contains("2026-01-31T13:00:00"), "\(status.out)")
        let latest = try await CommandFixture.run(
            ["backup:get", "-p", "shopshopshop2", "-e", "main", "--property", "id"], replies: replies)
        #expect(latest.out == "b2\n", "\(latest.error)")
    }

    @Test func `backup:protect asks before it locks, and nothing else`() async throws {
        let path = "\(ReplyFixture.base)/backups/b2/protect"
        var replies = replies()
        replies["POST \(path)"] = .init(200, #"{"status":"OK","code":200}"#)
        let place = ["backup:protect", "b2", "-p", "shopshopshop2", "-e", "main"]
        let lock = place + ["--lock-until", "2030-12-31"]
        let declined = try await CommandFixture.run(lock, replies: replies, answers: [""], canAsk: true)
        #expect(declined.status == .failure)
        #expect(declined.error.contains("before 2031-01-01T00:00:00+00:00. Lock it?"), "\(declined.error)")
        #expect(!declined.calls.contains("POST \(path)"))
        let agreed = try await CommandFixture.run(lock, replies: replies, answers: ["y"], canAsk: true)
        #expect(agreed.calls.contains("POST \(path)"))
        let protected = try await CommandFixture.run(place, replies: replies)
        #expect(protected.status == .success, "\(protected.error)")
    }
}
