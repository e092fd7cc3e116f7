import Foundation
import HoldfastModel
import Testing

/// Wrong input of all kinds: each is a clear error with the contract's exit status, and nothing changes.
@Suite(.serialized)
struct BadInput {
    @Test func `what is wrong is refused with what, which value, and what to do, and the environment goes on`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        #expect(try installation.post("kept") == 201)
        let generation = try installation.current().generation
        try pushes(installation)
        try backups(installation)
        try tokens(installation)
        #expect(try installation.current().generation == generation)
        let sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.contains("kept"))
    }

    /// A configuration that is edited by `change`, and what the push has to say.
    private struct Case {
        let name: String
        let old: String
        let new: String
        let words: [String]
    }

    private static let cases = [
        Case(
            name: "broken YAML", old: "applications:\n", new: "applications: [\n", words: [".upsun/config.yaml:"]),
        Case(
            name: "unknown service type", old: "postgresql:15", new: "oracle:23",
            words: [".upsun/config.yaml:", "'oracle'", "postgresql:15"]),
        Case(
            name: "version that is not installed", old: "postgresql:15\"", new: "postgresql:9\"",
            words: ["postgresql:9", "15"]),
        Case(
            name: "mount that leaves the app", old: "\"files\":\n        source: storage",
            new: "\"../files\":\n        source: storage", words: [".upsun/config.yaml:", "../files"]),
        Case(
            name: "absolute mount", old: "\"files\":\n        source: storage",
            new: "\"/etc/files\":\n        source: storage", words: [".upsun/config.yaml:", "/etc/files"]),
        Case(
            name: "build that fails", old: "set -e\n", new: "set -e\n        echo no such luck; exit 3\n",
            words: ["no such luck"]),
    ]

    private func pushes(_ installation: Installation) throws {
        let file = ".upsun/config.yaml"
        for wrong in Self.cases {
            let outcome = try installation.push { checkout in
                let path = "\(checkout)/\(file)"
                let text = try String(contentsOfFile: path, encoding: .utf8)
                let changed = text.replacingOccurrences(of: wrong.old, with: wrong.new)
                #expect(changed != text, "\(wrong.name)")
                try changed.write(toFile: path, atomically: true, encoding: .utf8)
            }
            for word in wrong.words { #expect(outcome.errors.contains(word), "\(wrong.name): \(outcome.errors)") }
            #expect(try installation.get("version").output == "1\n", "\(wrong.name)")
            try installation.git("reset", "--quiet", "--hard", "HEAD~1")
        }
        // What did not build was accepted by Git all the same, so the next push goes on from it.
        let repository = "\(installation.home)/projects/\(installation.project)/repository.git"
        try installation.git("pull", "--quiet", "--rebase=false", "-s", "ours", "--no-edit", repository, "main")
        let linked = try installation.push { checkout in
            try FileManager.default.createSymbolicLink(atPath: "\(checkout)/files", withDestinationPath: "/etc")
        }
        #expect(linked.errors.contains("files"), "\(linked.errors)")
        #expect(try installation.get("version").output == "1\n")
        #expect(!FileManager.default.fileExists(atPath: "/etc/events.log"))
        try installation.git("reset", "--quiet", "--hard", "HEAD~1")
    }

    private func backups(_ installation: Installation) throws {
        let project = installation.project
        let none = try installation.holdfast("backup:list", "-p", project, "-e", "main")
        #expect(none.status == 1)
        #expect(none.errors.contains("No backups found"), "\(none.errors)")
        for verb in ["backup:get", "backup:restore", "backup:delete"] {
            let yes = verb == "backup:get" ? [] : ["-y"]
            let outcome = try Installation.run(
                Installation.binary, [verb, "doesnotexist", "-p", project, "-e", "main"] + yes,
                environment: ["HOLDFAST_HOME": installation.home])
            #expect(outcome.status == 1, "\(verb)")
            #expect(outcome.errors.contains("doesnotexist"), "\(outcome.errors)")
        }
        try installation.must("backup:create", "-p", project, "-e", "main", "-y")
        let id = try #require(installation.backups().first)
        try installation.must("backup:delete", id, "-p", project, "-e", "main", "-y")
        let deleted = try installation.holdfast("backup:restore", id, "-p", project, "-e", "main", "-y")
        #expect(deleted.status == 1)
        #expect(deleted.errors.contains(id), "\(deleted.errors)")
        let noProject = try installation.holdfast("backup:list", "-p", "nosuchproject", "-e", "main")
        #expect(noProject.status == 9, "\(noProject.errors)")
        let noEnvironment = try installation.holdfast("backup:list", "-p", project, "-e", "nosuch")
        #expect(noEnvironment.status == 1)
        #expect(noEnvironment.errors.contains("nosuch"))
    }

    private func tokens(_ installation: Installation) throws {
        let project = installation.project
        let wrong = try installation.holdfast("project:list", token: "not-a-token")
        #expect(wrong.status == 3, "\(wrong.errors)")
        try installation.must("user:add", "viewer@example.org", "-p", project, "-r", "viewer")
        let text = try installation.must(
            "token:create", "reader", "--user", "viewer@example.org")
        let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try installation.holdfast("project:info", "-p", project, token: token).status == 0)
        for arguments in [["backup:create"], ["environment:redeploy"]] {
            let outcome = try Installation.run(
                Installation.binary, arguments + ["-p", project, "-e", "main", "-y"],
                environment: ["HOLDFAST_HOME": installation.home, "HOLDFAST_TOKEN": token])
            #expect(outcome.status == 1 || outcome.status == 6, "\(outcome.status) \(outcome.errors)")
            #expect(outcome.errors.contains("admin"), "\(outcome.errors)")
        }
        let key = try installation.holdfast("repository:key", "-p", project, token: token)
        #expect(key.status == 6, "\(key.errors)")
        #expect(try installation.backups() == [])
    }
}
