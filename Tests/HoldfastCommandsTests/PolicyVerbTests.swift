import Foundation
import HoldfastCommands
import HoldfastTestSupport
import Testing

/// The verbs about policies and about what keeps backups.
@Suite struct PolicyVerbTests {
    private let place = ["-p", "shopshopshop2", "-e", "main"]
    private let base = ReplyFixture.base
    private let settings = "/projects/shopshopshop2/settings"

    private func retention(removed: String = "", overdue: Int = 0) -> String {
        """
        {"environment":"main","timezone":"Europe/Berlin","max_backups":null,"manual_count":2,\
        "schedule":[{"interval":"1d","count":7,"safe":false,"missed":3},\
        {"interval":"1w","count":4,"safe":true,"missed":0}],\
        "next_due_at":"2026-02-01T03:12:00+00:00","attempts":40,"failures":3,"overdue_seconds":\(overdue),"due":[],\
        "kept":[{"id":"b2","created_at":"2026-01-31T13:00:00+00:00","automated":true,"reasons":["1d #1","newest good"],\
        "expires_at":"2026-02-07T03:12:00+00:00"}],"removed":[\(removed)],"warnings":[],\
        "simulation":{"days":365,"backups":365,"largest":23,"left":1,"entries":[\
        {"created_at":"2027-01-31T03:12:00+00:00","kept":["1d #1","1w #1"]}]},\
        "_links":{"self":{"href":"\(base)/retention"}}}
        """
    }

    private let goes = """
        {"id":"b1","created_at":"2026-01-30T12:00:00+00:00","automated":false,\
        "reasons":["manual_count is 2, replaced by b2"],"expires_at":null}
        """

    static let settingsReply = """
        {"initialize":{},"product_name":"Holdfast","product_code":"holdfast","variables_prefix":"PLATFORM_",\
        "project_config_dir":".upsun","environment_name_strategy":"name-and-hash","sizing_api_enabled":true,\
        "enable_guaranteed_resources":false,"enable_incremental_backups":true,"enable_paused_environments":true,\
        "allow_manual_deployments":false,"allow_rolling_deployments":false,"strict_configuration":true,\
        "cron_minimum_interval":1,"cron_maximum_jitter":0,"concurrency_limits":{},"data_retention":null,\
        "_links":{"self":{"href":"/projects/shopshopshop2/settings"}}}
        """

