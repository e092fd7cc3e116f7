import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import HoldfastTestSupport
import Testing

@Suite struct SettingsTests {
    /// What curl sends unless it is told otherwise.
    private static let form = "application/x-www-form-urlencoded"

    private static let three: JSONValue = [
        ["interval": "1d", "count": 7], ["interval": "1w", "count": 4], ["interval": "1M", "count": 12],
    ]

    @Test func `the page's four examples work as they are printed, and each keeps what the others set`() async throws {
        let bench = try Bench()
        let path = bench.path("/settings")
        let bodies = try SettingsPage.bodies()
        #expect(bodies.count == 4 && bodies[0].contains("},\n"), "with the comma before the bracket")
        try await bench.serve { client async throws in
            var expected: [JSONValue] = []
            expected.append(["production": ["default_config": ["schedule": [["interval": "1d", "count": 7]]]]])
            expected.append(["production": ["default_config": ["schedule": Self.three]]])
            expected.append(["production": ["max_backups": 10, "default_config": ["schedule": Self.three]]])
            expected.append([
                "production": ["max_backups": 10, "default_config": ["manual_count": 1, "schedule": Self.three]]
            ])
            for (body, merged) in zip(bodies, expected) {
                let answer = try await client.send(.patch, path, body, contentType: Self.form)
                #expect(answer.status == 200, "\(answer.text)")
                #expect(answer.json["_embedded"]?["entity"]?["data_retention"] == merged)
                #expect(try await client.get(path, as: "viewer").json["data_retention"] == merged)
            }
            #expect(try await client.get(bench.path("/capabilities")).json["data_retention"]?["enabled"] == true)
        }
        let log = try bench.catalogue.auditLog(of: bench.project.id, limit: 10)
        #expect(log.filter { $0.action == "project.settings" && $0.result == .allowed }.count == 4)
    }

