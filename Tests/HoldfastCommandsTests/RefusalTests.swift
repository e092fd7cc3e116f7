import Foundation
import HoldfastCommands
import HoldfastTestSupport
import Testing

/// What a verb says if it may not, and what it shows of what it did.
@Suite struct RefusalTests {
    private let base = ReplyFixture.base
    private let where_ = ["-p", "shopshopshop2", "-e", "main"]

    @Test(arguments: [
        ("backup:create", "backup", 403, HoldfastCommands.ExitStatus.permissionDenied),
        ("environment:redeploy", "redeploy", 403, .permissionDenied),
        ("environment:pause", "pause", 409, .failure), ("environment:resume", "resume", 409, .failure),
        ("environment:delete", "delete", 409, .failure),
    ])
    func `a refusal has the server's reason, before anybody is asked`(
        verb: String, operation: String, code: Int, status: HoldfastCommands.ExitStatus
    ) async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)"] = .init(200, ReplyFixture.environment(operations: []))
        replies["GET \(base)/\(operation)"] = .init(code, #"{"message":"the reason","hint":"Do this"}"#)
        let run = try await CommandFixture.run([verb] + where_, replies: replies, answers: ["y"], canAsk: true)
        #expect(run.status == status)
        #expect(run.error.contains("environment 'main': the reason\nDo this.\n"), "\(run.error)")
        #expect(!run.error.contains("/n]") && !run.error.contains("/N]"))
        #expect(run.requests.allSatisfy { $0.method == "GET" || $0.path == "/oauth2/token" })
    }

    @Test func `the address is shown after a deployment and by environment:info, and comes before the rest`()
        async throws
    {
        var replies = ReplyFixture.house
        let address = "http://main.localhost:7080/"
        let environment = ReplyFixture.environment(
            deployed: "aaaa1111", head: "bbbb2222", restoredFrom: "\"b1\"", operations: ["redeploy"]
        ).replacingOccurrences(of: #""instance""#, with: #""public_url":"\#(address)","instance""#)
        replies["GET \(base)"] = .init(200, environment)
        replies["POST \(base)/redeploy"] = ReplyFixture.accepted(
            ReplyFixture.activity("environment.redeploy", state: "pending", result: nil))
        let redeploy = try await CommandFixture.run(["environment:redeploy", "-y"] + where_, replies: replies)
        #expect(redeploy.error.hasSuffix("It is at \(address)\n"), "\(redeploy.error)")
        let info = try await CommandFixture.run(["environment:info"] + where_, replies: replies)
        #expect(info.error.hasPrefix("It runs restored commit aaaa1111 of backup b1"))
        let rows = info.out.split(separator: "\n").filter { $0.hasPrefix("| ") }
        let keys = rows.map { String($0.split(separator: " ")[1]) }.filter { $0 != "|" }
        let order = ["id", "title", "type", "status", "public_url", "deployed_commit", "restored_from", "head_commit"]
        #expect(Array(keys.dropFirst().prefix(8)) == order)
        #expect(keys.last == "resources_overrides", "what has no value comes last")
        let one = try await CommandFixture.run(["environment:info", "-P", "public_url"] + where_, replies: replies)
        #expect(one.out == address + "\n")
    }

    @Test func `lists for programs have the values of the API`() async throws {
        let activities = try await CommandFixture.run(
            ["activity:list", "-a", "-p", "shopshopshop2", "--format", "json"], replies: ReplyFixture.house)
        #expect(activities.out.contains(#""progress" : 100"#))
        #expect(activities.out.contains("\"environments\" : [\n      \"main\"\n    ]"))
        #expect(activities.out.contains(#""time_execute" : 3.5"#))
        let environments = try await CommandFixture.run(
            ["environment:list", "-p", "shopshopshop2", "--format", "json"], replies: ReplyFixture.house)
        #expect(environments.out.contains(#""status" : "active""#))
        let none = try await CommandFixture.run(
            ["environment:list", "--status", "paused", "-p", "shopshopshop2", "--format", "json"],
            replies: ReplyFixture.house)
        #expect(none.out == "[]\n")
        #expect(none.status == .failure)
        #expect(none.error == "No environments match.\n")
    }

    @Test func `activities are cancelled by id, or the only open one, and the server's answer is shown`() async throws {
        var replies = ReplyFixture.house
        let path = "/projects/shopshopshop2/activities/a1"
        let cancelled = ReplyFixture.activity(state: "cancelled", result: nil)
        replies["POST \(path)/cancel"] = ReplyFixture.accepted(cancelled)
        for arguments in [["a1"], []] {
            let run = try await CommandFixture.run(["activity:cancel"] + arguments + where_, replies: replies)
            #expect(run.error == "Activity a1 (Ann made a backup) is cancelled.\n")
        }
        replies["POST \(path)/cancel"] = ReplyFixture.accepted(
            ReplyFixture.activity(state: "in_progress", result: nil))
        let running = try await CommandFixture.run(["activity:cancel", "a1"] + where_, replies: replies)
        #expect(running.error.contains("is asked to stop; its state is in_progress now"))
        replies["POST \(path)/cancel"] = .init(400, #"{"message":"activity a1 cannot be cancelled"}"#)
        let refused = try await CommandFixture.run(["activity:cancel", "a1"] + where_, replies: replies)
        #expect(refused.status == .failure)
        #expect(refused.error == "Error: activity a1 cannot be cancelled\n")
    }

    @Test func `tokens and users are listed, and tokens are revoked`() async throws {
        var replies = ReplyFixture.house
        let times = #""created_at":"2026-01-31T12:00:00Z","updated_at":"2026-01-31T12:00:00Z""#
        let scope = #""permissions":["viewer"],"project":"p1""#
        let token = #"{"id":"t1","name":"ci","user_id":"u1",\#(scope),\#(times),"_links":{}}"#
        replies["GET /users/me/tokens"] = .init(200, "[\(token)]")
        replies["DELETE /users/me/tokens/t1"] = .init(204)
        let list = try await CommandFixture.run(["token:list", "--format", "csv"], replies: replies)
        #expect(list.out == "ID,Name,Project,Permissions,Last used\nt1,ci,p1,viewer,\n", "\(list.error)")
        let revoked = try await CommandFixture.run(["token:revoke", "t1"], replies: replies)
        #expect(revoked.error == "Token t1 is revoked.\n")
        let granted = #""granted_at":"2026-01-31T12:00:00Z","updated_at":"2026-01-31T12:00:00Z""#
        let item = """
            {"user_id":"u1","project_id":"shopshopshop2","organization_id":"o",\
            "permissions":["viewer","staging:admin"],\(granted),"_links":{}}
            """
        replies["GET /projects/shopshopshop2/user-access"] = .init(
            200, #"{"items":[\#(item)],"count":1,"_links":{"ref:users:0":{"href":"/ref/users?in=u1"}}}"#)
        let person = """
            {"u1":{"id":"u1","username":"ann","email":"ann@example.org","first_name":"Ann","last_name":"Lee",\
            "picture":"","mfa_enabled":false,"sso_enabled":false}}
            """
        replies["GET /ref/users"] = .init(200, person)
        let users = try await CommandFixture.run(
            ["user:list", "-p", "shopshopshop2", "--format", "csv"], replies: replies)
        #expect(
            users.out == "Email address,Name,Permissions\nann@example.org,Ann Lee,\"viewer, staging:admin\"\n",
            "\(users.error)")
        replies["GET /projects/shopshopshop2/user-access"] = .init(200, #"{"items":[],"count":0,"_links":{}}"#)
        let nobody = try await CommandFixture.run(
            ["user:list", "-p", "shopshopshop2", "--format", "json"], replies: replies)
        #expect(nobody.status == .failure)
        #expect(nobody.out == "[]\n")
        #expect(nobody.error == "No users found\n")
    }

    @Test func `a project is deleted by its name only, after a question that the server was asked before`() async throws
    {
        var replies = ReplyFixture.house
        let unnamed = try await CommandFixture.run(["project:delete", "-y"], replies: replies)
        #expect(unnamed.status == .failure)
        replies["GET /projects/shopshopshop2/delete"] = .init(409, #"{"message":"it has 2 backups"}"#)
        let refused = try await CommandFixture.run(["project:delete", "-p", "shopshopshop2", "-y"], replies: replies)
        #expect(refused.error == "Error: it has 2 backups\n")
        replies["GET /projects/shopshopshop2/delete"] = .init(200, #"{"allowed":true}"#)
        replies["DELETE /projects/shopshopshop2"] = .init(200, #"{"status":"OK","code":200,"left":["/x/y"]}"#)
        let deaf = try await CommandFixture.run(["project:delete", "-p", "shopshopshop2"], replies: replies)
        #expect(deaf.status == .failure)
        let done = try await CommandFixture.run(
            ["project:delete", "-p", "shopshopshop2", "--with-production", "-y"], replies: replies)
        #expect(done.status == .success, "\(done.error)")
        #expect(done.calls.contains("DELETE /projects/shopshopshop2?with_production=true"))
        #expect(done.error.contains("Could not remove /x/y"))
    }

    @Test func `variables are made at the level that is named, and their values need not be arguments`() async throws {
        var replies = ReplyFixture.house
        replies["POST \(base)/variables"] = .init(201, "{}")
        replies["POST /projects/shopshopshop2/variables"] = .init(201, "{}")
        let made = try await CommandFixture.run(
            ["variable:create", "env:KEY", "--sensitive"] + where_, replies: replies, answers: ["hush"])
        #expect(made.status == .success, "\(made.error)")
        #expect(made.requests.last?.body == #"{"is_sensitive":true,"name":"env:KEY","value":"hush"}"#)
        #expect(!made.error.contains("hush"))
        let shared = try await CommandFixture.run(
            ["variable:create", "A", "--value", "1", "-p", "shopshopshop2"], replies: replies)
        #expect(shared.calls.contains("POST /projects/shopshopshop2/variables"), "\(shared.error)")
        let missing = try await CommandFixture.run(["variable:update", "B", "--value", "1"] + where_, replies: replies)
        #expect(missing.error.contains("variable 'B' does not exist in the environment main"))
        let empty = try await CommandFixture.run(["variable:create", "C"] + where_, replies: replies)
        #expect(empty.error.contains("there is no value"))
    }
}
