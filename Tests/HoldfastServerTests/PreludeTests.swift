import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Hummingbird
import Testing

@Suite struct PreludeTests {
    @Test func `everything that clients ask before a command is there`() async throws {
        let bench = try Bench()
        let id = try #require(bench.users["manager"]).id
        try await bench.serve { client async throws in
            let me = try await client.get("/users/me")
            for key in ["id", "username", "email", "first_name", "last_name", "phone_number_verified"] {
                #expect(me.json[key] != nil, "\(key)")
            }
            let access = try await client.get("/users/\(id)/extended-access?filter[resource_type]=project")
            #expect(access.links.isSuperset(of: ["ref:projects:0", "ref:organizations:0"]))
            let link = try #require(access.json["_links"]?["ref:projects:0"]?["href"]?.string)
            let projects = try await client.get(link)
            #expect(projects.json[bench.project.id.rawValue]?["vendor"] == "upsun")
            #expect(try await client.get("/ref/projects?in=nothere").json["nothere"] == .null)

            let project = try await client.get(bench.path(""))
            for key in ["title", "default_branch", "organization", "repository", "subscription", "created_at"] {
                #expect(project.json[key] != nil, "\(key)")
            }
            #expect(project.json["_links"]?["environments"]?["href"] == .string(bench.path("/environments")))
            #expect(try await client.get(bench.path("/settings")).json["sizing_api_enabled"] == true)
            #expect(try await client.get(bench.path("/settings")).json["data_retention"] == .null)
            #expect(try await client.get(bench.path("/capabilities")).json["guaranteed_resources"] != nil)
            #expect(try await client.get(bench.path("/environment-types")).items.count == 3)
            #expect(try await client.get(bench.path("/integrations")).text == "[]")
            let own = try await client.get(bench.path("/user-access/\(id)"))
            #expect(own.json["permissions"] == ["admin"])
            #expect(try await client.get("/organizations/local").json["capabilities"] == [])
            #expect(try await client.get("/users/\(id)/organizations").json["items"] != nil)
            #expect(try await client.get("/ref/users?in=\(id)").json[id.rawValue]?["email"] == "manager@example.org")
        }
    }

