import Foundation
import HoldfastClient
import HoldfastCommands
import HoldfastModel
import Testing

@Suite struct ContextFinderTests {
    private func git(_ arguments: String..., in directory: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", directory] + arguments
        process.environment = ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin", "HOME": directory]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "git \(arguments)")
    }

    private func checkout(_ path: String, branch: String = "main") throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try git("init", "-q", "-b", branch, in: path)
        try git("commit", "-q", "--allow-empty", "-m", "first", in: path)
    }

    private func finder(home: String, url: String = "http://127.0.0.1:7070") throws -> ContextFinder {
        ContextFinder(home: home, server: try ServerAddress(url))
    }

    @Test func `a checkout of a repository in the home is its project, from any folder in it`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout", branch: "feature/x")
            try git("remote", "add", "origin", "\(root)/home/projects/shop/repository.git", in: root + "/checkout")
            try FileManager.default.createDirectory(atPath: root + "/checkout/a/b", withIntermediateDirectories: true)
            let found = try finder(home: root + "/home").find(from: root + "/checkout/a/b")
            #expect(
                found == .init(project: try #require(ProjectID("shop")), branch: "feature/x", root: root + "/checkout"))
        }
    }

    @Test func `a branch that follows another one means that one`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout", branch: "mine")
            try git(
                "remote", "add", "holdfast", "file://\(root)/home/projects/shop/repository.git", in: root + "/checkout")
            try git("config", "branch.mine.remote", "holdfast", in: root + "/checkout")
            try git("config", "branch.mine.merge", "refs/heads/feature/x", in: root + "/checkout")
            #expect(try finder(home: root + "/home").find(from: root + "/checkout")?.branch == "feature/x")
        }
    }

    @Test func `a worktree has its own branch and the remotes of its repository`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout")
            try git("remote", "add", "origin", "http://127.0.0.1:7070/shop.git", in: root + "/checkout")
            try git("worktree", "add", "-q", "-b", "topic", root + "/tree", in: root + "/checkout")
            let found = try finder(home: root + "/home").find(from: root + "/tree")
            #expect(found?.project.rawValue == "shop")
            #expect(found?.branch == "topic")
        }
    }

    @Test func `a detached HEAD has a project and no branch`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout")
            try git("remote", "add", "origin", "http://127.0.0.1:7070/shop.git", in: root + "/checkout")
            try git("checkout", "-q", "--detach", in: root + "/checkout")
            let found = try finder(home: root + "/home").find(from: root + "/checkout")
            #expect(found?.project.rawValue == "shop")
            #expect(found?.branch == nil)
        }
    }

    @Test func `holdfast goes before origin, and two others are refused`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout")
            try git("remote", "add", "one", "http://127.0.0.1:7070/one.git", in: root + "/checkout")
            try git("remote", "add", "two", "http://127.0.0.1:7070/two.git", in: root + "/checkout")
            let finder = try finder(home: root + "/home")
            let error = #expect(throws: HoldfastError.self) { try finder.find(from: root + "/checkout") }
            #expect(error?.message.contains("one, two") == true)
            try git("remote", "add", "origin", "http://127.0.0.1:7070/three.git", in: root + "/checkout")
            #expect(try finder.find(from: root + "/checkout")?.project.rawValue == "three")
            try git("remote", "add", "holdfast", "http://127.0.0.1:7070/four.git", in: root + "/checkout")
            #expect(try finder.find(from: root + "/checkout")?.project.rawValue == "four")
        }
    }

    @Test func `no checkout, or one of something else, is no project`() async throws {
        try await withTemporaryDirectory { root in
            let finder = try finder(home: root + "/home")
            #expect(try finder.find(from: root) == nil)
            try checkout(root + "/checkout")
            #expect(try finder.find(from: root + "/checkout") == nil)
            try git("remote", "add", "origin", "https://github.com/somebody/thing.git", in: root + "/checkout")
            #expect(try finder.find(from: root + "/checkout") == nil)
        }
    }

    @Test func `URLs are read as what they are`() throws {
        let finder = try finder(home: "/srv/holdfast", url: "https://hold.example/base")
        func id(_ url: String) -> String? { finder.project(at: url)?.id.rawValue }
        #expect(id("https://hold.example/base/shop.git") == "shop")
        #expect(id("https://ann:secret@hold.example/shop.git") == "shop")
        #expect(id("https://github.com/thing.git") == nil)
        #expect(id("https://other.example/abcdefghij234.git") == "abcdefghij234")
        #expect(finder.project(at: "https://other.example/abcdefghij234.git")?.isSure == false)
        #expect(id("/srv/holdfast/projects/shop/repository.git/") == "shop")
        #expect(finder.project(at: "/srv/holdfast/projects/shop/repository.git")?.isSure == true)
        #expect(finder.project(at: "/mnt/projects/shop/repository.git")?.isSure == false)
        #expect(id("/srv/holdfast/projects/../repository.git") == nil)
        #expect(id("git@github.com:me/shop.git") == nil)
    }

    @Test func `Git's own spellings of a configuration are understood`() async throws {
        try await withTemporaryDirectory { root in
            try checkout(root + "/checkout")
            let text = """
                [core] bare = false ; a comment
                # [remote "no"]
                [Remote "origin"]
                \tURL = "http://127.0.0.1:7070/sh\\
                op.git" # behind
                [branch "ma\\"in"]
                \tremote
                """
            try text.write(toFile: root + "/checkout/.git/config", atomically: true, encoding: .utf8)
            #expect(try finder(home: root).find(from: root + "/checkout")?.project.rawValue == "shop")
        }
    }
}
