import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Testing

@Suite struct ActivityTests {
    private func finish(_ activity: Activity, _ bench: Bench) throws {
        _ = try bench.catalogue.claimActivity(in: activity.type.queue, at: bench.time.now())
        try bench.catalogue.finishActivity(activity.id, result: .success, failure: nil, at: bench.time.now())
    }

    private func items(_ text: String) throws -> [API.LogItem] {
        try text.split(separator: "\n").map { try API.decoder().decode(API.LogItem.self, from: Data($0.utf8)) }
    }

    @Test func `the log of a finished activity is served whole and ends with the seal`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        for index in 1...1200 { bench.catalogue.appendLog(activity.id, "line \(index)\n", at: bench.time.now()) }
        try finish(activity, bench)
        try await bench.serve { client async throws in
            let query = "?start_at=0&max_items=0&max_delay=-1"
            let answer = try await client.get(bench.path("/activities/\(activity.id)/log\(query)"), as: "viewer")
            let lines = try items(answer.text)
            #expect(lines.count == 1201)
            #expect(lines.dropLast().map { $0.data?.message } == (1...1200).map { "line \($0)\n" })
            #expect(Set(lines.map(\.entryId)).count == 1201)
            #expect(lines.last?.seal == true)
            #expect(lines.dropLast().allSatisfy { $0.seal == nil })
        }
    }

    @Test func `a log stays open until the activity ends, and its end is readable before the seal`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        bench.catalogue.appendLog(activity.id, "before\n", at: bench.time.now())
        try await bench.serve(live: true) { client async throws in
            async let log = client.get(bench.path("/environments/main/activities/\(activity.id)/log"))
            while bench.catalogue.feed.watcherCount == 0 { try await Task.sleep(for: .milliseconds(5)) }
            _ = try bench.catalogue.claimActivity(in: .cron, at: bench.time.now())
            for index in 1...20 {
                bench.catalogue.appendLog(activity.id, "while \(index)\n", at: bench.time.now())
                if index % 5 == 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
            bench.catalogue.appendLog(activity.id, "last\n", at: bench.time.now())
            try bench.catalogue.finishActivity(activity.id, result: .success, failure: nil, at: bench.time.now())
            let lines = try items(try await log.text)
            #expect(lines.first?.data?.message == "before\n")
            #expect(lines.count == 23)
            #expect(lines.dropLast().last?.data?.message == "last\n")
            #expect(lines.last?.seal == true)
        }
        #expect(bench.catalogue.feed.watcherCount == 0)
    }

    @Test func `a log ends without the seal if the server stops, because the activity goes on`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        try await bench.serve(live: true) { client async throws in
            async let log = client.get(bench.path("/activities/\(activity.id)/log"))
            while bench.catalogue.feed.watcherCount == 0 { try await Task.sleep(for: .milliseconds(5)) }
            bench.catalogue.feed.close()
            #expect(try await log.text.isEmpty)
        }
    }

    @Test func `a cancelled activity's log is sealed too`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/activities/\(activity.id)")
            #expect(try await client.get(path).links.contains("#cancel"))
            #expect(try await client.get(path, as: "viewer").links == ["self", "log"])
            #expect(try await client.post(path + "/cancel", as: "viewer").status == 403)
            #expect(try await client.post(path + "/cancel").status == 202)
            #expect(try await client.get(path).json["state"] == "cancelled")
            let again = try await client.post(path + "/cancel")
            #expect(again.status == 400)
            #expect(again.message.contains("cannot be cancelled"))
            #expect(try items(try await client.get(path + "/log").text).last?.seal == true)
        }
    }

    @Test func `activities are filtered by repeated parameters, and a plus in a time stamp stays one`() async throws {
        let bench = try Bench()
        let push = try bench.queue(.push, on: bench.stage)
        try finish(push, bench)
        let backup = try bench.queue(.backup, on: bench.main)
        let cron = try bench.queue(.cron, on: bench.main)
        let stamp = Timestamp.format(backup.createdAt)
        try await bench.serve(live: true) { client async throws in
            func ids(_ query: String, below: String = "") async throws -> [String?] {
                let path = bench.path("\(below)/activities\(query)")
                return try await client.get(path, as: "viewer").items.map { $0["id"]?.string }
            }
            let (one, two, three) = (push.id.rawValue, backup.id.rawValue, cron.id.rawValue)
            #expect(try await ids("") == [three, two, one])
            #expect(try await ids("?type=environment.push&type=environment.cron") == [three, one])
            #expect(try await ids("?starts_at=\(stamp)&count=1") == [two])
            #expect(try await ids("?starts_at=\(stamp.replacingOccurrences(of: "+", with: "%2B"))") == [two, one])
            #expect(try await ids("?state=complete&result=success") == [one])
            #expect(try await ids("?state=pending&state=in_progress") == [three, two])
            #expect(try await ids("?count=1") == [three])
            #expect(try await ids("", below: "/environments/stage") == [one])
            #expect(try await client.get(bench.path("/activities?count=x")).status == 400)
            #expect(try await client.get(bench.path("/activities?starts_at=x")).status == 400)
        }
    }

    @Test func `a failed activity says why`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.cron, on: bench.main)
        _ = try bench.catalogue.claimActivity(in: .cron, at: bench.time.now())
        let reason = "the site is full"
        try bench.catalogue.finishActivity(activity.id, result: .failure, failure: reason, at: bench.time.now())
        try await bench.serve { client async throws in
            let answer = try await client.get(bench.path("/environments/main/activities/\(activity.id)"))
            #expect(answer.json["result"] == "failure")
            #expect(answer.json["failure"] == .string(reason))
            #expect(answer.json["failure_reason"] == "error")
            #expect(answer.json["completion_percent"] == 100)
            #expect(answer.json["cancelled_at"] == .null)
            #expect(answer.json["payload"]?["user"]?["display_name"] == "The manager")
        }
    }

    /// Whoever may delete an environment waits for the activity that does it, and by then the environment is gone.
    @Test func `an activity on an environment that is gone is seen by those whom its type allowed`() async throws {
        let bench = try Bench()
        let activity = try bench.queue(.delete, on: bench.main)
        _ = try bench.catalogue.claimActivity(in: .default, at: bench.time.now())
        try bench.catalogue.removeEnvironment(bench.main.id)
        try bench.catalogue.finishActivity(activity.id, result: .success, failure: nil, at: bench.time.now())
        try await bench.serve { client async throws in
            let path = bench.path("/activities/\(activity.id)")
            #expect(try await client.get(path, as: "producer").json["result"] == "success")
            #expect(try await client.get(path + "/log", as: "producer").status == 200)
            #expect(try await client.get(bench.path("/activities"), as: "producer").items.count == 1)
            #expect(try await client.get(path, as: "stager").status == 403)
        }
    }

    @Test func `flags travel as flags`() async throws {
        let bench = try Bench()
        let activity = Activity(
            id: .random(), project: bench.project.id, environment: bench.main.id, type: .backup,
            parameters: ["safe": "true", "automated": "false", "backup": "b"], user: nil, text: "t",
            createdAt: bench.time.now())
        try bench.catalogue.createActivity(activity)
        try await bench.serve { client async throws in
            let payload = try await client.get(bench.path("/activities/\(activity.id)")).json["payload"]
            #expect(payload?["safe"] == true)
            #expect(payload?["automated"] == false)
            #expect(payload?["backup_name"] == "b")
        }
    }
}
