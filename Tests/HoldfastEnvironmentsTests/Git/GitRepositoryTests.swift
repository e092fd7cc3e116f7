import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct GitRepositoryTests {
    @Test func `a new repository is bare, private and empty, and is not made twice`() throws {
        let scratch = try GitScratch()
        #expect(try scratch.repository.branches().isEmpty)
        #expect(try scratch.repository.head("main") == nil)
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.repository.path)[.posixPermissions]
        #expect(mode as? Int == 0o700)
        let head = try String(contentsOfFile: "\(scratch.repository.path)/HEAD", encoding: .utf8)
        #expect(head == "ref: refs/heads/main\n")
        #expect(
            holdfastError { try GitRepository.create(path: scratch.repository.path, defaultBranch: "main") }?.code
                == .conflict)
        #expect(
            holdfastError { try GitRepository.create(path: "\(scratch.folder)/x.git", defaultBranch: "--bare") }?.code
                == .invalidInput)
        #expect(!FileManager.default.fileExists(atPath: "\(scratch.folder)/x.git"))
    }

    @Test func `commits, branches and files are found, and what is not there is nil or named`() throws {
        let scratch = try GitScratch()
        try scratch.write("a/b.txt", "hello\n")
        try scratch.link("link", to: "/etc/passwd")
        let commit = try scratch.commit("First\n\nBody", branch: "feature/x-1")
        let repository = scratch.repository
        #expect(try repository.branches() == ["feature/x-1": commit])
        #expect(try repository.head("feature/x-1") == commit)
        #expect(try repository.commitExists(commit))
        #expect(try !repository.commitExists(String(repeating: "0", count: 40)))
        let described = try repository.describe(commit)
        #expect((described.id, described.author, described.subject) == (commit, "A", "First"))
        #expect(try repository.file("a/b.txt", at: commit, limit: 100) == Array("hello\n".utf8))
        #expect(try repository.file("a/missing", at: commit, limit: 100) == nil)
        #expect(try repository.file("a*", at: commit, limit: 100) == nil)
        #expect(
            holdfastError { try repository.file("a/b.txt", at: commit, limit: 5) }?.message.contains("has 6 bytes")
                == true)
        #expect(
            holdfastError { try repository.file("link", at: commit, limit: 100) }?.message.contains("a symbolic link")
                == true)
        #expect(holdfastError { try repository.file("a", at: commit, limit: 100) }?.code == .invalidInput)
        let other = String(repeating: "a", count: 40)
        #expect(holdfastError { try repository.file("a", at: other, limit: 100) }?.code == .notFound)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a repository of another user can be fetched from`() throws {
        let scratch = try GitScratch()
        let first = try scratch.commit()
        let nobody = try #require(try ProcessUser.lookUp(name: "nobody"))
        for path in try FileManager.default.subpathsOfDirectory(atPath: "\(scratch.folder)/checkout") + ["."] {
            try nobody.own("\(scratch.folder)/checkout/\(path)")
        }
        #expect(try scratch.repository.fetch(from: "\(scratch.folder)/checkout", branch: "main", as: "other") == first)
    }

    @Test(arguments: ["", "HEAD", "main", "--upload-pack=x", String(repeating: "A", count: 40), "0123456", "a b"])
    func `only whole commits are taken`(text: String) throws {
        let scratch = try GitScratch()
        #expect(holdfastError { try scratch.repository.commitExists(text) }?.code == .invalidInput)
        #expect(holdfastError { try scratch.repository.bundle(text, to: "\(scratch.folder)/b") }?.code == .invalidInput)
    }

    @Test func `branch names follow Git's own rules`() throws {
        for good in ["main", "feature/x", "a.b", "ü", "A_1", "x@y", "release-1.0"] { #expect(GitNames.isBranch(good)) }
        for bad in [
            "", "-x", "@", "HEAD", "a..b", "a@{1}", "a.", ".a", "a/.b", "a.lock", "a.lock/b", "/a", "a/", "a//b", "a b",
            "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\u{7f}", "a\nb", "a\"b", String(repeating: "a", count: 201),
        ] {
            #expect(!GitNames.isBranch(bad), "\(bad)")
        }
    }

    @Test func `a checkout has the commit's files, modes and links, and only those of its folder`() throws {
        let scratch = try GitScratch()
        try scratch.write("app/run", "#!/bin/sh\n", executable: true)
        try scratch.write("app/deep/file", "x")
        try scratch.write("other", "y")
        try scratch.link("app/out", to: "/etc/passwd")
        let commit = try scratch.commit()
        let directory = "\(scratch.folder)/out"
        #expect(try scratch.repository.checkOut(commit, folder: "app", to: directory).isEmpty)
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: directory).sorted() == [
                "deep", "deep/file", "out", "run",
            ])
        #expect(FileManager.default.isExecutableFile(atPath: "\(directory)/run"))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/out") == "/etc/passwd")
        #expect(holdfastError { try scratch.repository.checkOut(commit, to: directory) }?.code == .conflict)
        #expect(
            holdfastError { try scratch.repository.checkOut(commit, folder: "nope", to: "\(scratch.folder)/o2") }?.code
                == .notFound)
        #expect(
            holdfastError { try scratch.repository.checkOut(commit, folder: "app/out", to: "\(scratch.folder)/o3") }?
                .code == .notFound)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch.folder).sorted() == [
                "checkout", "out", "repository.git",
            ])
    }

    @Test func `filters and hooks of the repository or of whoever runs us are not run`() throws {
        let scratch = try GitScratch()
        try scratch.write(".gitattributes", "* filter=evil\n")
        try scratch.write("file", "plain")
        let commit = try scratch.commit()
        let marker = "\(scratch.folder)/ran"
        let hook = "\(scratch.repository.path)/hooks/post-index-change"
        try FileManager.default.createDirectory(
            atPath: "\(scratch.repository.path)/hooks", withIntermediateDirectories: true)
        try Data("#!/bin/sh\ntouch '\(marker)'\n".utf8).write(to: URL(fileURLWithPath: hook))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: hook)
        setenv("GIT_DIR", "/nonexistent", 1)
        defer { unsetenv("GIT_DIR") }
        _ = try scratch.repository.checkOut(commit, to: "\(scratch.folder)/out")
        #expect(try String(contentsOfFile: "\(scratch.folder)/out/file", encoding: .utf8) == "plain")
        #expect(!FileManager.default.fileExists(atPath: marker))
    }

    @Test(arguments: [
        "100644 blob BLOB\t..\n", "100644 blob BLOB\t.git\n", "100644 blob BLOB\t.GIT\n", "040000 tree TREE\t..\n",
        // A link, and a folder of the same name whose file would be written through it.
        "120000 blob LINK\tout\n040000 tree TREE\tout\n", "120000 blob LINK\tout\n100644 blob BLOB\tout/file\n",
    ])
    func `a tree that was made to write elsewhere writes nothing elsewhere`(entries: String) throws {
        let scratch = try GitScratch()
        try FileManager.default.createDirectory(atPath: "\(scratch.folder)/victim", withIntermediateDirectories: true)
        let blob = try scratch.raw("hash-object -w --stdin", input: "evil")
        let link = try scratch.raw("hash-object -w --stdin", input: "../victim")
        let inner = try scratch.raw("mktree", input: "100644 blob \(blob)\tfile\n")
        let text = entries.replacingOccurrences(of: "BLOB", with: blob).replacingOccurrences(of: "LINK", with: link)
            .replacingOccurrences(of: "TREE", with: inner)
        let tree = try scratch.rawTree(text)
        let commit = try scratch.raw("commit-tree -m x \(tree)", input: "")
        let before = try FileManager.default.subpathsOfDirectory(atPath: "\(scratch.folder)/checkout").sorted()
        _ = try? scratch.repository.checkOut(commit, to: "\(scratch.folder)/out")
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(scratch.folder)/victim").isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "\(scratch.folder)/file"))
        #expect(!FileManager.default.fileExists(atPath: "\(scratch.folder)/out/.git"))
        #expect(try FileManager.default.subpathsOfDirectory(atPath: "\(scratch.folder)/checkout").sorted() == before)
        // Over the wire it does not even get in.
        let other = try GitRepository.create(path: "\(scratch.folder)/other.git", defaultBranch: "main")
        _ = try scratch.raw("update-ref refs/heads/raw \(commit)", input: "")
        #expect(throws: HoldfastError.self) {
            try other.fetch(from: scratch.repository.path, branch: "raw", as: "raw")
        }
    }

    @Test func `submodules are named and left empty`() throws {
        let scratch = try GitScratch()
        let first = try scratch.commit()
        try scratch.git(["update-index", "--add", "--cacheinfo", "160000,\(first),vendor/lib"])
        try scratch.git(["commit", "--quiet", "--message", "Add a submodule"])
        let commit = try scratch.repository.fetch(from: "\(scratch.folder)/checkout", branch: "main", as: "main")
        #expect(try scratch.repository.checkOut(commit, to: "\(scratch.folder)/out") == ["vendor/lib"])
    }

    @Test func `a bundle brings a commit with its history into another repository, without a branch`() throws {
        let scratch = try GitScratch()
        try scratch.write("a", "1")
        let first = try scratch.commit("One")
        try scratch.write("a", "2")
        let second = try scratch.commit("Two")
        try scratch.repository.bundle(second, to: "\(scratch.folder)/b.bundle")
        try scratch.repository.bundle(second, to: "\(scratch.folder)/b.bundle")
        #expect(try scratch.repository.branches() == ["main": second])
        let other = try GitRepository.create(path: "\(scratch.folder)/other.git", defaultBranch: "main")
        try other.fetch(bundle: "\(scratch.folder)/b.bundle", commit: second)
        #expect(try other.commitExists(first))
        #expect(try other.file("a", at: second, limit: 10) == Array("2".utf8))
        #expect(try other.branches().isEmpty)
        #expect(
            holdfastError { try other.fetch(bundle: "\(scratch.folder)/b.bundle", commit: first) }?.code == .damaged)
        let bytes = try #require(FileManager.default.contents(atPath: "\(scratch.folder)/b.bundle"))
        try bytes.prefix(bytes.count - 20).write(to: URL(fileURLWithPath: "\(scratch.folder)/cut.bundle"))
        let empty = try GitRepository.create(path: "\(scratch.folder)/empty.git", defaultBranch: "main")
        #expect(
            holdfastError { try empty.fetch(bundle: "\(scratch.folder)/cut.bundle", commit: second) }?.code == .damaged)
    }
}

