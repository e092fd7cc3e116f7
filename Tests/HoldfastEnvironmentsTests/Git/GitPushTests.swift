import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct GitPushTests {
    private static let zero = String(repeating: "0", count: 40)
    private static let one = String(repeating: "1", count: 40)

    @Test func `the lines of a receive hook are read`() throws {
        let updates = try GitReferenceUpdate.parse(
            "\(Self.zero) \(Self.one) refs/heads/a/b\n\(Self.one) \(Self.zero) refs/tags/v1\n")
        #expect(
            updates == [
                GitReferenceUpdate(old: nil, new: Self.one, reference: "refs/heads/a/b"),
                GitReferenceUpdate(old: Self.one, new: nil, reference: "refs/tags/v1"),
            ])
        #expect(updates.map(\.branch) == ["a/b", nil])
        #expect(try GitReferenceUpdate.parse("").isEmpty)
        for bad in ["x", "\(Self.one) \(Self.one)", "\(Self.one) zz refs/heads/a", "\(Self.one) \(Self.one) heads/a"] {
            #expect(holdfastError { try GitReferenceUpdate.parse(bad) }?.code == .invalidInput)
        }
    }

    @Test func `a push is judged by the configuration of each branch in it`() throws {
        let scratch = try GitScratch()
        let types = InstalledTypes(root: "/nonexistent") { _, _ in nil }
        let check = GitPushCheck(repository: scratch.repository, types: types)
        func update(_ commit: String?, _ reference: String = "refs/heads/main") -> GitReferenceUpdate {
            GitReferenceUpdate(old: nil, new: commit, reference: reference)
        }
        let none = try scratch.commit()
        #expect(
            holdfastError { try check.check([update(none)]) }?.message
                == "commit \(none.prefix(12)) has no '.upsun/config.yaml'")
        try scratch.write(".upsun/config.yaml", "applications:\n  a:\n    type: binary\n    mouns: {}\n")
        let good = try scratch.commit()
        #expect(
            try check.check([update(good), update(nil), update(none, "refs/tags/x")]) == [
                "warning: .upsun/config.yaml:4: applications.a.mouns is not known and has no effect; "
                    + "did you mean 'mounts'?"
            ])
        try scratch.write(".upsun/config.yaml", "applications:\n  a:\n    type: python:3.11\n")
        let missing = try scratch.commit()
        let error = holdfastError { try check.check([update(good), update(missing)]) }
        #expect(error?.code == .unsupported)
        #expect(
            error?.message.hasPrefix(
                ".upsun/config.yaml:3: applications.a.type: 'python:3.11' is not installed; there is binary") == true)
        try scratch.write(".upsun/config.yaml", "applications: \u{e9}")
        try FileManager.default.removeItem(atPath: "\(scratch.folder)/checkout/.upsun/config.yaml")
        try Data([0x61, 0xff, 0xfe]).write(to: URL(fileURLWithPath: "\(scratch.folder)/checkout/.upsun/config.yaml"))
        let binary = try scratch.commit()
        #expect(holdfastError { try check.check([update(binary)]) }?.message == ".upsun/config.yaml is not UTF-8 text")
    }

    @Test func `a push runs both hooks with its lines, sees quarantined objects, and a refusal changes nothing`() throws
    {
        let scratch = try GitScratch()
        let folder = "\(scratch.folder)/it's $(odd)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let program = "\(folder)/hook"
        let script = """
            #!/bin/sh
            echo "$@" >> '\(scratch.folder)/calls'
            cat >> '\(scratch.folder)/calls'
            env | grep -c '^GIT_QUARANTINE_PATH' >> '\(scratch.folder)/calls'
            [ ! -e '\(scratch.folder)/refuse' ] || { echo "no such luck"; exit 1; }
            """
        try Data(script.utf8).write(to: URL(fileURLWithPath: program))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
        try scratch.repository.installHooks(command: [program, "git hook", "it's"])
        try scratch.repository.installHooks(command: [program, "git hook", "it's"])
        try scratch.git(["commit", "--quiet", "--allow-empty", "--message", "x"])
        let commit = try scratch.git(["rev-parse", "HEAD"])
        try scratch.git(["push", "--quiet", scratch.repository.path, "main:main"])
        #expect(try scratch.repository.head("main") == commit)
        let line = "\(Self.zero) \(commit) refs/heads/main"
        let calls = try String(contentsOfFile: "\(scratch.folder)/calls", encoding: .utf8)
        #expect(calls == "git hook it's pre-receive\n\(line)\n1\ngit hook it's post-receive\n\(line)\n0\n")
        try Data().write(to: URL(fileURLWithPath: "\(scratch.folder)/refuse"))
        try scratch.git(["commit", "--quiet", "--allow-empty", "--message", "y"])
        let output =
            try scratch.git(["push", scratch.repository.path, "main:main"], expectFailure: true)
            + (try scratch.git(["push", scratch.repository.path, "main:refs/holdfast/backups/x"], expectFailure: true))
        #expect(output.isEmpty == false)
        #expect(output.contains("no such luck"))
        #expect(try scratch.repository.head("main") == commit)
        #expect(holdfastError { try scratch.repository.installHooks(command: ["holdfast"]) }?.code == .invalidInput)
    }

    @Test func `objects in quarantine are read through the hook's variables, and not without them`() throws {
        let scratch = try GitScratch()
        try scratch.write(".upsun/config.yaml", "applications: {a: {type: binary}}\n")
        try scratch.git(["add", "--all"])
        try scratch.git(["commit", "--quiet", "--message", "x"])
        let commit = try scratch.git(["rev-parse", "HEAD"])
        #expect(GitQuarantine(environment: ["PATH": "/bin"]) == nil)
        let quarantine = try #require(
            GitQuarantine(environment: [
                "GIT_OBJECT_DIRECTORY": "\(scratch.folder)/checkout/.git/objects", "GIT_DIR": "/nonexistent",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": "\(scratch.repository.path)/objects",
            ]))
        let inside = GitRepository(path: scratch.repository.path, quarantine: quarantine)
        #expect(try inside.configuration(at: commit).parsed.applications.keys.sorted() == ["a"])
        #expect(holdfastError { try scratch.repository.configuration(at: commit) }?.code == .notFound)
    }
}
