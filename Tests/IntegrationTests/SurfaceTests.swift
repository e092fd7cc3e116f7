import Foundation
import HoldfastModel
import Testing

/// What the command line promises beyond one verb: deleted environments, full disks, whole projects.
@Suite(.serialized)
struct SurfaceTests {
    @Test func `backups of a deleted environment are listed, restored into another one, and deleted`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        let project = installation.project
        #expect(try installation.push("feature/x").errors.contains("Environment feature/x is at http://"))
        try installation.must("backup:create", "-p", project, "-e", "feature/x", "-y")
        let id = try installation.must("backup:list", "-p", project, "-e", "feature/x", "--pipe")
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let token = try developer(of: installation)
        let refused = try installation.holdfast("environment:delete", "-p", project, "-e", "feature/x", token: token)
        #expect(refused.status == 1, "\(refused.errors)")
        #expect(refused.errors.contains("--yes"), "\(refused.errors)")
        // Whoever may delete an environment sees the activity to its end.
        let deleted = try Installation.run(
            Installation.binary, ["environment:delete", "-p", project, "-e", "feature/x", "-y"],
            environment: ["HOLDFAST_HOME": installation.home, "HOLDFAST_TOKEN": token])
        #expect(deleted.status == 0, "\(deleted.errors)")

        let listed = try installation.must("backup:list", "-p", project, "-e", "feature%2Fx", "--pipe")
        #expect(listed == id + "\n")
        #expect(try installation.must("backup:list", "-p", project, "--all").contains("feature/x (deleted)"))
        #expect(try installation.must("backup:get", id, "-p", project, "-P", "environment") == "feature/x\n")
        let generation = try installation.current().generation
        let nowhere = try installation.holdfast("backup:restore", id, "-p", project, "-e", "feature/x", "-y")
        #expect(nowhere.status == 1)
        #expect(nowhere.errors.contains("--target"), "\(nowhere.errors)")
        let unasked = try installation.holdfast("backup:restore", id, "-p", project, "--target", "main")
        #expect(unasked.status == 1, "production needs a yes")
        try installation.must("backup:restore", id, "-p", project, "-e", "feature/x", "--target", "main", "-y")
        #expect(try installation.current().generation > generation)
        try installation.must("backup:delete", id, "-p", project, "-y")
        #expect(try installation.holdfast("backup:list", "-p", project, "--all").status == 1)
    }

    /// Somebody who is admin of development environments, and may see production.
    private func developer(of installation: Installation) throws -> String {
        try installation.must(
            "user:add", "dev@example.org", "-p", installation.project, "-r", "development:admin", "-r",
            "production:viewer")
        let text = try installation.must("token:create", "laptop", "--user", "dev@example.org")
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test func `a project goes as a whole, and nothing of it is left`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        let project = installation.project
        let refused = try installation.holdfast("project:delete", "-p", project)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("--with-production"), "\(refused.errors)")
        try installation.must("project:delete", "-p", project, "--with-production", "-y")
        #expect(try installation.holdfast("project:info", "-p", project).status == 9)
        let files = FileManager.default
        #expect(!files.fileExists(atPath: "\(installation.home)/projects/\(project)"))
        for site in ["site-a", "site-b"] {
            #expect(files.fileExists(atPath: "\(installation.home)/sites/\(site)"))
            #expect(!files.fileExists(atPath: "\(installation.home)/sites/\(site)/projects/\(project)"))
        }
        #expect(try files.contentsOfDirectory(atPath: "\(installation.home)/environments").isEmpty)
        // And serve starts again without it.
        installation.killServer()
        try installation.start()
        try installation.createProject()
    }

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `with a full disk everything can still be looked at`() throws {
        let installation = try Installation()
        defer {
            installation.end()
            _ = try? Installation.run("/bin/umount", ["-q", "-l", installation.home])
            try? FileManager.default.removeItem(atPath: installation.home)
        }
        let mount = try Installation.run(
            "/bin/mount", ["-t", "tmpfs", "-o", "size=64m,mode=711", "tmpfs", installation.home])
        try #require(mount.status == 0, "\(mount.errors)")
        try installation.start()
        try installation.createProject()
        let filler = "\(installation.home)/filler"
        _ = try Installation.run("/bin/dd", ["if=/dev/zero", "of=\(filler)", "bs=4k"])
        for verb in ["project:list", "project:info", "environment:list", "activity:list", "token:list"] {
            let scope = verb.hasPrefix("token") || verb == "project:list" ? [] : ["-p", installation.project]
            for _ in 0..<20 {
                let outcome = try Installation.run(
                    Installation.binary, [verb] + scope + (verb == "activity:list" ? ["-a"] : []),
                    environment: ["HOLDFAST_HOME": installation.home])
                #expect(!outcome.errors.contains("space"), "\(verb): \(outcome.errors)")
                #expect(!outcome.errors.contains("Error:"), "\(verb): \(outcome.errors)")
            }
        }
        var failures = ""
        for number in 0..<200 where failures.isEmpty {
            let outcome = try installation.holdfast("token:create", "t\(number)")
            if outcome.status != 0 { failures = outcome.errors }
        }
        #expect(failures.contains("\(installation.home)/catalogue.sqlite"), "\(failures)")
        try FileManager.default.removeItem(atPath: filler)
        try installation.must("token:create", "afterwards")
    }
}
