import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Testing

@Suite struct RoleTests {
    @Test(arguments: [
        ("viewer", "main", 403), ("viewer", "stage", 403), ("stager", "stage", 403), ("stager", "main", 403),
        ("producer", "main", 202), ("producer", "stage", 403), ("manager", "main", 202), ("manager", "stage", 202),
        ("operator", "main", 202), ("stranger", "main", 404),
    ])
    func `only admins of an environment's type back it up`(
        who: String, environment: String, status: Int
    ) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let answer = try await client.post(bench.path("/environments/\(environment)/backup"), as: who)
            #expect(answer.status == status)
            #expect(bench.operations.asked.count == (status == 202 ? 1 : 0))
            if status == 403 {
                #expect(answer.message.contains(who))
                #expect(answer.json["hint"]?.string?.contains("admin") == true)
            }
        }
    }

    @Test func `a refusal is on record with its reason, and so is what was allowed`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            _ = try await client.post(bench.path("/environments/main/backup"), as: "viewer")
            _ = try await client.post(bench.path("/environments/main/backup"), as: "producer")
        }
        let entries = try bench.catalogue.auditLog(of: bench.project.id, limit: 10)
        #expect(entries.map(\.result) == [.allowed, .refused])
        #expect(entries.map(\.action) == ["environment.backup", "environment.backup"])
        #expect(entries.map(\.subject) == ["main", "main"])
        #expect(entries.last?.user == bench.users["viewer"]?.id)
        #expect(entries.last?.detail?.contains("viewer") == true)
    }

    @Test func `lists show the environments that one has a role on, and no others`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            func names(_ who: String) async throws -> [String?] {
                try await client.get(bench.path("/environments"), as: who).items.map { $0["id"]?.string }
            }
            #expect(try await names("viewer") == ["feature/x", "main", "stage"])
            #expect(try await names("stager") == ["stage"])
            #expect(try await names("producer") == ["main"])
            #expect(try await client.get(bench.path("/environments/main"), as: "stager").status == 403)
            let activity = try bench.queue(.cron, on: bench.main).id
            #expect(try await client.get(bench.path("/activities"), as: "stager").text == "[]")
            #expect(try await client.get(bench.path("/activities/\(activity)"), as: "stager").status == 403)
            #expect(try await client.get(bench.path("/activities/\(activity)/log"), as: "stager").status == 403)
            #expect(try await client.get(bench.path("/activities"), as: "viewer").items.count == 1)
        }
    }

    @Test func `the backup link is there exactly if a backup would be let in`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            func links(_ name: String, _ who: String) async throws -> Set<String> {
                try await client.get(bench.path("/environments/\(name)"), as: who).links
            }
            #expect(try await links("main", "manager").contains("#backup"))
            #expect(try await links("main", "producer").contains("#backup"))
            #expect(try await !links("main", "viewer").contains("#backup"))
            #expect(try await !links("stage", "stager").contains("#backup"))
            #expect(try await !links("feature%2Fx", "manager").contains("#backup"))
            #expect(try await links("feature%2Fx", "manager").contains("#activate"))

            try bench.queue(.cron, on: bench.main)
            #expect(try await links("main", "manager").contains("#backup"), "a cron does not make it dirty")
            try bench.queue(.push, on: bench.main)
            let dirty = try await client.get(bench.path("/environments/main"))
            #expect(!dirty.links.contains("#backup"))
            #expect(dirty.json["status"] == "dirty")
            #expect(dirty.json["is_dirty"] == true)
        }
    }

    @Test func `restore and delete are linked for admins, and viewers see backups without them`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        let gone = try bench.addBackup(of: bench.main)
        try bench.catalogue.markDeleting(gone.id, at: bench.time.now())
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)")
            #expect(try await client.get(path).links == ["self", "#restore", "#delete", "#edit", "#protect"])
            #expect(try await client.get(path, as: "viewer").links == ["self"])
            let deleting = try await client.get(bench.path("/environments/main/backups/\(gone.id)"))
            #expect(deleting.links == ["self"])
            #expect(deleting.json["restorable"] == false)
            #expect(deleting.json["status"] == "DELETING")
            #expect(try await client.post(path + "/restore", as: "viewer").status == 403)
            #expect(try await client.send(.delete, path, as: "viewer").status == 403)
            #expect(try await client.get(path, as: "stager").status == 403)
        }
    }

    @Test func `a restore needs the admin role where the backup is from and where it goes to`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)/restore")
            let body = #"{"environment_name":"stage"}"#
            #expect(try await client.post(path, body, as: "producer").status == 403)
            #expect(try await client.post(path, body, as: "manager").status == 202)
            #expect(try await client.post(path, #"{"environment_name":"main"}"#, as: "producer").status == 202)
            #expect(try await client.post(path, #"{"environment_name":"nope"}"#).status == 404)
        }
    }

    @Test func `people are added, changed and removed by admins of the project only`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("/user-access")
            let body = #"{"email":"new@example.org","permissions":["viewer","staging:admin"]}"#
            #expect(try await client.post(path, body, as: "producer").status == 403)
            let added = try await client.post(path, body)
            #expect(added.status == 201)
            #expect(added.json["permissions"] == ["viewer", "staging:admin"])
            let item = try #require(added.json["_links"]?["self"]?["href"]?.string)
            #expect(try await client.send(.patch, item, #"{"permissions":["admin"]}"#, as: "viewer").status == 403)
            #expect(try await client.send(.patch, item, #"{"permissions":["admin"]}"#).status == 204)
            #expect(try await client.get(item).json["permissions"] == ["admin"])
            #expect(try await client.send(.patch, item, #"{"permissions":["king"]}"#).status == 400)
            #expect(try await client.send(.delete, item).status == 204)
            #expect(try await client.get(item).status == 404)
            #expect(try await client.post(path, #"{"email":"nobody","permissions":["viewer"]}"#).status == 400)
            let types = #"[{"type":"staging","role":"admin"}]"#
            let invitation = #"{"email":"i@example.org","role":"viewer","permissions":\#(types)}"#
            #expect(try await client.post(bench.path("/invitations"), invitation).status == 201)
        }
    }

    @Test func `operators make projects, and only admins of a project get its repository key`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            #expect(try await client.post("/projects", #"{"title":"New"}"#, as: "manager").status == 403)
            let made = try await client.post("/projects", #"{"title":"New","id":"new-one"}"#, as: "operator")
            #expect(made.status == 201)
            #expect(made.json["default_branch"] == "main")
            let again = #"{"title":"New","id":"new-one"}"#
            #expect(try await client.post("/projects", again, as: "operator").status == 409)
            let branch = #"{"title":"x","default_branch":"../x"}"#
            for bad in [#"{"title":""}"#, #"{"title":"x","id":"NO"}"#, branch, "{}"] {
                #expect(try await client.post("/projects", bad, as: "operator").status == 400, "\(bad)")
            }
            let path = bench.path("/repository-key")
            #expect(try await client.get(path).json["password"] == "the password")
            #expect(try await client.get(path, as: "producer").status == 403)
            #expect(try await client.get(path, as: "viewer").status == 403)
        }
        let actions = try bench.catalogue.auditLog(of: bench.project.id, limit: 10).map(\.action)
        #expect(actions == ["repository.key", "repository.key", "repository.key"])
    }

    @Test func `values of variables are for admins, and sensitive ones for nobody`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/variables")
            let plain = try await client.post(path, #"{"name":"env:A","value":"1"}"#)
            #expect(plain.status == 201)
            #expect(try await client.post(path, #"{"name":"env:A","value":"1"}"#).status == 409)
            _ = try await client.post(path, #"{"name":"B","value":"hush","is_sensitive":true}"#)
            #expect(try await client.post(path, #"{"name":"C","value":"1"}"#, as: "viewer").status == 403)
            #expect(try await client.get(path + "/env%3AA").json["value"] == "1")
            #expect(try await client.get(path + "/env%3AA", as: "viewer").json["value"] == nil)
            #expect(try await !client.get(path).text.contains("hush"))
            #expect(try await client.send(.patch, path + "/B", #"{"is_sensitive":false}"#, as: "viewer").status == 403)
            #expect(try await client.send(.delete, path + "/B").status == 200)
            #expect(try await client.get(path).items.count == 1)
        }
    }

    @Test func `operators delete projects, and are told what stands in the way before`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("")
            #expect(try await client.send(.delete, path, as: "manager").status == 403)
            #expect(try await client.get(path + "/delete", as: "manager").status == 403)
            let refused = try await client.send(.delete, path, as: "operator")
            #expect(refused.status == 409)
            #expect(refused.message.contains("'stage'"))
            var stage = bench.stage
            stage.status = .inactive
            try bench.catalogue.update(stage)
            #expect(try await client.get(path + "/delete", as: "operator").status == 409, "main is active")
            let backup = try bench.addBackup(of: bench.main)
            let query = path + "?with_production=true"
            #expect(try await client.send(.delete, query, as: "operator").message.contains("1 backup"))
            try bench.catalogue.markDeleting(backup.id, at: bench.time.now())
            try bench.catalogue.removeBackup(backup.id)
            #expect(try await client.get(path + "/delete?with_production=true", as: "operator").status == 200)
            #expect(try await client.send(.delete, query, as: "operator").status == 200)
            #expect(try await client.get(path, as: "operator").status == 404)
        }
    }
}