extension GitScratch {
    /// Runs git in the bare repository, which checks less than a transfer does.
    func raw(_ arguments: String, input: String) throws -> String {
        try raw("git \(arguments)", bytes: Array(input.utf8))
    }

    /// A tree object with exactly these entries, `MODE KIND OBJECT<tab>NAME` a line, in this order.
    func rawTree(_ text: String) throws -> String {
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            let words = fields[0].split(separator: " ")
            bytes += Array("\(words[0] == "040000" ? "40000" : words[0]) \(fields[1])\0".utf8)
            var digits = Array(words[2].utf8).makeIterator()
            while let high = digits.next(), let low = digits.next() {
                bytes.append(UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16) ?? 0)
            }
        }
        return try raw("git hash-object -t tree -w --stdin --literally", bytes: bytes)
    }

    private func raw(_ script: String, bytes: [UInt8]) throws -> String {
        let environment = [
            "PATH": "/usr/bin:/bin", "HOME": folder, "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b", "GIT_DIR": repository.path,
        ]
        let outcome = try ProcessRunner().run(
            .shell(script, environment: environment, directory: folder, user: .current),
            options: ProcessOptions(timeout: .seconds(30), input: bytes))
        guard outcome.isSuccess else { throw HoldfastError(.system, outcome.errorText) }
        return outcome.text.trimmingCharacters(in: .newlines)
    }
}
