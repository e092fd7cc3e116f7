import Foundation
import HoldfastCommands
import HoldfastTestSupport
import Testing

@Suite struct BackupVerbTests {
    private let where_ = ["-p", "shopshopshop2", "-e", "main"]
    private let base = ReplyFixture.base

    @Test func `backup:create shows the log and what the backup is worth, and prints its name`() async throws {
        let run = try await CommandFixture.run(["backup:create", "-y"] + where_, replies: ReplyFixture.house)
        #expect(run.status == .success)
        #expect(run.out == "Backup name: b2\n")
        #expect(run.error.contains("Pre-copied service db\n"))
        #expect(run.error.contains("held 212 ms (37 requests, longest 187 ms), consistent\n"))
        #expect(run.error.contains("size 1.2 GiB, new data 34 MiB, on a, b\n"))
        let post = run.requests.first { $0.method == "POST" && $0.path == base + "/backup" }
        #expect(post?.body == #"{"safe":true}"#)
    }

    @Test(arguments: [true, false])
    func `backup:create --dry-run says how the point would be taken, and asks for nothing`(known: Bool) async throws {
        var replies = ReplyFixture.house
        let holds = known ? #""hold_milliseconds":60.4,"longest_hold_milliseconds":90,"holds":3"# : #""holds":0"#
        // Older servers say only who is marked.
        let marks =
            known
            ? #""service_marks":[{"name":"db","method":"physical","mark":"in the hold a restore point"},"#
                + #"{"name":"queue","method":"frozen","mark":"set aside","shared":false}],"# : ""
        let mounts =
            #"[{"name":"ledger/files","watched":true,"shared":false},"#
            + #"{"name":"ledger/media","watched":false,"shared":true}]"#
        replies["GET \(base)/backup"] = .init(
            200, #"{"allowed":true,"mounts":\#(mounts),"services":["db","queue"],\#(marks)\#(holds)}"#)
        let run = try await CommandFixture.run(["backup:create", "--dry-run"] + where_, replies: replies)
        #expect(run.status == .success)
        #expect(run.out.contains("mount ledger/files: files that the kernel tells were touched are copied aside as a "))
        #expect(run.out.contains("those that changed are shared with a copy (reflink)\n"))
        #expect(
            run.out.contains(
                known
                    ? "service db: physical, in the hold a restore point\n"
                        + "service queue: frozen, set aside as whole copies (no reflink)\n"
                    : "service db: read before, marked in the hold, completed after it\nservice queue: read before"))
        #expect(
            run.out.contains(
                known
                    ? "expected hold: 60 ms (3 consistent backups, longest 90 ms)\n"
                    : "expected hold: unknown"))
        #expect(!run.requests.contains { $0.method == "POST" && $0.path == base + "/backup" })
    }

    @Test func `what the log said is not said again`() async throws {
        var replies = ReplyFixture.house
        replies["GET /projects/shopshopshop2/activities/a1/log"] = ReplyFixture.log(
            "held 212 ms (37 requests, longest 187 ms), consistent", "Stored 1.2 GiB, new data 34 MiB, on a, b")
        let run = try await CommandFixture.run(["backup", "-y"] + where_, replies: replies)
        #expect(run.error.components(separatedBy: "held 212 ms").count == 2)
        #expect(run.error.components(separatedBy: "new data").count == 2)
    }

    @Test func `backup:create --live --no-wait asks for a live one and returns at once`() async throws {
        let run = try await CommandFixture.run(
            ["backup:create", "main", "--live", "-W", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(run.status == .success)
        #expect(run.out == "Backup name: b2\n")
        #expect(run.requests.first { $0.method == "POST" && $0.path == base + "/backup" }?.body == #"{"safe":false}"#)
        #expect(!run.calls.contains { $0.hasSuffix("/log") })
    }

    @Test func `backup:create --or-live asks for a consistent one and allows a live one`() async throws {
        let run = try await CommandFixture.run(
            ["backup:create", "-y", "--or-live"] + where_, replies: ReplyFixture.house)
        #expect(run.status == .success)
        let post = run.requests.first { $0.method == "POST" && $0.path == base + "/backup" }
        #expect(post?.body.contains(#""or_live":true"#) == true && post?.body.contains(#""safe":true"#) == true)
    }

    @Test func `a cron that would wait for a backup of its own environment is told so, and --no-wait does it`()
        async throws
    {
        func run(_ arguments: [String], branch: String) async throws -> (run: CommandRun, isAsked: Bool) {
            let run = try await CommandFixture.run(
                ["backup:create", "-y"] + arguments + where_, replies: ReplyFixture.house,
                variables: [
                    "HOLDFAST_CRON": "nightly", "PLATFORM_PROJECT": "shopshopshop2", "PLATFORM_BRANCH": branch,
                ])
            return (run, run.calls.contains { $0.hasPrefix("POST ") && $0.hasSuffix("/backup") })
        }
        let waiting = try await run([], branch: "main")
        #expect(waiting.run.status != .success && !waiting.isAsked)
        #expect(waiting.run.error.contains("cron 'nightly' cannot wait"), "\(waiting.run.error)")
        #expect(waiting.run.error.contains("--no-wait"), "\(waiting.run.error)")
        let asking = try await run(["--no-wait"], branch: "main")
        #expect(asking.run.status == .success && asking.isAsked)
        // Another environment does not wait for this one's crons.
        let other = try await run([], branch: "staging")
        #expect(other.run.status == .success && other.isAsked)
    }

    @Test func `a backup that is not on every site says so`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)/backups/b2"] = .init(200, ReplyFixture.backup(degraded: true))
        let run = try await CommandFixture.run(["backup:create", "-y"] + where_, replies: replies)
        #expect(run.status == .success)
        #expect(run.error.contains("Degraded: not on b (no space)"))
    }

    @Test func `an activity that fails is status 1 with its reason`() async throws {
        var replies = ReplyFixture.house
        replies["GET /projects/shopshopshop2/activities/a1"] = .init(
            200, ReplyFixture.activity(result: "failure", failure: "no space left on site 'a'"))
        let run = try await CommandFixture.run(["backup:create", "-y"] + where_, replies: replies)
        #expect(run.status == .failure)
        #expect(run.out.isEmpty)
        #expect(run.error.contains("Error: activity 'a1' (environment.backup) failed: no space left on site 'a'\n"))
    }

    @Test func `a declined question changes nothing`() async throws {
        let run = try await CommandFixture.run(
            ["backup:create"] + where_, replies: ReplyFixture.house, answers: ["perhaps", "n"], canAsk: true)
        #expect(run.status == .failure)
        #expect(!run.requests.contains { $0.method == "POST" && $0.path != "/oauth2/token" })
        #expect(run.error.contains("Create it? [Y/n]"))
    }

    @Test(arguments: [
        ("active", true, "pending or in progress"), ("inactive", false, "it is not active"),
        ("paused", false, "it is paused"),
        ("active", false, "role does not allow"),
    ])
    func `a backup that is not offered is refused with the reason`(status: String, isDirty: Bool, reason: String)
        async throws
    {
        var replies = ReplyFixture.house
        replies["GET \(base)"] = .init(200, ReplyFixture.environment(status: status, isDirty: isDirty, operations: []))
        let run = try await CommandFixture.run(["backup:create", "-y"] + where_, replies: replies)
        #expect(run.status == .failure)
        #expect(run.error.contains("Error: cannot back up environment 'main': "))
        #expect(run.error.contains(reason))
    }

    @Test func `backup:list is Upsun's table with why and until when, its heading on standard error`() async throws {
        let run = try await CommandFixture.run(["backup:list"] + where_, replies: ReplyFixture.house)
        #expect(
            run.out == """
                +---------------------------+-----------+------------+--------------+---------------------------+
                | Created                   | Backup ID | Restorable | Kept because | Expires                   |
                +---------------------------+-----------+------------+--------------+---------------------------+
                | 2026-01-31T13:00:00+00:00 | b2        | true       | 1d #1        | 2026-02-02T04:00:00+00:00 |
                | 2026-01-30T12:00:00+00:00 | b1        | true       | 1d #1        | 2026-02-02T04:00:00+00:00 |
                +---------------------------+-----------+------------+--------------+---------------------------+

                """)
        #expect(run.error == "Backups on the project Shop (shopshopshop2), environment main (type: production):\n")
    }

    @Test func `backup:list for programs has no heading`() async throws {
        let run = try await CommandFixture.run(
            ["backups", "--format", "csv", "-c", "id,live,sites", "--no-header"] + where_, replies: ReplyFixture.house)
        #expect(run.out == "b2,false,\"a, b\"\nb1,false,\"a, b\"\n")
        #expect(run.error.isEmpty)
    }

    @Test func `no backups is status 1`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)/backups"] = .init(200, "[]")
        let run = try await CommandFixture.run(["backup:list"] + where_, replies: replies)
        #expect(run.status == .failure)
        #expect(run.error.hasPrefix("No backups found\n"))
        #expect(run.error.contains("--all"))
    }

    @Test func `backup:get shows the most recent one, or one property`() async throws {
        let all = try await CommandFixture.run(["backup:get"] + where_, replies: ReplyFixture.house)
        #expect(all.out.hasPrefix("id: b2\n"))
        #expect(all.out.contains("created_at: '2026-01-31T13:00:00+00:00'\n"))
        #expect(!all.out.contains("_links"))
        let one = try await CommandFixture.run(
            ["backup:get", "b2", "-P", "hold.requests_held"] + where_, replies: ReplyFixture.house)
        #expect(one.out == "37\n")
        let missing = try await CommandFixture.run(["backup:get", "nope"] + where_, replies: ReplyFixture.house)
        #expect(missing.status == .failure)
        #expect(missing.error.contains("Error: backup 'nope' does not exist in project 'shopshopshop2'\n"))
    }

    @Test func `backup:restore says what will change and sends only what was chosen`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)"] = .init(200, ReplyFixture.environment(deployed: "fedcba9876543210"))
        let run = try await CommandFixture.run(["backup:restore", "-y"] + where_, replies: replies)
        #expect(run.status == .success)
        #expect(run.error.contains("Backup b2 of 2026-01-31T13:00:00+00:00, consistent\n"))
        #expect(run.error.contains("  code: commit 0123456789ab instead of fedcba987654\n"))
        #expect(run.error.contains("Undo it with: holdfast backup:restore --undo -p shopshopshop2 -e main\n"))
        let post = run.requests.first { $0.path == base + "/backups/b2/restore" }
        #expect(post?.body == #"{"environment_name":"main"}"#)
    }

    @Test func `backup:restore passes every option on`() async throws {
        var replies = ReplyFixture.house
        replies["GET /projects/shopshopshop2/settings"] = .init(200, Self.settings)
        let run = try await CommandFixture.run(
            [
                "backup:restore", "b2", "--target", "copy", "--branch-from", "main", "--no-code", "--no-resources",
                "--resources-init", "minimum", "-W",
            ] + where_, replies: replies)
        #expect(run.status == .success, "\(run.error)")
        let post = run.requests.first { $0.path == base + "/backups/b2/restore" }
        #expect(
            post?.body
                == #"{"branch_from":"main","environment_name":"copy","resources":{"init":"minimum"},"#
                + #""restore_code":false,"restore_resources":false}"#
        )
        #expect(run.error.contains("restored to environment: copy, which is new"))
        #expect(run.error.contains("only data, not code, will be restored"))
    }

    private static let settings = """
        {"initialize":{},"product_name":"Holdfast","product_code":"holdfast","variables_prefix":"PLATFORM_",\
        "project_config_dir":".upsun","environment_name_strategy":"x","sizing_api_enabled":true,\
        "enable_guaranteed_resources":false,"enable_incremental_backups":true,"enable_paused_environments":true,\
        "allow_manual_deployments":false,"allow_rolling_deployments":false,"strict_configuration":true,\
        "cron_minimum_interval":1,"cron_maximum_jitter":0,"concurrency_limits":{},"data_retention":null,"_links":{}}
        """

    @Test func `a backup that is being deleted is not restored`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)/backups/b2"] = .init(200, ReplyFixture.backup(restorable: false))
        let run = try await CommandFixture.run(["backup:restore", "b2", "-y"] + where_, replies: replies)
        #expect(run.status == .failure)
        #expect(run.error.contains("Error: backup 'b2' cannot be restored: its status is DELETING\n"))
        #expect(!run.requests.contains { $0.path.hasSuffix("/restore") })
    }

    @Test func `backup:restore --undo runs the operation of the environment`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)"] = .init(200, ReplyFixture.environment(operations: ["undo-restore"]))
        replies["POST \(base)/undo-restore"] = ReplyFixture.accepted(
            ReplyFixture.activity("environment.restore", state: "pending", result: nil))
        let run = try await CommandFixture.run(["backup:restore", "--undo", "-y"] + where_, replies: replies)
        #expect(run.status == .success, "\(run.error)")
        #expect(run.calls.contains("POST \(base)/undo-restore"))
        let mixed = try await CommandFixture.run(["backup:restore", "b2", "--undo"] + where_)
        #expect(mixed.status == .failure)
    }

    @Test func `backup:delete asks for the id, deletes and waits`() async throws {
        let run = try await CommandFixture.run(["backup:delete", "b2", "-y"] + where_, replies: ReplyFixture.house)
        #expect(run.status == .success)
        #expect(run.calls.contains("DELETE \(base)/backups/b2"))
        #expect(run.error.contains("Backup b2 has been deleted.\n"))
        let missing = try await CommandFixture.run(["backup:delete", "-y"] + where_, replies: ReplyFixture.house)
        #expect(missing.status == .failure)
        #expect(missing.error.contains("a backup id is required"))
    }
}
