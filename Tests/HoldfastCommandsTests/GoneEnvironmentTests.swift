import Foundation
import HoldfastCommands
import HoldfastTestSupport
import Testing

/// Backups of environments that were deleted, and questions about what cannot be taken back.
@Suite struct GoneEnvironmentTests {
    private let project = "/projects/shopshopshop2"

    private func gone(_ id: String = "b9", environment: String = "feature/x") -> String {
        ReplyFixture.backup(id, environment: environment)
            .replacingOccurrences(of: #""degraded""#, with: #""environment_deleted":true,"degraded""#)
            .replacingOccurrences(of: "\(ReplyFixture.base)/backups", with: "\(project)/backups")
    }

    private var replies: [String: StubServer.Reply] {
        var replies = ReplyFixture.house
        replies["GET \(project)/backups"] = .init(200, "[\(gone()),\(ReplyFixture.backup())]")
        replies["GET \(project)/backups/b9"] = .init(200, gone())
        replies["POST \(project)/backups/b9/restore"] = ReplyFixture.accepted(
            ReplyFixture.activity("environment.restore", state: "pending", result: nil))
        replies["DELETE \(project)/backups/b9"] = ReplyFixture.accepted(
            ReplyFixture.activity("environment.backup.delete", state: "pending", result: nil))
        return replies
    }

    private func run(_ arguments: [String]) async throws -> CommandRun {
        try await CommandFixture.run(arguments + ["-p", "shopshopshop2"], replies: replies)
    }

    @Test func `backups of a deleted environment are listed by its name, and with all others`() async throws {
        let named = try await run(["backup:list", "-e", "feature/x", "--format", "csv", "--no-header", "-c", "id"])
        #expect(named.out == "b9\n", "\(named.error)")
        let all = try await run(["backup:list", "--all", "--format", "csv", "--no-header", "-c", "id,environment"])
        #expect(all.out == "b9,feature/x (deleted)\nb2,main\n", "\(all.error)")
        let json = try await run(["backup:list", "--all", "--format", "json", "-c", "environment,environment_deleted"])
        #expect(json.out.contains(#""environment" : "feature/x""#))
        #expect(json.out.contains(#""environment_deleted" : true"#))
        let pipe = try await run(["backup:list", "--all-environments", "--pipe"])
        #expect(pipe.out == "b9\nb2\n")
        let neither = try await run(["backup:list", "-e", "nosuch"])
        #expect(neither.status == .failure)
        #expect(neither.error.contains("environment 'nosuch' does not exist"))
    }

    @Test(arguments: [["-e", "feature/x"], ["-e", "feature%2Fx"], ["-e", "main"], []])
    func `a backup of a deleted environment is shown, restored elsewhere and deleted`(place: [String]) async throws {
        let get = try await run(["backup:get", "b9", "-P", "environment"] + place)
        #expect(get.out == "feature/x\n", "\(get.error)")
        let restore = try await run(["backup:restore", "b9", "--target", "main", "-y"] + place)
        #expect(restore.status == .success, "\(restore.error)")
        #expect(restore.error.contains("taken of environment: feature/x (deleted)"))
        #expect(
            restore.requests.first { $0.path == "\(project)/backups/b9/restore" }?.body
                == #"{"environment_name":"main"}"#)
        let delete = try await run(["backup:delete", "b9", "-y"] + place)
        #expect(delete.calls.contains("DELETE \(project)/backups/b9"), "\(delete.error)")
    }

    @Test func `where a backup of another or a deleted environment goes has to be said`() async throws {
        for place in [["-e", "feature/x"], ["-e", "main"], []] {
            let refused = try await run(["backup:restore", "b9", "-y"] + place)
            #expect(refused.status == .failure)
            #expect(refused.error.contains("--target"), "\(refused.error)")
            #expect(!refused.requests.contains { $0.path.hasSuffix("/restore") })
        }
    }

    @Test func `a target that does not exist is refused before anybody is asked`() async throws {
        let refused = try await CommandFixture.run(
            ["backup:restore", "b2", "--target", "nope", "-p", "shopshopshop2", "-e", "main"],
            replies: replies.merging([
                "POST \(ReplyFixture.base)/backups/b2/restore": .init(
                    404, #"{"message":"there is no environment 'nope'","hint":"Push it first"}"#)
            ]) { $1 }, answers: ["y"], canAsk: true)
        #expect(refused.status == .failure)
        #expect(refused.error == "Error: there is no environment 'nope'\nPush it first.\n")
    }

    @Test(arguments: [
        ["backup:delete", "b2"], ["backup:restore", "b2"], ["backup:restore", "--undo"], ["environment:delete"],
        ["environment:deactivate"],
    ])
    func `what destroys needs a yes: no is the usual answer, and without a terminal it is refused`(verb: [String])
        async throws
    {
        var replies = ReplyFixture.house
        let operations = ["backup", "delete", "deactivate", "undo-restore"]
        replies["GET \(ReplyFixture.base)"] = .init(200, ReplyFixture.environment(operations: operations))
        let arguments = verb + ["-p", "shopshopshop2", "-e", "main"]
        let deaf = try await CommandFixture.run(arguments, replies: replies)
        #expect(deaf.status == .failure)
        #expect(deaf.error.contains("Add --yes to go ahead"), "\(deaf.error)")
        let silent = try await CommandFixture.run(arguments, replies: replies, answers: [""], canAsk: true)
        #expect(silent.status == .failure)
        #expect(silent.error.contains("[y/N]"), "\(silent.error)")
        for run in [deaf, silent] {
            #expect(run.requests.allSatisfy { $0.method == "GET" || $0.path == "/oauth2/token" })
        }
    }

    @Test func `an undo says what it changes`() async throws {
        var replies = ReplyFixture.house
        let environment = ReplyFixture.environment(
            deployed: "aaaa1111", restoredFrom: "\"b1\"", operations: ["undo-restore"]
        ).replacingOccurrences(
            of: #""instance""#,
            with: #""before_restore":{"commit":"bbbb2222","deployed_at":"2026-01-31T12:00:00Z"},"instance""#)
        replies["GET \(ReplyFixture.base)"] = .init(200, environment)
        let run = try await CommandFixture.run(
            ["backup:restore", "--undo", "-p", "shopshopshop2", "-e", "main"], replies: replies, answers: ["n"],
            canAsk: true)
        #expect(run.error.contains("  code: commit bbbb2222 instead of commit aaaa1111 of backup b1\n"))
        #expect(run.error.contains("written since"))
    }
}
