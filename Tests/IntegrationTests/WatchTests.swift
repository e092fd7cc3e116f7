import Foundation
import Testing

/// What tells an operator how things are: doctor, drills, metrics, notifications.
@Suite(.serialized)
struct WatchTests {
    private func findings(_ installation: Installation) throws -> (status: Int32, wrong: [String: String]) {
        let outcome = try installation.holdfast("doctor", "--json")
        let list = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [[String: Any]]
        let wrong = try #require(list).filter { $0["state"] as? String == "wrong" }
        let pairs = wrong.map { ($0["check"] as? String ?? "", $0["what"] as? String ?? "") }
        return (outcome.status, Dictionary(pairs) { "\($0); \($1)" })
    }

    private func directories(_ installation: Installation) throws -> [String] {
        let root = try installation.environmentDirectory
        return try ["apps", "services", "mounts"].flatMap { part in
            try FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(part)")
                .filter { $0.split(separator: "/").count == 2 }.map { "\(part)/\($0)" }
        }.sorted()
    }

    @Test
    func `the doctor says what is wrong with and without a server, and a drill proves a backup and leaves nothing`()
        throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        let project = installation.project
        try installation.must("backup:create", "-p", project, "-e", "main", "-y")
        let before = try findings(installation)
        #expect(before.status == 1)
        #expect(before.wrong.map(\.key) == ["recovery kit"], "\(before.wrong)")
        let kit = "\(installation.home)/kit.json"
        try installation.must("recovery-kit", "--plain", "--output", kit)
        let well = try findings(installation)
        #expect(well.status == 0, "\(well.wrong)")

        // A drill: the backup comes back, beside what runs.
        let (state, there) = (try installation.current(), try directories(installation))
        #expect(try installation.post("kept") == 201)
        let drill = try installation.holdfast("backup:drill", "-p", project, "-e", "main")
        #expect(drill.status == 0, "\(drill.errors)")
        #expect(drill.errors.contains("can be restored"), "\(drill.errors)")
        #expect(try installation.current() == state)
        #expect(try directories(installation) == there)
        #expect(try installation.sets().database == ["kept"])
        let status = try installation.must("status", "-p", project, "--format", "csv", "--no-header", "-c", "drill")
        #expect(status.hasPrefix("2"), "\(status)")

