import Foundation
import HoldfastCommands
import HoldfastTestSupport
import Testing

@Suite struct VerbTests {
    private let base = ReplyFixture.base

    @Test func `no project is status 2, an unknown one 9, a wrong id 1`() async throws {
        #expect(try await CommandFixture.run(["backup:list"]).status == .projectRootNotFound)
        let unknown = try await CommandFixture.run(["project:info", "-p", "nothere"])
        #expect(unknown.status == .projectNotFound)
        #expect(unknown.error.contains("Error: project 'nothere' does not exist, or you have no access to it\n"))
        let wrong = try await CommandFixture.run(["project:info", "-p", "../x"])
        #expect(wrong.status == .failure)
        #expect(wrong.error.contains("'../x' in --project is not a project id"))
    }

    @Test func `no server, no token and no permission have statuses of their own`() async throws {
        let away = try await CommandFixture.run(["project:list"], variables: ["HOLDFAST_URL": "http://127.0.0.1:1"])
        #expect(away.status == .connectionFailed)
        let anonymous = try await CommandFixture.run(["project:list"], variables: ["HOLDFAST_TOKEN": ""])
        #expect(anonymous.status == .loginRequired)
        #expect(anonymous.error.contains("'/nowhere/cli-token' does not exist"))
        let forbidden = try await CommandFixture.run(
            ["repository:key", "-p", "shopshopshop2"],
            replies: ReplyFixture.house.merging(
                ["GET /projects/shopshopshop2/repository-key": .init(403, #"{"message":"you are not an admin"}"#)]) {
                    $1
                })
        #expect(forbidden.status == .permissionDenied)
        #expect(forbidden.error.contains("Error: you are not an admin\n"))
        let url = try await CommandFixture.run(["project:list", "--url", "what"])
        #expect(url.status == .invalidConfiguration)
    }

    @Test func `the token of the home goes to this machine only, and never in the clear to another`() async throws {
        try await withTemporaryDirectory { home in
            try "home-token\n".write(toFile: home + "/cli-token", atomically: true, encoding: .utf8)
            let local = try await CommandFixture.run(
                ["project:info", "-p", "shopshopshop2", "--home", home], replies: ReplyFixture.house,
                variables: ["HOLDFAST_TOKEN": ""])
            #expect(local.status == .success, "\(local.error)")
            #expect(local.requests.first?.body.hasSuffix("api_token=home-token") == true)
            let remote = try await CommandFixture.run(
                ["project:list", "--home", home, "--url", "https://198.51.100.1"], variables: ["HOLDFAST_TOKEN": ""])
            #expect(remote.status == .loginRequired)
            let clear = try await CommandFixture.run(["project:list", "--url", "http://198.51.100.1"])
            #expect(clear.status == .invalidConfiguration)
        }
    }

    @Test func `project and environment are those of the checkout`() async throws {
        try await withTemporaryDirectory { root in
            try FileManager.default.createDirectory(atPath: root + "/.git", withIntermediateDirectories: true)
            try "[remote \"origin\"]\nurl = http://127.0.0.1/shopshopshop2.git\n"
                .write(toFile: root + "/.git/config", atomically: true, encoding: .utf8)
            try "ref: refs/heads/main\n".write(toFile: root + "/.git/HEAD", atomically: true, encoding: .utf8)
            let run = try await CommandFixture.run(
                ["environment:info", "name"], replies: ReplyFixture.house, directory: root)
            #expect(run.out == "main\n", "\(run.error)")
        }
    }

    @Test func `a dot is the default branch's environment, and two names are refused`() async throws {
        let dot = try await CommandFixture.run(
            ["environment:redeploy", "-p", "shopshopshop2", "-e", ".", "-y", "-W"],
            replies: ReplyFixture.house.merging([
                "POST \(base)/redeploy": ReplyFixture.accepted(ReplyFixture.activity("environment.redeploy"))
            ]) { $1 })
        #expect(dot.status == .success, "\(dot.error)")
        #expect(dot.calls.contains("POST \(base)/redeploy"))
        let two = try await CommandFixture.run(
            ["backup:create", "main", "-p", "shopshopshop2", "-e", "topic"], replies: ReplyFixture.house)
        #expect(two.status == .failure)
        let none = try await CommandFixture.run(["backup:create", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(none.status == .failure)
        #expect(none.error.contains("no environment was named"))
    }

    @Test func `environment:list shows and filters`() async throws {
        let all = try await CommandFixture.run(
            ["environments", "-p", "shopshopshop2", "--format", "csv"], replies: ReplyFixture.house)
        #expect(all.out == "ID,Title,Status,Type\nmain,main,Active,production\ntopic,topic,Inactive,production\n")
        let pipe = try await CommandFixture.run(
            ["environment:list", "-I", "--pipe", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(pipe.out == "main\n")
        let wrong = try await CommandFixture.run(["environment:list", "--status", "open", "-p", "shopshopshop2"])
        #expect(wrong.error.contains("'open' is not a status"))
    }

    @Test func `environment:info says when restored code runs`() async throws {
        var replies = ReplyFixture.house
        replies["GET \(base)"] = .init(
            200, ReplyFixture.environment(deployed: "aaaa1111", head: "bbbb2222", restoredFrom: "\"b1\""))
        let run = try await CommandFixture.run(
            ["environment:info", "-p", "shopshopshop2", "-e", "main"], replies: replies)
        #expect(run.error.contains("It runs restored commit aaaa1111 of backup b1; the branch's head is bbbb2222."))
        #expect(run.out.contains("| deployed_commit "))
    }

    @Test func `an environment that is active already is left alone`() async throws {
        let run = try await CommandFixture.run(
            ["environment:activate", "main", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(run.status == .success)
        #expect(run.error == "Environment main is active already.\n")
    }

    @Test func `activities are listed, shown and followed`() async throws {
        let list = try await CommandFixture.run(
            [
                "activity:list", "--all", "-p", "shopshopshop2", "--format", "tsv", "-c", "id,type,result,time_execute",
                "--no-header",
            ],
            replies: ReplyFixture.house)
        #expect(list.out == "a1\tenvironment.backup\tsuccess\t3.5\n", "\(list.error)")
        let one = try await CommandFixture.run(
            ["activity:get", "-P", "payload.backup_name", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(one.out == "b2\n", "\(one.error)")
        let log = try await CommandFixture.run(
            ["activity:log", "a1", "-t", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(log.out == "[2026-01-31T13:00:00+00:00] Pre-copied service db\n", "\(log.error)")
        #expect(log.error.hasSuffix("State: complete, result: success\n"))
        let prefix = try await CommandFixture.run(
            ["activity:get", "a", "-P", "id", "-p", "shopshopshop2"], replies: ReplyFixture.house)
        #expect(prefix.out == "a1\n", "\(prefix.error)")
    }

    @Test func `activity types are named, excluded and matched`() async throws {
        let run = try await CommandFixture.run(
            ["activity:list", "-a", "-p", "shopshopshop2", "-t", "environment.backup*", "-x", "*.delete", "-i"],
            replies: ReplyFixture.house)
        #expect(
            run.calls.first { $0.contains("/activities?") }
                == "GET /projects/shopshopshop2/activities?type=environment.backup"
                + "&type=environment.backup.drill&count=10&state=pending&state=in_progress"
        )
        let nothing = try await CommandFixture.run(
            ["activity:log", "-a", "-p", "shopshopshop2", "--type", "nonsense*", "--result", "failure"],
            replies: ReplyFixture.house)
        let asked = nothing.calls.first { $0.contains("/activities?") } ?? ""
        for part in ["type=nonsense", "count=1", "result=failure"] { #expect(asked.contains(part), "\(asked)") }
    }

    @Test func `project:create prints the id alone`() async throws {
        let run = try await CommandFixture.run(
            ["project:create", "Shop", "--timezone", "Europe/Paris"],
            replies: ["POST /projects": .init(201, ReplyFixture.project)])
        #expect(run.out == "shopshopshop2\n")
        #expect(run.requests.last?.body == #"{"default_branch":"main","timezone":"Europe/Paris","title":"Shop"}"#)
        #expect(run.error.contains("git remote add holdfast http://127.0.0.1:7070/shopshopshop2.git\n"))
        #expect(run.error.contains(".helper '!holdfast git-credential'"), "\(run.error)")
    }

    @Test func `project:create names the repository's path where it can be entered`() async throws {
        try await withTemporaryDirectory { directory in
            let run = try await CommandFixture.run(
                ["project:create", "Shop"],
                replies: [
                    "POST /projects": .init(
                        201,
                        ReplyFixture.project.replacingOccurrences(
                            of: "/srv/projects/shopshopshop2/repository.git", with: directory))
                ])
            #expect(run.error.contains("git remote add holdfast \(directory)\n"), "\(run.error)")
            #expect(run.error.contains("http://127.0.0.1:7070/shopshopshop2.git"))
        }
    }

    @Test func `Git gets the token for our server, and for no other`() async throws {
        func ask(_ action: String, _ url: String, _ lines: [String]) async throws -> CommandRun {
            try await CommandFixture.run(
                ["git-credential", action], answers: lines + [""], variables: ["HOLDFAST_URL": url])
        }
        let ours = ["capability[]=authtype", "protocol=http", "host=127.0.0.1:7070"]
        let get = try await ask("get", "http://127.0.0.1:7070", ours)
        #expect(get.out == "username=holdfast\npassword=api-token-1\n", "\(get.error)")
        #expect(get.status == .success)
        #expect(get.requests.isEmpty)
        let usual = try await ask(
            "get", "https://holdfast.example.org", ["protocol=https", "host=holdfast.example.org"])
        #expect(usual.out.contains("api-token-1"))
        for other in ["http://127.0.0.1:7071", "http://localhost:7070", "https://127.0.0.1:7070"] {
            #expect(try await ask("get", other, ours).out.isEmpty, "\(other)")
        }
        #expect(try await ask("get", "http://127.0.0.1:7070", ["host=127.0.0.1:7070"]).out.isEmpty)
        #expect(try await ask("store", "http://127.0.0.1:7070", ours).out.isEmpty)
        let missing = try await CommandFixture.run(
            ["git-credential", "get"], answers: ours + [""],
            variables: ["HOLDFAST_URL": "http://127.0.0.1:7070", "HOLDFAST_TOKEN": ""])
        #expect(missing.status != .success)
        #expect(missing.out.isEmpty)
    }

    @Test func `tokens and users take roles by environment type`() async throws {
        var replies = ReplyFixture.house
        replies["POST /users/me/tokens"] = .init(
            201,
            #"{"id":"t1","name":"ci","user_id":"u1","token":"s3cret","created_at":"2026-01-31T12:00:00Z","_links":{}}"#)
        let token = try await CommandFixture.run(
            ["token:create", "ci", "-r", "production:viewer,staging:admin", "-p", "shopshopshop2"], replies: replies)
        #expect(token.out == "s3cret\n", "\(token.error)")
        #expect(
            token.requests.last?.body
                == #"{"name":"ci","permissions":["production:viewer","staging:admin"],"project":"shopshopshop2"}"#)
        replies["POST /projects/shopshopshop2/user-access"] = .init(
            201,
            #"{"user_id":"u2","project_id":"shopshopshop2","organization_id":"o","permissions":["viewer"],"#
                + #""granted_at":"2026-01-31T12:00:00Z","updated_at":"2026-01-31T12:00:00Z","_links":{}}"#
        )
        let user = try await CommandFixture.run(
            ["user:add", "bob@example.org", "-r", "viewer", "-p", "shopshopshop2"], replies: replies)
        #expect(user.out == "u2\n", "\(user.error)")
        let wrong = try await CommandFixture.run(["user:add", "bob@example.org", "-r", "boss", "-p", "shopshopshop2"])
        #expect(wrong.status == .failure)
        #expect(wrong.error.contains("'boss' is not a permission"))
    }

    @Test func `repository:key prints the password alone`() async throws {
        let key = #"{"project":"shopshopshop2","password":"p4ss","sites":[{"name":"a","location":"/srv/sites/a"}]}"#
        let run = try await CommandFixture.run(
            ["repository:key", "-p", "shopshopshop2"],
            replies: ReplyFixture.house.merging(["GET /projects/shopshopshop2/repository-key": .init(200, key)]) { $1 })
        #expect(run.out == "p4ss\n")
        #expect(run.error.contains("restic -r '/srv/sites/a' snapshots"))
        #expect(!run.error.contains("p4ss"))
    }

    @Test func `project:list shows what the user has access to`() async throws {
        let access = #"{"items":[],"count":0,"_links":{"ref:projects:0":{"href":"/ref/projects?in=shopshopshop2"}}}"#
        let times = #""created_at":"2026-01-31T12:00:00Z","updated_at":"2026-01-31T12:00:00Z""#
        let reference = """
            {"shopshopshop2":{"id":"shopshopshop2","title":"Shop","region":"local","status":"active",\
            "subscription_id":"s","organization_id":"o","vendor":"upsun",\(times)},"gone":null}
            """
        let user = """
            {"id":"u1","username":"ann","email":"a@b","first_name":"Ann","last_name":"",\
            "phone_number_verified":true,"email_verified":true,"deactivated":false,"namespace":"","picture":"",\
            "country":"","company":"","website":"","mfa_enabled":false,"sso_enabled":false,"operator":true,\(times)}
            """
        let run = try await CommandFixture.run(
            ["projects", "--format", "csv"],
            replies: [
                "GET /users/me": .init(200, user), "GET /users/u1/extended-access": .init(200, access),
                "GET /ref/projects": .init(200, reference),
            ])
        #expect(run.out == "ID,Title,Region\nshopshopshop2,Shop,local\n", "\(run.error)")
        #expect(run.calls.contains("GET /ref/projects?in=shopshopshop2"))
    }
}
