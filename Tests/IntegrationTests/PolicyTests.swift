import Foundation
import HoldfastTestSupport
import Testing

/// Schedules and policies, in a whole installation.
@Suite(.serialized)
struct PolicyTests {
    private func retention(_ installation: Installation) throws -> [String: Any] {
        let text = try installation.must("project:curl", "settings", "-p", installation.project)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let all = object?["data_retention"] as? [String: Any]
        return try #require(all?["production"] as? [String: Any])
    }

    private func check(_ installation: Installation) throws {
        let production = try retention(installation)
        let config = production["default_config"] as? [String: Any]
        let schedule = (config?["schedule"] as? [[String: Any]])?.map { "\($0["interval"] ?? "")×\($0["count"] ?? "")" }
        #expect(schedule == ["1d×7", "1w×4", "1M×12"])
        #expect(production["max_backups"] as? Int == 10)
        #expect(config?["manual_count"] as? Int == 1)
    }

    /// Sends a body as plain curl does, under the content type of forms.
    private func patch(_ body: String, _ installation: Installation) throws {
        let server = "http://127.0.0.1:\(installation.apiPort)"
        let token = try String(contentsOfFile: "\(installation.home)/cli-token", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let answer = try Installation.run(
            "/usr/bin/curl",
            ["-sS", "--fail", "-d", "grant_type=api_token&api_token=\(token)", "\(server)/oauth2/token"])
        let object = try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any]
        let access = try #require(object?["access_token"] as? String)
        let outcome = try Installation.run(
            "/usr/bin/curl",
            [
                "-sS", "--fail-with-body", "-X", "PATCH", "-H", "Authorization: Bearer \(access)", "-d", body,
                "\(server)/projects/\(installation.project)/settings",
            ])
        #expect(outcome.status == 0, "\(outcome.output) \(outcome.errors)")
    }

    /// Runs one of the page's command lines as it is printed, in the checkout, with holdfast for `upsun`.
    private func run(_ command: String, _ installation: Installation) throws {
        let script = #"cd "$HOLDFAST_HOME/checkout"; upsun() { "$HOLDFAST" "$@"; }"#
        let outcome = try Installation.run(
            "/bin/sh", ["-euc", "\(script)\n\(command)"],
            environment: ["HOLDFAST_HOME": installation.home, "HOLDFAST": Installation.binary])
        #expect(outcome.status == 0, "\(command): \(outcome.errors)")
    }

    @Test func `production is backed up by itself, the page's command lines set its policy, and its backup restores`()
        throws
    {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start(schedules: true)
        try installation.createProject()
        let project = installation.project
        // Due within five minutes of the hour at most, and nobody asks for it.
        try installation.must(
            "project:curl", "settings", "-p", project, "-X", "PATCH", "-d",
            #"{"data_retention": {"production": {"default_config": {"schedule": [{"interval": "1h", "count": 3}]}}}}"#)
        #expect(try installation.push().status == 0)
        #expect(try installation.waitUntil(seconds: 420) { try !installation.backups().isEmpty })
        let id = try #require(try installation.backups().first)
        #expect(try installation.must("backup:get", id, "-p", project, "-P", "automated") == "true\n")
        #expect(try installation.must("backup:get", id, "-p", project, "-P", "safe") == "false\n")
        let listed = try installation.must("backup:list", "-p", project, "-e", "main")
        #expect(listed.contains("newest good, "), "\(listed)")
        let status = try installation.holdfast("status", "-p", project)
        #expect(status.status == 0, "\(status.output) \(status.errors)")

        // Its schedule is about to go.
        try installation.must("backup:protect", id, "-p", project)
        let repository = "\(installation.home)/projects/\(project)/repository.git"
        try installation.git("remote", "add", "holdfast", repository)
        for command in SettingsPage.commands { try run(command, installation) }
        try check(installation)
        let kept = try installation.holdfast("backup:policy", "preview", "-p", project, "-e", "main")
        #expect(kept.errors.contains("1d × 7, 1w × 4, 1M × 12"), "\(kept.errors)")
        #expect(kept.errors.contains("max_backups allows 10"), "\(kept.errors)")
        try installation.must("backup:policy", "set", "--default", "-p", project, "-e", "main", "-y")
        for body in try SettingsPage.bodies() { try patch(body, installation) }
        try check(installation)
        let preview = try installation.must(
            "backup:policy", "preview", "--no-schedule", "--manual-count", "1", "-p", project, "-e", "main")
        #expect(preview.contains("\(id)") && preview.contains("| protected"), "\(preview)")
        try check(installation)

        try installation.must("backup:restore", id, "-p", project, "-e", "main", "-y")
        let refusal = try installation.holdfast("backup:delete", id, "-p", project, "-y")
        #expect(refusal.errors.contains("protected"), "\(refusal.errors)")
        try installation.must("backup:delete", id, "-p", project, "-y", "--force")
        #expect(try !installation.backups().contains(id))
        try installation.must("backup:undelete", id, "-p", project)
        #expect(try installation.backups().contains(id))
        try installation.must("backup:protect", id, "-p", project, "--lock-until", "2030-01-01", "-y")
        let refused = try installation.holdfast(
            "backup:delete", id, "-p", project, "-y", "--force", "--now")
        #expect(refused.status == 1)
        #expect(refused.errors.contains("locked until 20"), "\(refused.errors)")
    }

    @Test func `killed between the new backup and the end of the old one, the next start does what the plan says`()
        throws
    {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        let project = installation.project
        try installation.must(
            "backup:policy", "set", "--no-schedule", "--manual-count", "1", "-p", project, "-e", "main", "-y")
        try installation.must("backup:create", "-p", project, "-e", "main", "-y")
        let old = try #require(try installation.backups().first)
        installation.stopServer()
        try installation.start(stopAt: "backup.listed", schedules: true)
        #expect(try installation.post("kept") == 201)
        let started = try installation.must("backup:create", "-p", project, "-e", "main", "-y", "--no-wait")
        let new = try #require(started.split(separator: " ").last).trimmingCharacters(in: .whitespacesAndNewlines)
        try installation.waitUntilStopped()
        installation.killServer()
        try installation.start(schedules: true)
        #expect(try installation.waitUntil(seconds: 60) { try installation.backups() == [new] })
        let gone = try installation.must("backup:get", old, "-p", project, "-P", "deleted_because")
        #expect(gone == "manual_count is 1, replaced by \(new)\n")
        #expect(try installation.post("later") == 201)
        try installation.must("backup:restore", new, "-p", project, "-e", "main", "-y")
        let sets = try installation.sets()
        #expect(sets.database.contains("kept") && !sets.database.contains("later"), "\(sets)")
        #expect(sets.file.contains("kept") && !sets.file.contains("later"), "\(sets)")
    }
}