    private func replies(removed: String = "", overdue: Int = 0) -> [String: StubServer.Reply] {
        var replies = ReplyFixture.house
        replies["GET /projects/shopshopshop2/environments"] = .init(200, "[\(ReplyFixture.environment())]")
        replies["GET \(base)/retention"] = .init(200, retention(overdue: overdue))
        replies["POST \(base)/retention/preview"] = .init(200, retention(removed: removed))
        replies["PATCH \(settings)"] = .init(200, #"{"status":"OK","code":200}"#)
        replies["GET \(settings)"] = .init(200, Self.settingsReply)
        return replies
    }

    @Test(arguments: SettingsPage.commands) func `project:curl takes the page's command lines as they are printed`(
        command: String
    ) async throws {
        let arguments = try SettingsPage.arguments(of: command)
        let run = try await CommandFixture.run(arguments + ["-p", "shopshopshop2"], replies: replies())
        #expect(run.status == .success, "\(run.error)")
        #expect(run.out == #"{"status":"OK","code":200}"# + "\n")
        let sent = run.requests.filter { $0.method == "PATCH" }
        #expect(sent.map(\.target) == [settings])
        #expect(sent.first?.body == arguments.last, "the body is sent as it is")
    }

    @Test func `project:curl shows errors as they are, and with --fail ends with 1`() async throws {
        var replies = replies()
        replies["PATCH \(settings)"] = .init(400, #"{"message":"no"}"#)
        let shown = try await CommandFixture.run(
            ["project:curl", "settings", "-X", "PATCH", "-d", "{", "-i", "-p", "shopshopshop2"], replies: replies)
        #expect(shown.status == .success)
        #expect(shown.out == "HTTP/1.1 400\n\n{\"message\":\"no\"}\n")
        let failed = try await CommandFixture.run(
            ["project:curl", "settings", "-X", "PATCH", "-d", "{", "-f", "-p", "shopshopshop2"], replies: replies)
        #expect(failed.status == .failure)
        #expect(failed.out.isEmpty)
        let own = try await CommandFixture.run(["project:curl", "-p", "shopshopshop2"], replies: replies)
        #expect(own.calls.last == "GET /projects/shopshopshop2")
        for arguments in [["../other"], ["x", "--json", "{"], ["x", "-d", "a", "--json", "1"], ["x", "-X", "EAT"]] {
            let refused = try await CommandFixture.run(
                ["project:curl"] + arguments + ["-p", "shopshopshop2"], replies: replies)
            #expect(refused.status != .success, "\(arguments)")
            #expect(!refused.calls.contains { $0.contains("other") })
        }
    }

    @Test func `backup:policy shows what runs, when, and what was missed`() async throws {
        let run = try await CommandFixture.run(["backup:policy"] + place, replies: replies(overdue: 7200))
        #expect(run.status == .success, "\(run.error)")
        #expect(run.out.contains("1d × 7, 1w × 4 (consistent)"))
        #expect(run.out.contains("2026-02-01T03:12:00+00:00"))
        #expect(run.out.contains("3 of 1d"))
        #expect(run.error.contains("Overdue: a backup should have been taken 7200 seconds ago."))
        let json = try await CommandFixture.run(
            ["backup:policy", "show", "--format", "json"] + place, replies: replies())
        #expect(json.out.contains(#""overdue_seconds" : 0"#))
    }

    @Test func `backup:policy preview and simulate change nothing`() async throws {
        let preview = try await CommandFixture.run(
            ["backup:policy", "preview", "--manual-count", "2"] + place, replies: replies(removed: goes))
        #expect(preview.status == .success, "\(preview.error)")
        #expect(preview.out.contains("| b1        | delete   | manual_count is 2, replaced by b2 |"), "\(preview.out)")
        #expect(preview.out.contains("1d #1, newest good"))
        #expect(preview.error.contains("Kept 1, deleted 1:"))
        #expect(
            preview.requests.last?.body == #"{"data_retention":{"production":{"default_config":{"manual_count":2}}}}"#)
        let simulated = try await CommandFixture.run(
            ["backup:policy", "simulate", "--days", "365"] + place, replies: replies())
        #expect(simulated.error.contains("at most 23 are there at once, 1 at the end"))
        #expect(simulated.out.contains("1d #1, 1w #1"))
        #expect(simulated.requests.last?.body == #"{"days":365}"#)
        #expect(!(preview.requests + simulated.requests).contains { $0.method == "PATCH" })
    }

    @Test(arguments: [
        (
            ["--schedule", "1d:7", "--schedule", "1w:4:safe"],
            #"{"default_config":{"schedule":[{"count":7,"interval":"1d"},{"count":4,"interval":"1w","safe":true}]}}"#
        ),
        (["--no-schedule"], #"{"default_config":{"schedule":[]}}"#),
        (["--max-backups", "none"], #"{"max_backups":null}"#),
        (["--default"], "null"),
        (
            ["--default", "--max-backups", "9"],
            #"{"default_config":{"manual_count":null,"schedule":null},"max_backups":9}"#
        ),
    ])
    func `backup:policy set sends only what was given`(arguments: [String], body: String) async throws {
        let run = try await CommandFixture.run(["backup:policy", "set"] + arguments + place, replies: replies())
        #expect(run.status == .success, "\(run.error)")
        let sent = run.requests.first { $0.method == "PATCH" }
        #expect(sent?.body == #"{"data_retention":{"production":\#(body)}}"#)
    }

    @Test func `backup:policy set says what goes, and asks before`() async throws {
        let arguments = ["backup:policy", "set", "--manual-count", "2"] + place
        let unasked = try await CommandFixture.run(arguments, replies: replies(removed: goes))
        #expect(unasked.status == .failure)
        #expect(unasked.error.contains("deletes b1 of main: manual_count is 2, replaced by b2"))
        #expect(unasked.error.contains("--yes"))
        #expect(!unasked.requests.contains { $0.method == "PATCH" })
        let agreed = try await CommandFixture.run(
            arguments, replies: replies(removed: goes), answers: ["y"], canAsk: true)
        #expect(agreed.status == .success, "\(agreed.error)")
        #expect(agreed.requests.contains { $0.method == "PATCH" })
        for wrong in [["set"], ["show", "--manual-count", "2"], ["set", "--schedule", "1d"], ["sett"]] {
            let run = try await CommandFixture.run(["backup:policy"] + wrong + place, replies: replies())
            #expect(run.status == .failure, "\(wrong)")
            #expect(run.requests.isEmpty)
        }
    }

    @Test func `backup:protect, backup:undelete and backup:edit say what they did`() async throws {
        var replies = replies()
        let path = "\(base)/backups/b2"
        for operation in ["protect", "unprotect", "undelete"] {
            replies["POST \(path)/\(operation)"] = .init(200, #"{"status":"OK","code":200}"#)
        }
        replies["PATCH \(path)"] = .init(200, #"{"status":"OK","code":200}"#)
        let lock = try await CommandFixture.run(
            ["backup:protect", "b2", "--lock-until", "2030-12-31", "-y"] + place, replies: replies)
        #expect(lock.status == .success, "\(lock.error)")
        let sent = lock.requests.first { $0.path == "\(path)/protect" }?.body
        #expect(sent?.contains("2031-01-01T00:00:00") == true, "\(sent ?? "")")
        let off = try await CommandFixture.run(["backup:protect", "b2", "--off"] + place, replies: replies)
        #expect(off.calls.contains("POST \(path)/unprotect"))
        let undelete = try await CommandFixture.run(["backup:undelete", "b2"] + place, replies: replies)
        #expect(undelete.error == "Backup b2 is back.\n")
        let edit = try await CommandFixture.run(
            ["backup:edit", "b2", "--label", "before 2.0", "--note", ""] + place, replies: replies)
        #expect(edit.requests.first { $0.method == "PATCH" }?.body == #"{"label":"before 2.0","note":""}"#)
        let wrong = [
            ["backup:protect", "b2", "--off", "--lock-until", "2030-01-01"], ["backup:edit", "b2"],
            ["backup:protect", "b2", "--lock-until", "soon"], ["backup:undelete"],
        ]
        for arguments in wrong {
            let run = try await CommandFixture.run(arguments + place, replies: replies)
            #expect(run.status != .success, "\(arguments)")
            #expect(!run.requests.contains { $0.method == "POST" && $0.path != "/oauth2/token" })
        }
    }

    @Test func `backup:delete passes on force and now, and says how to bring a backup back`() async throws {
        let usual = try await CommandFixture.run(["backup:delete", "b2", "-y"] + place, replies: replies())
        #expect(usual.calls.contains("DELETE \(base)/backups/b2"))
        #expect(usual.error.contains("Bring it back with: holdfast backup:undelete b2"))
        let hard = try await CommandFixture.run(
            ["backup:delete", "b2", "-y", "--force", "--now"] + place, replies: replies())
        #expect(hard.calls.contains("DELETE \(base)/backups/b2?force=true&now=true"))
        #expect(!hard.error.contains("undelete"))
    }

    @Test func `status ends with 1 exactly if something is overdue or not on its sites`() async throws {
        var replies = replies(overdue: 600)
        replies["GET /projects/shopshopshop2/environments"] = .init(200, "[\(ReplyFixture.environment())]")
        func status() async throws -> CommandRun {
            try await CommandFixture.run(["status", "-p", "shopshopshop2"], replies: replies)
        }
        let good = try await status()
        #expect(good.status == .success, "a backup may take a while: \(good.error)")
        let row = "| Shop    | main        | 2026-01-31T13:00:00+00:00 | 2026-02-01T03:12:00+00:00 | good  |"
        #expect(good.out.contains(row), "\(good.out)")
        replies["GET \(base)/retention"] = .init(200, retention(overdue: 7200))
        let overdue = try await status()
        #expect(overdue.status == .failure)
        #expect(overdue.error.contains("Shop, main: a backup is overdue by 120 minutes\n"))
        replies["GET \(base)/retention"] = .init(200, retention())
        replies["GET \(base)/backups"] = .init(200, "[\(ReplyFixture.backup(degraded: true))]")
        let degraded = try await status()
        #expect(degraded.status == .failure)
        #expect(degraded.error.contains("the last backup is not on b"))
        let away = ReplyFixture.backup().replacingOccurrences(
            of: #""separate":true,"reachable":true}]"#, with: #""separate":true,"reachable":false}]"#)
        replies["GET \(base)/backups"] = .init(200, "[\(away)]")
        let lost = try await status()
        #expect(lost.status == .failure)
        #expect(lost.error.contains("b cannot be reached"))
    }

    @Test func `status --metrics prints what Prometheus reads, and ends well whatever it says`() async throws {
        var replies = replies(overdue: 7200)
        replies["GET /projects/shopshopshop2/environments"] = .init(200, "[\(ReplyFixture.environment())]")
        let run = try await CommandFixture.run(["status", "--metrics", "-p", "shopshopshop2"], replies: replies)
        #expect(run.status == .success)
        let labels = #"{project="shopshopshop2",environment="main",type="production"}"#
        for line in [
            "# TYPE backup_overdue_seconds gauge", "backup_overdue_seconds\(labels) 7200",
            "backup_last_success_timestamp_seconds\(labels) 1769864400", "backup_attempts_total\(labels) 40",
            "backup_failures_total\(labels) 3", "backup_last_size_bytes\(labels) 1288490189",
            "backup_last_added_bytes\(labels) 35651584", "backup_last_sites\(labels) 2", "backup_count\(labels) 1",
        ] {
            #expect(run.out.contains(line + "\n"), "\(line) in \(run.out)")
        }
    }

    @Test func `backup:list --deleted asks for those that can be brought back`() async throws {
        let run = try await CommandFixture.run(["backup:list", "--deleted", "--pipe"] + place, replies: replies())
        #expect(run.status == .success)
        #expect(run.calls.last == "GET \(base)/backups?deleted=true")
    }
}
