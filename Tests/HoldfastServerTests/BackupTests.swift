import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Testing

@Suite struct BackupTests {
    @Test(arguments: ["/backup", "/backups", "/backup?unknown=1"])
    func `a backup is accepted, and its name is in the very first answer`(path: String) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let answer = try await client.post(bench.path("/environments/main\(path)"), #"{"safe":true}"#)
            #expect(answer.status == 202)
            #expect(answer.json["status"] == "Accepted")
            #expect(answer.json["code"] == 202)
            let activity = try #require(answer.activity)
            #expect(activity["type"] == "environment.backup")
            #expect(activity["state"] == "pending")
            #expect(activity["environments"] == ["main"])
            #expect(activity["payload"]?["backup_name"]?.string?.count == 26)
            #expect(activity["_links"]?["log"]?["href"]?.string?.contains("?") == false)
            #expect(activity["text"]?.string?.isEmpty == false)
        }
    }

    private func firstSite(_ backup: JSONValue) -> JSONValue? {
        if case .array(let sites)? = backup["sites"] { sites.first } else { nil }
    }

    @Test func `what a backup says of its sites is true now`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        let path = bench.path("/environments/main/backups/\(backup.id)")
        try await bench.serve { client async throws in
            for site in backup.sites.map(\.site) {
                bench.operations.set(siteStates: [
                    SiteState(site: site, isReachable: true, device: 1),
                    SiteState(site: "other", isReachable: true, device: 1),
                ])
                var json = try await client.get(path).json
                #expect(json["restorable"] == true)
                #expect(json["restorable_problem"] == .null)
                #expect(firstSite(json)?["separate"] == false)
                bench.operations.set(siteStates: [SiteState(site: site, isReachable: false, device: nil)])
                json = try await client.get(path).json
                #expect(json["restorable"] == false)
                #expect(json["restorable_problem"]?.string?.contains(site) == true)
                #expect(firstSite(json)?["separate"] == .null)
                #expect(firstSite(json)?["reachable"] == false)
            }
        }
    }

    @Test func `a live backup is asked for by safe false, and nothing said means safe`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            for body in [#"{"safe":false}"#, "{}", "", #"{"safe":true,"or_live":true}"#] {
                _ = try await client.post(bench.path("/environments/stage/backup"), body)
            }
            #expect(try await client.post(bench.path("/environments/stage/backup"), #"{"safe":"x"}"#).status == 400)
        }
        let id = bench.stage.id
        let asked = bench.operations.asked
        let safe = OperationRequest.backup(id, safe: true)
        #expect(asked == [.backup(id, safe: false), safe, safe, .backup(id, safe: true, orLive: true)])
    }

    @Test func `a backup asked for during a cron or another backup is queued`() async throws {
        let bench = try Bench()
        try bench.queue(.cron, on: bench.main)
        _ = try bench.catalogue.claimActivity(in: .cron, at: bench.time.now())
        try await bench.serve { client async throws in
            #expect(try await client.post(bench.path("/environments/main/backup")).status == 202)
            #expect(try await client.post(bench.path("/environments/main/backup")).status == 202)
        }
    }

    @Test func `an inactive, paused or dirty environment is not backed up, and nothing is queued`() async throws {
        let bench = try Bench()
        var paused = bench.stage
        paused.status = .paused
        try bench.catalogue.update(paused)
        try bench.queue(.push, on: bench.main)
        try await bench.serve { client async throws in
            for name in ["feature%2Fx", "stage", "main"] {
                let answer = try await client.post(bench.path("/environments/\(name)/backup"))
                #expect(answer.status == 409, "\(name)")
                #expect(answer.json["kind"] == "conflict")
                #expect(answer.message.contains(name.removingPercentEncoding ?? ""))
                #expect(answer.json["hint"]?.string != nil)
            }
        }
        #expect(try bench.catalogue.openActivities().count == 1)
    }

    @Test func `backups are listed newest first as an array, and none is an empty one`() async throws {
        let bench = try Bench()
        let old = try bench.addBackup(of: bench.main)
        let new = try bench.addBackup(of: bench.main)
        let other = try bench.addBackup(of: bench.stage)
        try await bench.serve { client async throws in
            let listed = try await client.get(bench.path("/environments/main/backups"), as: "viewer").items
            #expect(listed.map { $0["id"] } == [.string(new.id.rawValue), .string(old.id.rawValue)])
            #expect(listed.first?["restorable"] == true)
            #expect(listed.first?["safe"] == false)
            #expect(listed.first?["sites"] != nil)
            #expect(try await client.get(bench.path("/environments/feature%2Fx/backups")).text == "[]")
            #expect(try await client.get(bench.path("/environments/main/backups/\(other.id)")).status == 404)
        }
    }

    @Test func `backups of a deleted environment are reached by those whom its type allows`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.stage)
        try bench.catalogue.removeEnvironment(bench.stage.id)
        try await bench.serve { client async throws in
            let path = bench.path("/backups/\(backup.id)")
            let listed = try await client.get(bench.path("/backups")).items
            #expect(listed.map { $0["id"] } == [.string(backup.id.rawValue)])
            #expect(listed.first?["environment_deleted"] == true)
            #expect(try await client.get(path).links == ["self", "#restore", "#delete", "#edit", "#protect"])
            #expect(try await client.get(path, as: "viewer").links == ["self"])
            #expect(try await client.get(path, as: "stager").links == ["self"], "a contributor on staging")
            #expect(try await client.get(bench.path("/backups"), as: "producer").text == "[]")
            #expect(try await client.get(path, as: "producer").status == 403)
            #expect(try await client.send(.delete, path, as: "stager").status == 403)
            #expect(try await client.post(path + "/restore", "{}").status == 404, "its environment is gone")
            #expect(try await client.post(path + "/restore", #"{"environment_name":"main"}"#).status == 202)
        }
    }

    @Test func `backups of a deleted environment are found by its name, and by clients that know none but others`()
        async throws
    {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.stage)
        let other = try bench.addBackup(of: bench.main)
        try bench.catalogue.removeEnvironment(bench.stage.id)
        try await bench.serve { client async throws in
            let listed = try await client.get(bench.path("/environments/stage/backups")).items
            #expect(listed.map { $0["id"] } == [.string(backup.id.rawValue)])
            #expect(try await client.get(bench.path("/environments/stage/backups"), as: "producer").status == 404)
            #expect(try await client.get(bench.path("/environments/nope/backups")).status == 404)
            #expect(try await client.get(bench.path("/environments/stage/backups/\(backup.id)")).status == 200)
            #expect(try await client.get(bench.path("/environments/stage/backups/\(other.id)")).status == 404)
            #expect(try await client.get(bench.path("/environments/nope/backups/\(backup.id)")).status == 404)
            let below = try await client.get(bench.path("/environments/main/backups/\(backup.id)"))
            #expect(below.json["environment"] == "stage")
            #expect(below.links == ["self", "#restore", "#delete", "#edit", "#protect"])
            #expect(try await client.get(bench.path("/environments/main/backups")).items.count == 1)
        }
    }

    @Test func `whether an operation would be let in is asked without doing it`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let allowed = try await client.get(bench.path("/environments/main/backup"))
            #expect(allowed.status == 200)
            #expect(allowed.json["allowed"] == true)
            // What a backup would do, for --dry-run.
            #expect(allowed.json["hold_milliseconds"] == 60 && allowed.json["longest_hold_milliseconds"] == 90)
            #expect(allowed.json["services"] == ["db"])
            let marks: JSONValue = [
                ["name": "db", "method": "physical", "mark": "a restore point", "shared": nil]
            ]
            #expect(allowed.json["service_marks"] == marks)
            let refused = try await client.get(bench.path("/environments/main/backup"), as: "viewer")
            #expect(refused.status == 403)
            #expect(refused.message.contains("viewer"))
            let inactive = try await client.get(bench.path("/environments/feature%2Fx/pause"))
            #expect(inactive.status == 409)
            #expect(try await client.get(bench.path("/environments/nope/pause")).status == 404)
        }
        #expect(bench.operations.asked.isEmpty)
        #expect(try bench.catalogue.openActivities().isEmpty)
    }

    @Test func `a restore passes on what was asked, with the contract's defaults`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        let path = bench.path("/environments/main/backups/\(backup.id)/restore")
        try await bench.serve { client async throws in
            let answer = try await client.post(path, #"{"environment_name":"stage"}"#)
            #expect(answer.status == 202)
            #expect(answer.activity?["payload"]?["backup_name"] == .string(backup.id.rawValue))
            #expect(answer.activity?["environments"] == ["stage"])
            let full = """
                {"environment_name":"main","branch_from":"main","restore_code":false,"restore_resources":false,
                "resources":{"init":"minimum"}}
                """
            #expect(try await client.post(path, full).status == 202)
            #expect(try await client.post(path, #"{"resources":{"init":"child"}}"#).status == 400)
            #expect(try await client.post(path, #"{"restore_code":"no"}"#).status == 400)
        }
        var whole = RestoreRequest(target: "main", branchFrom: "main")
        whole.restoreCode = false
        whole.restoreResources = false
        whole.resourcesInit = "minimum"
        let first = OperationRequest.restore(backup.id, RestoreRequest(target: "stage"))
        let expected = [first, .restore(backup.id, whole)]
        #expect(bench.operations.asked == expected)
    }

    @Test func `a deletion is an activity, and unknown backups are not found`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/")
            let answer = try await client.send(.delete, path + backup.id.rawValue)
            #expect(answer.status == 202)
            #expect(answer.activity?["type"] == "environment.backup.delete")
            for method in ["restore", ""] {
                let unknown = path + "abcdefghijklmnopqrstuvwxyz" + (method.isEmpty ? "" : "/restore")
                let refused = try await client.send(method.isEmpty ? .delete : .post, unknown, "{}")
                #expect(refused.status == 404)
                #expect(refused.message.contains("abcdefghijklmnopqrstuvwxyz"))
            }
        }
    }

    @Test(arguments: [
        ("main", "redeploy", 202), ("main", "deactivate", 202), ("feature%2Fx", "activate", 202),
        ("stage", "pause", 202), ("stage", "resume", 202), ("main", "dance", 404),
    ])
    func `operations on environments are activities`(name: String, operation: String, status: Int) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("/environments/\(name)/\(operation)")
            let body = #"{"resources":{"init":"parent"}}"#
            #expect(try await client.post(path, body).status == status)
            if status == 202 {
                #expect(try await client.post(path, as: "viewer").status == 403)
            }
        }
    }

    @Test func `the production environment has no link that would end it`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let main = try await client.get(bench.path("/environments/main")).links
            #expect(main.isDisjoint(with: ["#delete", "#deactivate", "#pause", "#activate", "#resume"]))
            #expect(main.isSuperset(of: ["self", "#edit", "#backup", "#redeploy", "backups"]))
            let stage = try await client.get(bench.path("/environments/stage")).links
            #expect(stage.isSuperset(of: ["#delete", "#deactivate", "#pause"]))
        }
    }
}