        // A site goes, then the server.
        try FileManager.default.moveItem(
            atPath: "\(installation.home)/sites/site-b", toPath: "\(installation.home)/away")
        let away = try findings(installation)
        #expect(away.status == 1)
        #expect(away.wrong["sites"]?.contains("site-b is away") == true, "\(away.wrong)")
        try FileManager.default.moveItem(
            atPath: "\(installation.home)/away", toPath: "\(installation.home)/sites/site-b")
        installation.stopServer()
        let stopped = try findings(installation)
        #expect(stopped.status == 1)
        #expect(stopped.wrong["server"]?.contains("does not run") == true, "\(stopped.wrong)")
        #expect(stopped.wrong["sites"] == nil && stopped.wrong["catalogue"] == nil, "\(stopped.wrong)")
        let key = "\(installation.home)/keys/master.key"
        try FileManager.default.moveItem(atPath: key, toPath: "\(installation.home)/key")
        #expect(try findings(installation).wrong["keys"]?.contains("no master key") == true)
        try FileManager.default.moveItem(atPath: "\(installation.home)/key", toPath: key)
        chmod(key, 0o644)
        #expect(try findings(installation).wrong["home"]?.contains("master.key") == true)
        chmod(key, 0o600)
        try installation.start()
    }

    @Test func `a failure and its recovery are told once each, also across a restart, and metrics say the same`() throws
    {
        let installation = try Installation.withLedger()
        defer { installation.end() }
        let project = installation.project
        let (told, token) = ("\(installation.home)/told", "\(installation.home)/metrics-token")
        let program = "\(installation.home)/tell"
        try Data("#!/bin/sh\ncat >> '\(told)'\necho >> '\(told)'\n".utf8).write(to: URL(fileURLWithPath: program))
        chmod(program, 0o755)
        try Data("0123456789abcdef\n".utf8).write(to: URL(fileURLWithPath: token))
        chmod(token, 0o600)
        installation.stopServer()
        let settings: [String: Any] = [
            "notifications": [["name": "file", "command": ["path": program]]], "metricsTokenFile": token,
        ]
        try installation.start(settings: settings)
        func lines() -> [String] {
            let text = (try? String(contentsOfFile: told, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { line in
                let json = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                return "\(json?["kind"] ?? "") \(json?["change"] ?? "")"
            }
        }
        #expect(try installation.holdfast("notify:test", "nobody").status == 1)
        try installation.must("notify:test")
        #expect(lines() == ["test raised"])

        let (sites, away) = ("\(installation.home)/sites", "\(installation.home)/away")
        try FileManager.default.moveItem(atPath: sites, toPath: away)
        #expect(try installation.holdfast("backup:create", "-p", project, "-e", "main", "-y").status == 1)
        #expect(installation.waitUntil(seconds: 60) { lines().contains("backup.failed raised") }, "\(lines())")
        #expect(try installation.holdfast("backup:create", "-p", project, "-e", "main", "-y").status == 1)
        installation.killServer()
        try installation.start()
        try FileManager.default.moveItem(atPath: away, toPath: sites)
        try installation.must("backup:create", "-p", project, "-e", "main", "-y")
        #expect(installation.waitUntil(seconds: 60) { lines().contains("backup.failed recovered") }, "\(lines())")
        #expect(lines() == ["test raised", "backup.failed raised", "backup.failed recovered"])

        let address = "http://127.0.0.1:\(installation.apiPort)/metrics"
        let refused = try Installation.run("/usr/bin/curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", address])
        #expect(refused.output == "401")
        let metrics = try Installation.run(
            "/usr/bin/curl", ["-sS", "--fail", "-H", "Authorization: Bearer 0123456789abcdef", address])
        let printed = try installation.must("status", "--metrics")
        func counted(_ text: String) -> [String] {
            text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("backup_overdue_seconds") }
        }
        #expect(counted(metrics.output) == counted(printed))
        #expect(metrics.output.contains("backup_failures_total{"))
        #expect(metrics.output.contains("\"} 2\n"), "two failed")
    }

    @Test func `a schedule that is safe takes a consistent backup, another one a live one, and the list says why`()
        throws
    {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        #expect(try installation.push("feature").status == 0)
        let project = installation.project
        let policy = """
            {"data_retention": {
              "production": {"default_config": {"schedule": [{"interval": "1h", "count": 3, "safe": true}]}},
              "development": {"default_config": {"schedule": [{"interval": "1h", "count": 3}]}}}}
            """
        try installation.must("project:curl", "settings", "-p", project, "-X", "PATCH", "-d", policy)
        installation.stopServer()
        try installation.start(schedules: true)
        var rows: [[String]] = []
        // Due within five minutes of the hour at most.
        let done = try installation.waitUntil(seconds: 480) {
            let outcome = try installation.holdfast(
                "backup:list", "--all", "-p", project, "--format", "tsv", "--no-header", "-c",
                "environment,safe,live,automated,kept,expires_at")
            rows = outcome.output.split(separator: "\n").map { $0.components(separatedBy: "\t") }
            return rows.count >= 2
        }
        #expect(done, "\(rows) \(installation.tail("serve.log"))")
        for row in rows {
            let isMain = row[0] == "main"
            #expect(Array(row[1...3]) == (isMain ? ["true", "false", "true"] : ["false", "true", "true"]), "\(row)")
            #expect(row[4].contains("1h #1") && row[4].contains("newest good"), "\(row)")
            #expect(row[5].hasPrefix("2"), "\(row)")
        }
        #expect(Set(rows.map { $0[0] }) == ["main", "feature"])
        let hold = try installation.must("backup:get", "-p", project, "-e", "main", "-P", "hold.unbroken")
        #expect(hold == "true\n")
    }
}
