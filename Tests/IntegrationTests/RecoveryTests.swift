import Foundation
import Testing

/// The machine is gone; the sites and the recovery kit are left.
@Suite(.serialized)
struct RecoveryTests {
    @Test func `from a kit and the sites everything is listed again, and a backup restores`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        #expect(try installation.post("kept") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("in-the-second") == 201)
        try installation.must("backup:create", "--live", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("lost") == 201)
        let before = try listing(installation)
        #expect(before.count == 2)
        let protected = String(before[1].split(separator: ",")[0])
        try installation.must("backup:protect", protected, "-p", installation.project, "-e", "main")

        let away = installation.home + ".away"
        let kit = away + "/kit.json"
        try FileManager.default.createDirectory(atPath: away, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: away) }
        let password = ["HOLDFAST_KIT_PASSWORD": "correct horse", "HOLDFAST_HOME": installation.home]
        let made = try Installation.run(
            Installation.binary, ["recovery-kit", "--output", kit], environment: password)
        #expect(made.status == 0 && made.errors.contains("WARNING"), "\(made.errors)")
        #expect(try FileManager.default.attributesOfItem(atPath: kit)[.posixPermissions] as? Int == 0o600)
        let text = try String(contentsOfFile: kit, encoding: .utf8)
        let key = try String(contentsOfFile: installation.home + "/keys/master.key", encoding: .utf8)
        #expect(!text.contains(key.trimmingCharacters(in: .newlines)))
        let unsealed = try installation.holdfast("recovery-kit", "--output", away + "/other.json")
        #expect(unsealed.status != 0, "a kit without a password must be asked for")

        // Everything but the sites is lost, and one of these as well.
        installation.stopServer()
        try FileManager.default.moveItem(atPath: installation.home + "/sites", toPath: away + "/sites")
        try FileManager.default.removeItem(atPath: away + "/sites/site-a")
        for name in try FileManager.default.contentsOfDirectory(atPath: installation.home) {
            try FileManager.default.removeItem(atPath: installation.home + "/" + name)
        }

        let arguments = [
            "catalogue:rebuild", "--kit", kit, "--site", "site-b=\(away)/sites/site-b", "--site",
            "site-a=\(away)/sites/site-a",
        ]
        var wrong = password
        wrong["HOLDFAST_KIT_PASSWORD"] = "wrong"
        #expect(try Installation.run(Installation.binary, arguments, environment: wrong).status != 0)
        // What is left of another project hinders nothing, once somebody says that it may stay out.
        try FileManager.default.createDirectory(
            atPath: "\(away)/sites/site-b/projects/strayproject", withIntermediateDirectories: true)
        let stray = try Installation.run(Installation.binary, arguments, environment: password)
        #expect(stray.status != 0 && stray.errors.contains("strayproject"), "\(stray.errors)")
        #expect(!FileManager.default.fileExists(atPath: installation.home + "/catalogue.sqlite"))
        let rebuilt = try Installation.run(
            Installation.binary, arguments + ["--without", "strayproject"], environment: password)
        #expect(rebuilt.status == 0, "\(rebuilt.errors)")
        #expect(rebuilt.output.contains("1 environments, 2 backups"), "\(rebuilt.output)")
        // A second time there is something to lose.
        #expect(try Installation.run(Installation.binary, arguments, environment: password).status != 0)

        try installation.start()
        #expect(try listing(installation) == before)
        let refused = try installation.holdfast(
            "backup:delete", protected, "-p", installation.project, "-e", "main", "-y", "--now")
        #expect(refused.status != 0 && refused.errors.contains("protected"), "\(refused.errors)")
        let types = try installation.must(
            "environment:list", "-p", installation.project, "--format", "csv", "--no-header", "-c", "id,type")
        #expect(types.contains("main,production"), "\(types)")
        try installation.must("environment:activate", "-p", installation.project, "-e", "main", "-y")
        for (id, expected) in [(before[0], ["kept", "in-the-second"]), (before[1], ["kept"])] {
            try installation.must(
                "backup:restore", String(id.split(separator: ",")[0]), "-p", installation.project, "-e", "main", "-y")
            let sets = try installation.sets()
            #expect(sets.database == Set(expected) && sets.file == Set(expected), "\(id)")
        }
    }

    /// Id, age and kind of each backup, newest first.
    private func listing(_ installation: Installation) throws -> [String] {
        let text = try installation.must(
            "backup:list", "-p", installation.project, "-e", "main", "--format", "csv", "--no-header", "-c",
            "id,created_at,commit_id,live")
        return text.split(separator: "\n").map(String.init)
    }
}