    @Test func `the whole of a project is also under /api, and unknown query parameters are ignored`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            #expect(try await client.get("/api" + bench.path("/environments")).items.count == 3)
            #expect(try await client.get(bench.path("/environments/main?x=y")).json["id"] == "main")
        }
    }

    @Test func `a name with a slash is one encoded segment, in requests and in links`() async throws {
        let bench = try Bench()
        try await bench.serve(live: true) { client async throws in
            let answer = try await client.get(bench.path("/environments/feature%2Fx"))
            #expect(answer.status == 200)
            #expect(answer.json["id"] == "feature/x")
            let link = try #require(answer.json["_links"]?["self"]?["href"]?.string)
            #expect(link == bench.path("/environments/feature%2Fx"))
            #expect(try await client.get(link + "/backups").text == "[]")
            #expect(try await client.get(bench.path("/environments/feature/x")).status == 404)
            #expect(try await client.get(bench.path("/environments/%FF")).status == 400)
        }
    }

    @Test func `what is not there is 404 with the contract's shape of errors`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let paths = [
                "/nothing", "/projects/nope", "/projects/UPPER", bench.path("/environments/nope"),
                bench.path("/environments/main/backups/nope"), bench.path("/activities/nope"),
                bench.path("/environments/main/deployments/current"), bench.path("/user-access/nope"),
            ]
            for path in paths {
                let answer = try await client.get(path)
                #expect(answer.status == 404, "\(path)")
                #expect(answer.json["code"] == 404)
                #expect(answer.json["title"] == "Not Found")
                #expect(!answer.message.isEmpty)
            }
        }
    }

    @Test func `a project that one has no part in does not exist`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            #expect(try await client.get(bench.path(""), as: "stranger").status == 404)
            #expect(try await client.get("/projects", as: "stranger").text == "[]")
            let id = bench.project.id.rawValue
            #expect(try await client.get("/ref/projects?in=\(id)", as: "stranger").json[id] == .null)
            let somebody = try #require(bench.users["manager"]).id
            #expect(try await client.get("/users/\(somebody)", as: "stranger").status == 403)
            #expect(try await client.post(bench.path("/environments/main/backup"), as: "stranger").status == 404)
        }
    }

    @Test func `deployments are shown as what runs`() async throws {
        let bench = try Bench()
        var deployment = API.Deployment(id: "d1")
        let mounts = ["files": API.Deployment.Mount(source: "storage", sourcePath: "files")]
        deployment.webapps["ledger"] = API.Deployment.Application(name: "ledger", type: "python:3.11", mounts: mounts)
        let commit = String(repeating: "d", count: 40)
        let running = RunningDeployment(
            deployment: deployment, commit: commit, deployedAt: bench.time.now(), restoredFrom: .random(),
            routes: ["http://main.localhost:8080/"])
        bench.operations.deploy(running, in: bench.main)
        try await bench.serve { client async throws in
            let current = try await client.get(bench.path("/environments/main/deployments/current"))
            for key in ["webapps", "workers", "services", "routes"] { #expect(current.json[key] != nil, "\(key)") }
            #expect(current.json["webapps"]?["ledger"]?["mounts"]?["files"]?["source_path"] == "files")
            let environment = try await client.get(bench.path("/environments/main"))
            #expect(environment.json["deployed_commit"] == .string(commit))
            #expect(environment.json["restored_from"]?.string != nil)
            #expect(environment.json["head_commit"] == .string(String(repeating: "c", count: 40)))
            #expect(environment.json["_links"]?["public-url"]?["href"] == "http://main.localhost:8080/")
        }
    }

    @Test func `an environment whose deployment cannot be read is still listed and can be backed up`() async throws {
        let bench = try Bench()
        bench.operations.damage(bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main")
            #expect(try await client.get(path).links.contains("#backup"))
            #expect(try await client.get(bench.path("/environments")).items.count == 3)
            let current = try await client.get(path + "/deployments/current")
            #expect(current.status == 500)
            #expect(current.message == "current.json of main cannot be read")
        }
    }

    @Test func `JSON is read under any content type, with a comma too many, and not with more`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let form = "application/x-www-form-urlencoded"
            let path = bench.path("/environments/main")
            let patched = try await client.send(.patch, path, #"{"title": "Live, [x,] \",}",}"#, contentType: form)
            #expect(patched.status == 200)
            #expect(patched.json["_embedded"]?["entity"]?["title"] == #"Live, [x,] ",}"#)
            for bad in ["{", "[1,2", "{,}x", "nonsense", #"{"title": 5}"#] {
                let answer = try await client.send(.patch, path, bad)
                #expect(answer.status == 400, "\(bad)")
                #expect(!answer.message.isEmpty)
            }
            let wrong = try await client.send(.patch, path, #"{"title": 5}"#)
            #expect(wrong.json["detail"]?["title"] == "should be of the type string")
        }
    }

    @Test func `a body that is too big is refused`() async throws {
        let bench = try Bench()
        try await bench.serve(live: true, bodyLimit: 1000) { client async throws in
            let body = #"{"title": "\#(String(repeating: "x", count: 2000))"}"#
            let answer = try await client.send(.patch, bench.path("/environments/main"), body)
            #expect(answer.status == 413)
            #expect(answer.json["code"] == 413)
        }
    }

    @Test func `routes of others are served beside ours`() async throws {
        let bench = try Bench()
        let hook: RouteHook = { router in router.get("/git/hello") { _, _ in "world" } }
        try await bench.serve(hooks: [hook]) { client async throws in
            #expect(try await client.get("/git/hello", as: nil).text == "world")
            #expect(try await client.get("/users/me").status == 200)
        }
    }
}
