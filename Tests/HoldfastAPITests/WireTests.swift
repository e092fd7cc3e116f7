import Foundation
import HoldfastAPI
import HoldfastModel
import Testing

@Suite struct WireTests {
    private let moment = Date(timeIntervalSince1970: 1_700_000_000.25)

    private func environment() throws -> Environment {
        var environment = Environment(
            id: try #require(EnvironmentID("abcdefghijklm")), project: try #require(ProjectID("p1")), name: "feature/x",
            type: .development, status: .active, createdAt: moment)
        environment.parent = "main"
        return environment
    }

    private func object(_ value: some Encodable) throws -> [String: JSONValue] {
        try API.decoder().decode([String: JSONValue].self, from: API.encoder().encode(value))
    }

    @Test func `an environment has every key of the contract, null where it knows nothing`() throws {
        let facts = API.EnvironmentFacts(isDirty: false, isMain: false)
        let keys = try object(API.Environment(environment(), facts: facts, links: ["self": "/x"]))
        let contract = """
            id created_at updated_at name machine_name title attributes type parent default_domain has_domains \
            clone_parent_on_create deployment_target is_pr has_remote status http_access enable_smtp restrict_robots \
            edge_hostname deployment_state sizing resources_overrides max_instance_count last_active_at last_backup_at \
            project is_main is_dirty has_staged_activities can_rolling_deploy supports_rolling_deployments has_code \
            head_commit merge_info has_deployment supports_restrict_robots _links
            """
        for key in contract.split(separator: " ").map(String.init) {
            #expect(keys[key] != nil, "\(key) is missing")
        }
        #expect(keys["last_backup_at"] == .null)
        #expect(keys["head_commit"] == .null)
        #expect(keys["parent"] == "main")
        #expect(keys["created_at"] == "2023-11-14T22:13:20.250000+00:00")
        #expect(keys["machine_name"] == "feature-x-e2ileuy")
    }

    @Test func `an environment is dirty on the wire while an activity is open, unless it is being deleted`() throws {
        let facts = API.EnvironmentFacts(isDirty: true, isMain: false)
        var environment = try environment()
        #expect(API.Environment(environment, facts: facts, links: [:]).status == "dirty")
        environment.status = .deleting
        #expect(API.Environment(environment, facts: facts, links: [:]).status == "deleting")
    }

    @Test func `a backup has every key of the contract`() throws {
        let backup = Backup(
            id: .random(), environment: try environment(), safe: false, automated: false,
            commit: String(repeating: "a", count: 40), deployment: "d", snapshot: String(repeating: "b", count: 64),
            sizes: (10, 5), sites: [SitePlacement(site: "one", isComplete: true)], evidence: (nil, nil),
            createdAt: moment, updatedAt: moment)
        let keys = try object(API.Backup(backup, links: ["self": "/b"]))
        let contract = """
            id created_at updated_at attributes status expires_at index commit_id environment safe size_of_volumes \
            size_used size_object_storage deployment restorable automated _links
            """
        for key in contract.split(separator: " ").map(String.init) {
            #expect(keys[key] != nil, "\(key) is missing")
        }
        #expect(keys["environment"] == "feature/x")
        #expect(keys["expires_at"] == .null)
    }

    @Test func `what is written reads back`() throws {
        var facts = API.EnvironmentFacts(isDirty: false, isMain: true)
        facts.routes = ["http://a.localhost:8080/"]
        var links: API.Links = ["self": "/projects/p1/environments/feature%2Fx", "#backup": "/b"]
        links.set("pf:routes", to: ["/1", "/2"])
        let written = API.Environment(try environment(), facts: facts, links: links)
        let read = try API.decoder().decode(API.Environment.self, from: API.encoder().encode(written))
        #expect(read.links == links)
        #expect(read.links.all("pf:routes") == ["/1", "/2"])
        #expect(read.links["#backup"] == "/b")
        #expect(read.edgeHostname == "a.localhost")
        #expect(read.createdAt == moment)
    }

    @Test func `keys of free dictionaries are left alone`() throws {
        let inner: JSONValue = .object(["_links": .null])
        let value: JSONValue = .object(["camelCase": 1, "snake_case": inner, "x": [.number(1.5), true, "t"]])
        let read = try API.decoder().decode(JSONValue.self, from: API.encoder().encode(value))
        #expect(read == value)
    }

    @Test func `a nullable key that is missing reads as nil`() throws {
        let text = #"{"id":"a","name":"n","user_id":"u1","created_at":"2020-01-01T00:00:00Z","_links":{}}"#
        let token = try API.decoder().decode(API.Token.self, from: Data(text.utf8))
        #expect(token.lastUsedAt == nil)
    }

    @Test func `a running activity never says 100 percent, a complete one always does`() throws {
        var activity = Activity(
            id: .random(), project: try #require(ProjectID("p1")), environment: nil, type: .backup,
            parameters: ["backup": "thebackup"], user: nil, text: "a < b & c", createdAt: moment)
        activity.completionPercent = 100
        activity.state = .inProgress
        let running = API.Activity(activity, environmentName: nil, user: nil, links: [:])
        #expect(running.completionPercent == 99)
        #expect(running.backupName == "thebackup")
        #expect(running.description == "a &lt; b &amp; c")
        activity.state = .complete
        #expect(API.Activity(activity, environmentName: nil, user: nil, links: [:]).completionPercent == 100)
    }

    @Test func `a log line has its id, and the seal is a line of its own`() throws {
        let id = ActivityID.random()
        let line = try object(API.LogItem(ActivityLogLine(sequence: 3, at: moment, message: "hello\n"), of: id))
        #expect(line["_id"] == .string("\(id)-3"))
        #expect(line["data"]?["message"] == "hello\n")
        #expect(line["data"]?["timestamp"] == "2023-11-14T22:13:20.250000+00:00")
        #expect(try object(API.LogItem(sealOf: id))["seal"] == true)
    }
}