    @Test func `the merge is deep, arrays are replaced whole, and null goes back to the default at each depth`()
        async throws
    {
        let bench = try Bench()
        let path = bench.path("/settings")
        try await bench.serve { client async throws in
            func patch(_ retention: String) async throws -> JSONValue? {
                let answer = try await client.send(.patch, path, #"{"data_retention": \#(retention)}"#)
                #expect(answer.status == 200, "\(retention): \(answer.text)")
                return try await client.get(path).json["data_retention"]
            }
            #expect(try await patch("{}") == .null, "nothing was set")
            let sixth = #"{"interval": "6h", "count": 4, "safe": true}"#
            #expect(
                try await patch(#"{"staging": {"default_config": {"schedule": [\#(sixth)]}}}"#)
                    == ["staging": ["default_config": ["schedule": [["interval": "6h", "count": 4, "safe": true]]]]])
            let both = try await patch(
                #"{"production": {"max_backups": 5}, "staging": {"default_config": {"manual_count": 3}}}"#)
            #expect(both?["staging"]?["default_config"]?["manual_count"] == 3)
            #expect(both?["staging"]?["default_config"]?["schedule"] == [["interval": "6h", "count": 4, "safe": true]])
            #expect(both?["production"]?["default_config"]?["schedule"] == [["interval": "1d", "count": 2]])
            let other = #"{"interval": "2w", "count": 1}"#
            let replaced = try await patch(#"{"staging": {"default_config": {"schedule": [\#(other)]}}}"#)
            #expect(replaced?["staging"]?["default_config"]?["schedule"] == [["interval": "2w", "count": 1]])
            #expect(replaced?["staging"]?["default_config"]?["manual_count"] == 3)
            let leaf = try await patch(#"{"production": {"max_backups": null, "default_config": {"manual_count": 2}}}"#)
            #expect(leaf?["production"]?["max_backups"] == nil)
            let config = try await patch(#"{"staging": {"default_config": null}}"#)
            #expect(config?["staging"] == nil)
            let none = try await patch(#"{"production": {"default_config": {"schedule": []}}}"#)
            #expect(none?["production"]?["default_config"]?["schedule"] == [])
            let one = try await patch(#"{"production": null, "development": {"max_backups": 1}}"#)
            #expect(one == ["development": ["max_backups": 1, "default_config": ["schedule": []]]])
            #expect(try await patch("null") == .null)
        }
    }

    @Test(arguments: [
        (#"{"production": {"max_backups": 0}}"#, "production.max_backups"),
        (#"{"production": {"max_backups": -1}}"#, "production.max_backups"),
        (#"{"production": {"max_backups": 1000000000000}}"#, "production.max_backups"),
        (#"{"production": {"max_backups": 1e40}}"#, "production.max_backups"),
        (#"{"production": {"max_backups": "10"}}"#, "production.max_backups"),
        (#"{"production": {"max_backups": true}}"#, "production.max_backups"),
        (#"{"production": {"maximum": 3}}"#, "production.maximum"),
        (#"{"production": 7}"#, "production"),
        (#"{"live": {"max_backups": 1}}"#, "live"),
        (#"{"production": {"default_config": []}}"#, "production.default_config"),
        (#"{"production": {"default_config": {"manual_count": 0}}}"#, "production.default_config.manual_count"),
        (#"{"production": {"default_config": {"keep": 0}}}"#, "production.default_config.keep"),
        (#"{"production": {"default_config": {"schedule": {}}}}"#, "production.default_config.schedule"),
        (#"{"production": {"default_config": {"schedule": [7]}}}"#, "production.default_config.schedule.0"),
        (
            #"{"production": {"default_config": {"schedule": [{"interval": "1d", "count": 0}]}}}"#,
            "production.default_config.schedule.0.count"
        ),
        (
            #"{"production": {"default_config": {"schedule": [{"interval": "1d", "count": 1000000000000}]}}}"#,
            "production.default_config.schedule.0.count"
        ),
        (
            #"{"production": {"default_config": {"schedule": [{"interval": "1d", "count": null}]}}}"#,
            "production.default_config.schedule.0.count"
        ),
    ])
    func `what is wrong is said with its path, and nothing is changed`(retention: String, place: String) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("/settings")
            let answer = try await client.send(.patch, path, #"{"data_retention": \#(retention)}"#)
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.json["detail"]?["data_retention.\(place)"] != nil, "\(answer.text)")
            #expect(answer.message.contains("data_retention.\(place)"))
            #expect(try await client.get(path).json["data_retention"] == .null)
        }
    }

    @Test(arguments: [
        #"{"interval": "0d", "count": 1}"#, #"{"interval": "1x", "count": 1}"#, #"{"interval": "1m", "count": 1}"#,
        #"{"interval": "d", "count": 1}"#, #"{"interval": "-1d", "count": 1}"#, #"{"interval": "1.5d", "count": 1}"#,
        #"{"interval": "99999999999999999999d", "count": 1}"#, #"{"interval": 86400, "count": 1}"#, #"{"count": 1}"#,
    ])
    func `an interval that is none is a fault at its place in the array`(schedule: String) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let body = """
                {"data_retention": {"production": {"default_config": {"schedule": [
                    {"interval": "1w", "count": 1}, \(schedule)]}}}}
                """
            let answer = try await client.send(.patch, bench.path("/settings"), body)
            #expect(answer.status == 400)
            let place = "data_retention.production.default_config.schedule.1.interval"
            #expect(answer.json["detail"]?[place] != nil, "\(answer.text)")
        }
    }

    @Test(arguments: [
        (#"{"max_backups": 0}"#, "is 0, should be a whole number from 1 to 1000000"),
        (#"{"max_backups": "10"}"#, #"is "10", should be"#), (#"{"max_backups": 1e40}"#, "is 1e+40, should be"),
        (#"{"default_config": {"schedule": {"b": 1, "a": []}}}"#, #"is {"a":[],"b":1}, should be an array"#),
        (#"{"default_config": {"schedule": [{"interval": "0d", "count": 1}]}}"#, "'0d' is not an interval"),
        (#"{"default_config": {"schedule": [{"interval": "1d"}]}}"#, "is null, should be a whole number"),
        (#"{"default_config": {"schedule": [{"interval": "1y", "count": 9999}]}}"#, "is 9999, should keep no more"),
        (#"{"default_config": "\#(String(repeating: "x", count: 500))"}"#, "xxxx…, should be of the type object"),
    ]) func `the value that is refused is named, as far as it is short`(limits: String, words: String) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let body = #"{"data_retention": {"production": \#(limits)}}"#
            let answer = try await client.send(.patch, bench.path("/settings"), body)
            #expect(answer.status == 400)
            #expect(answer.message.contains(words), "\(answer.message)")
            #expect(answer.message.count < 200)
        }
    }

    @Test func `all faults are said at once, also those beside the policy`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let body = """
                {"initialize": {}, "colour": 1, "data_retention": {"production": {"max_backups": 0,
                "default_config": {"schedule": [{"interval": "1d", "count": 0}, {"interval": "1d", "count": 3}]}}}}
                """
            let answer = try await client.send(.patch, bench.path("/settings"), body)
            #expect(answer.status == 400)
            guard case .object(let faults)? = answer.json["detail"] else {
                Issue.record("\(answer.text)")
                return
            }
            let schedule = "data_retention.production.default_config.schedule"
            #expect(
                Set(faults.keys) == [
                    "initialize", "colour", "data_retention.production.max_backups", "\(schedule).0.count",
                    "\(schedule).1.interval",
                ])
            #expect(try await client.send(.patch, bench.path("/settings"), "[]").status == 400)
            #expect(try await client.send(.patch, bench.path("/settings"), "{").status == 400)
        }
    }

    @Test func `a policy is changed by who is admin of its type of environment, and by nobody else`() async throws {
        let bench = try Bench()
        let production = #"{"data_retention": {"production": {"max_backups": 3}}}"#
        let staging = #"{"data_retention": {"staging": {"max_backups": 3}}}"#
        try await bench.serve { client async throws in
            let path = bench.path("/settings")
            for (name, body, status) in [
                ("viewer", production, 403), ("stager", staging, 403), ("stranger", production, 404),
                ("producer", staging, 403), ("producer", #"{"data_retention": null}"#, 403),
                ("producer", production, 200), ("manager", staging, 200), ("operator", staging, 200),
            ] {
                #expect(try await client.send(.patch, path, body, as: name).status == status, "\(name) \(body)")
            }
        }
    }

    @Test func `days are those of the project's time zone, which can be changed, and only to one that there is`()
        async throws
    {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/retention")
            // It is 22:13 on 14 November 2023.
            let before = try await client.get(path).json
            #expect(before["timezone"] == "UTC")
            #expect(before["due"] == ["1d"])
            let patch = #"{"timezone": "Asia/Kathmandu"}"#
            #expect(try await client.send(.patch, bench.path(""), patch).status == 200)
            let after = try await client.get(path).json
            #expect(after["timezone"] == "Asia/Kathmandu")
            // There it is 03:58 of the next day, which is due from 04:00 on.
            #expect(after["due"] == [])
            let next = try #require(after["next_due_at"]?.string.flatMap { Timestamp.parse($0) })
            #expect((1_700_000_100...1_700_001_900).contains(next.timeIntervalSince1970), "\(next)")
            let wrong = try await client.send(.patch, bench.path(""), #"{"timezone": "Mars/Olympus"}"#)
            #expect(wrong.status == 400)
            #expect(wrong.message.contains("Mars/Olympus"), "\(wrong.text)")
            #expect(try await client.get(path).json["timezone"] == "Asia/Kathmandu")
        }
    }

    @Test func `a preview says what would go and why, and changes nothing`() async throws {
        let bench = try Bench()
        let made = try (0..<3).map { _ in try bench.addBackup(of: bench.main).id }
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/retention")
            let now = try await client.get(path, as: "viewer").json
            #expect(now["schedule"] == [["interval": "1d", "count": 2, "safe": false, "missed": 0]])
            #expect(now["removed"] == [])
            #expect(now["next_due_at"]?.string != nil)
            let body = #"{"data_retention": {"production": {"default_config": {"manual_count": 1}}}, "days": 30}"#
            let preview = try await client.post(path + "/preview", body).json
            guard case .array(let removed)? = preview["removed"], case .array(let kept)? = preview["kept"] else {
                Issue.record("\(preview)")
                return
            }
            #expect(removed.map { $0["id"]?.string } == [made[0].rawValue, made[1].rawValue])
            #expect(removed.first?["reasons"] == [.string("manual_count is 1, replaced by \(made[2])")])
            #expect(kept.map { $0["id"]?.string } == [made[2].rawValue])
            #expect(preview["simulation"]?["left"] == 3, "two daily ones and the manual one")
            #expect(try await client.get(bench.path("/settings")).json["data_retention"] == .null)
            #expect(try await client.post(path + "/preview", #"{"days": 0}"#).status == 400)
            #expect(try await client.post(path + "/preview", #"{"data_retention": {"x": 1}}"#).status == 400)
        }
        #expect(try bench.catalogue.backups(of: bench.main.id).count == 3)
    }
}
