import HoldfastTestSupport

/// What a server says, as `HoldfastAPI` writes it.
enum ReplyFixture {
    static let project = """
        {"id":"shopshopshop2","title":"Shop","default_branch":"main","region":"local","timezone":"UTC",\
        "organization":"home","owner":"u1","vendor":"upsun","status":"active",\
        "repository":{"url":"http://127.0.0.1:7070/shopshopshop2.git",\
        "path":"/srv/projects/shopshopshop2/repository.git"},\
        "subscription":{"license_uri":"","plan":"x","environments":1,"storage":0,"included_users":1,"user_licenses":1,\
        "subscription_management_uri":"","restricted":false,"suspended":false},\
        "created_at":"2026-01-31T12:00:00.000000+00:00","updated_at":"2026-01-31T12:00:00.000000+00:00",\
        "_links":{"self":{"href":"/projects/shopshopshop2"},\
        "environments":{"href":"/projects/shopshopshop2/environments"}}}
        """

    static let base = "/projects/shopshopshop2/environments/main"

    static func environment(
        _ name: String = "main", status: String = "active", isDirty: Bool = false, deployed: String = "c1",
        head: String = "c1",
        restoredFrom: String = "null", operations: [String] = ["backup", "redeploy", "activate"]
    ) -> String {
        let links = operations.map { ##","#\##($0)":{"href":"\##(base)/\##($0)"}"## }.joined()
        return """
            {"id":"\(name)","name":"\(name)","machine_name":"\(name)-abc","title":"\(name)","attributes":{},\
            "type":"production","status":"\(status)","parent":null,"project":"shopshopshop2","has_domains":false,\
            "clone_parent_on_create":false,"is_pr":false,"has_remote":false,"http_access":{"is_enabled":false,\
            "addresses":[],"basic_auth":{}},"enable_smtp":false,"restrict_robots":true,"edge_hostname":"",\
            "is_main":true,"is_dirty":\(isDirty),"has_staged_activities":false,"can_rolling_deploy":false,\
            "supports_rolling_deployments":false,"has_code":true,"head_commit":"\(head)","merge_info":{},\
            "has_deployment":true,"supports_restrict_robots":false,"deployed_commit":"\(deployed)",\
            "restored_from":\(restoredFrom),"instance":"envenvenv2222","resources_overrides":null,\
            "created_at":"2026-01-31T12:00:00.000000+00:00","updated_at":"2026-01-31T12:00:00.000000+00:00",\
            "_links":{"self":{"href":"/projects/shopshopshop2/environments/\(name)"}\(links)}}
            """
    }

    static func backup(
        _ id: String = "b2", created: String = "2026-01-31T13:00:00", restorable: Bool = true, degraded: Bool = false,
        environment: String = "main"
    ) -> String {
        let problem = degraded ? #""no space""# : "null"
        return """
            {"id":"\(id)","created_at":"\(created).000000+00:00","updated_at":"\(created).000000+00:00",\
            "attributes":{},\
            "status":"\(restorable ? "CREATED" : "DELETING")","expires_at":"2026-02-02T04:00:00+00:00","index":null,\
            "kept":["1d #1"],"protected":false,"locked_until":null,"deleted_at":null,"label":null,\
            "commit_id":"0123456789abcdef",\
            "environment":"\(environment)","safe":true,"size_of_volumes":1288490189,"size_used":35651584,\
            "size_object_storage":null,"deployment":"d1","restorable":\(restorable),"automated":false,\
            "project":"shopshopshop2","snapshot":"ff","degraded":\(degraded),\
            "sites":[{"name":"a","complete":true,"problem":null,"separate":true,"reachable":true},\
            {"name":"b","complete":\(!degraded),"problem":\(problem),"separate":true,"reachable":true}],\
            "hold":{"epoch":7,"closed_at":"\(created).000000+00:00","drained_at_milliseconds":20,\
            "frozen_at_milliseconds":30,"marks_at_milliseconds":{"db":100},"held_for_milliseconds":211.6,\
            "requests_held":37,"longest_request_milliseconds":187.2,"requests_refused":0,"unbroken":true,\
            "freeze_method":"cgroup2","workers_frozen_in_place":[]},"skew":null,\
            "_links":{"self":{"href":"\(base)/backups/\(id)"},"#restore":{"href":"\(base)/backups/\(id)/restore"},\
            "#delete":{"href":"\(base)/backups/\(id)"}}}
            """
    }

    static func activity(
        _ type: String = "environment.backup", state: String = "complete", result: String? = "success",
        failure: String? = nil
    ) -> String {
        """
        {"id":"a1","type":"\(type)","project":"shopshopshop2","environments":["main"],"state":"\(state)",\
        "result":\(text(result)),"failure":\(text(failure)),"completion_percent":\(state == "complete" ? 100 : 0),\
        "parameters":{},"timings":{"wait":0.25,"execute":3.5},"log":"","payload":{"backup_name":"b2"},"description":"",\
        "text":"Ann made a backup","commands":[],"created_at":"2026-01-31T13:00:00.000000+00:00",\
        "updated_at":"2026-01-31T13:00:00.000000+00:00",\
        "_links":{"self":{"href":"/projects/shopshopshop2/activities/a1"},\
        "log":{"href":"/projects/shopshopshop2/activities/a1/log"}}}
        """
    }

    static func accepted(_ activities: String...) -> StubServer.Reply {
        let list = activities.joined(separator: ",")
        return .init(202, #"{"status":"Accepted","code":202,"_embedded":{"activities":[\#(list)]}}"#)
    }

    static func log(_ lines: String...) -> StubServer.Reply {
        let items = lines.enumerated().map { number, line in
            #"{"_id":"a1-\#(number)","data":{"timestamp":"2026-01-31T13:00:0\#(number)Z","message":"\#(line)\n"}}"#
                + "\n"
        }
        return .stream(items + [#"{"_id":"a1-seal","seal":true}"# + "\n"])
    }

    /// Project, environment, two backups, one activity with its log: what most verbs need.
    static var house: [String: StubServer.Reply] {
        [
            "GET /projects/shopshopshop2": .init(200, project),
            "GET /projects/shopshopshop2/environments": .init(
                200, "[\(environment("main")),\(environment("topic", status: "inactive"))]"),
            "GET \(base)": .init(200, environment()),
            "GET \(base)/backups": .init(200, "[\(backup()),\(backup("b1", created: "2026-01-30T12:00:00"))]"),
            "GET \(base)/backups/b2": .init(200, backup()),
            "POST \(base)/backup": accepted(activity(state: "pending", result: nil)),
            "POST \(base)/backups/b2/restore": accepted(
                activity("environment.restore", state: "pending", result: nil)),
            "DELETE \(base)/backups/b2": accepted(
                activity("environment.backup.delete", state: "pending", result: nil)),
            "GET /projects/shopshopshop2/activities/a1": .init(200, activity()),
            "GET /projects/shopshopshop2/activities": .init(200, "[\(activity())]"),
            "GET \(base)/activities": .init(200, "[\(activity())]"),
            "GET /projects/shopshopshop2/activities/a1/log": log("Pre-copied service db"),
        ]
    }

    private static func text(_ value: String?) -> String { value.map { "\"\($0)\"" } ?? "null" }
}
