import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct BuilderTests {
    private struct Site {
        let scratch: GitScratch
        let layout: EnvironmentLayout
        let environment: Environment
        let user: ProcessUser
        var builder: Builder

        init() throws {
            scratch = try GitScratch()
            let id = try #require(EnvironmentID("env"))
            layout = EnvironmentLayout(home: "\(scratch.folder)/home", run: "\(scratch.folder)/run", environment: id)
            try FileManager.default.createDirectory(
                atPath: "\(scratch.folder)/home", withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o711])
            environment = Environment(
                id: id, project: try #require(ProjectID("proj")), name: "main", type: .production, status: .active,
                createdAt: Date(timeIntervalSince1970: 0))
            let nobody = geteuid() == 0 ? try ProcessUser.lookUp(name: "nobody") : nil
            user = nobody ?? .current
            builder = Builder(
                environment: environment, layout: layout, repository: scratch.repository, user: user,
                types: InstalledTypes(), time: SystemTime())
        }

        func apps() -> [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(layout.directory)/apps/a")) ?? []
            return names.sorted()
        }
    }

    /// Gathers log lines.
    private final class Lines {
        var all: [String] = []
    }

    private static func yaml(_ lines: String) -> String { ConfigurationSamples.app(lines) }

    @Test func `a commit becomes a directory per app, built by its hook as the environment's user`() throws {
        let site = try Site()
        try site.scratch.write(
            ".upsun/config.yaml",
            Self.yaml(
                """
                source: {root: app}
                mounts: {files: {source: storage}, var/cache: {source: tmp}, new/deep/er: {source: storage}}
                hooks:
                  build: |
                    set -e
                    id -un > who
                    echo "$PLATFORM_OUTPUT_DIR|$PLATFORM_TREE_ID|$GREETING" > said
                    echo hello; echo error >&2
                    touch "$PLATFORM_CACHE_DIR/kept"
                """))
        try site.scratch.write("app/files/.gitkeep", "")
        try site.scratch.write("app/var/cache/old", "x")
        try site.scratch.write("app/run", "#!/bin/sh\n", executable: true)
        try site.scratch.write("outside", "x")
        let commit = try site.scratch.commit()
        let lines = Lines()
        let built = try site.builder.build(commit: commit, variables: ["env:GREETING": Secret("hi")]) {
            lines.all.append($0)
        }
        #expect(built.apps == ["a": "apps/a/1"])
        #expect(built.record.commit == commit)
        #expect(built.record.restoredFrom == nil)
        #expect(built.record.variables["env:GREETING"]?.reveal() == "hi")
        #expect(try EnvironmentConfiguration.parse(built.record.configuration) == built.configuration)
        let directory = try site.layout.absolute("apps/a/1")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == [
                "new", "run", "said", "var", "who",
            ])
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/var").isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/new/deep").isEmpty)
        #expect(try String(contentsOfFile: "\(directory)/who", encoding: .utf8) == "\(site.user.name)\n")
        #expect(try String(contentsOfFile: "\(directory)/said", encoding: .utf8) == "\(directory)|\(commit)|hi\n")
        let owner = try FileManager.default.attributesOfItem(atPath: "\(directory)/run")[.ownerAccountID] as? Int
        #expect(owner == Int(site.user.uid))
        #expect(
            lines.all == [
                "Running the build hook of a", "  hello", "  error",
                "Warning: 'var/cache' of a is a mount; what the build has there is left out: old",
            ])
        #expect(FileManager.default.fileExists(atPath: "\(site.layout.directory)/cache/a/kept"))
        #expect(try EnvironmentIdentity.read(from: site.layout.directory) == built.identity)
        let again = try site.builder.build(commit: commit, variables: [:]) { _ in }
        #expect(again.apps == ["a": "apps/a/2"])
        #expect(site.apps().sorted() == ["1", "2"])
        // Neither was ever live.
        site.layout.discardAside()
        #expect(site.apps().isEmpty)
    }

    @Test func `a hook that fails leaves nothing behind and shows its last lines`() throws {
        let site = try Site()
        let hook =
            "hooks: {build: \"for i in $(seq 22); do echo line $i; done; exit 3\"}"
        try site.scratch.write(".upsun/config.yaml", Self.yaml(hook) + "  0b: {type: binary}\n")
        let commit = try site.scratch.commit()
        let error = holdfastError { try site.builder.build(commit: commit, variables: [:]) { _ in } }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.hasPrefix("the build hook of 'a' failed (") == true)
        #expect(error?.message.contains("its last lines were:\nline 3\n") == true)
        #expect(error?.message.hasSuffix("line 22") == true)
        #expect(site.apps().isEmpty)
        let other = try FileManager.default.contentsOfDirectory(atPath: "\(site.layout.directory)/apps/0b")
        #expect(other.isEmpty)
        #expect(try site.layout.readCurrent() == nil)
    }

    @Test func `a hook that takes too long is ended with all it started`() throws {
        var site = try Site()
        site.builder.hookTimeout = .milliseconds(300)
        let mark = "\(UInt32.random(in: 100_000...999_999))"
        try site.scratch.write(
            ".upsun/config.yaml", Self.yaml("hooks: {build: \"sleep 77.\(mark) & sleep 77.\(mark)\"}"))
        let commit = try site.scratch.commit()
        let error = holdfastError { try site.builder.build(commit: commit, variables: [:]) { _ in } }
        #expect(error?.code == .timedOut)
        #expect(site.apps().isEmpty)
        let running = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }.filter {
            let line = (try? String(contentsOfFile: "/proc/\($0)/cmdline", encoding: .utf8)) ?? ""
            return line.hasPrefix("sleep") && line.contains(mark)
        }
        #expect(running.isEmpty)
    }

    @Test(arguments: [
        ("ln -s /etc link", "'link' is a symbolic link", "link/holdfast"),
        ("touch files", "a file or link lies in its place", "files"),
        ("ln -s /etc files", "a file or link lies in its place", "files"),
        ("touch var", "'var' is not a folder", "var/cache"),
        ("mkdir -p a && ln -s ../.. a/b", "'a/b' is a symbolic link", "a/b/c"),
    ])
    func `a mount that the build has put something in the way of is refused`(
        command: String, why: String, path: String
    ) throws {
        let site = try Site()
        try site.scratch.write(
            ".upsun/config.yaml", Self.yaml("mounts: {\(path): {source: storage}}\nhooks: {build: \"\(command)\"}"))
        let commit = try site.scratch.commit()
        let error = holdfastError { try site.builder.build(commit: commit, variables: [:]) { _ in } }
        #expect(error?.message == "the mount '\(path)' of 'a' cannot be made: \(why)")
        #expect(site.apps().isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "/etc/holdfast"))
    }

    @Test func `a commit without a good configuration builds nothing`() throws {
        let site = try Site()
        let none = try site.scratch.commit()
        #expect(holdfastError { try site.builder.build(commit: none, variables: [:]) { _ in } }?.code == .notFound)
        try site.scratch.write(".upsun/config.yaml", "applications: {a: {type: binary, source: {root: nope}}}\n")
        let folder = try site.scratch.commit()
        #expect(
            holdfastError { try site.builder.build(commit: folder, variables: [:]) { _ in } }?.message
                == "commit \(folder.prefix(12)) has no folder 'nope'")
        #expect(site.apps().isEmpty)
        let unknown = String(repeating: "0", count: 40)
        #expect(holdfastError { try site.builder.build(commit: unknown, variables: [:]) { _ in } }?.code == .notFound)
    }

    @Test func `folders of a build that nobody may write to are removed all the same`() throws {
        let site = try Site()
        let make = "mkdir -p files/x && touch files/x/y && chmod -R a-w files"
        let mounts = "mounts: {files: {source: storage}}\n"
        try site.scratch.write(".upsun/config.yaml", Self.yaml(mounts + "hooks: {build: \"\(make) && exit 1\"}"))
        let bad = try site.scratch.commit()
        #expect(holdfastError { try site.builder.build(commit: bad, variables: [:]) { _ in } }?.code == .invalidInput)
        #expect(site.apps().isEmpty)
        try site.scratch.write(".upsun/config.yaml", Self.yaml(mounts + "hooks: {build: \"\(make)\"}"))
        let good = try site.scratch.commit()
        let built = try site.builder.build(commit: good, variables: [:]) { _ in }
        let directory = try site.layout.absolute(try #require(built.apps["a"]))
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/files"))
    }

    @Test(
        .enabled(if: InstalledTypes().runtimes().contains("python:3.11")),
        .enabled(if: InstalledTypes().servicesThere().contains("postgresql:15")))
    func `the sample environment builds, and its mounts have a free place`() throws {
        let site = try Site()
        let source = ConfigurationSamples.ledger
        for file in try FileManager.default.subpathsOfDirectory(atPath: source) where !file.contains("__pycache__") {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: "\(source)/\(file)", isDirectory: &isDirectory)
            if isDirectory.boolValue { continue }
            try site.scratch.write(file, try String(contentsOfFile: "\(source)/\(file)", encoding: .utf8))
        }
        let commit = try site.scratch.commit()
        let built = try site.builder.build(commit: commit, variables: [:]) { _ in }
        let directory = try site.layout.absolute(try #require(built.apps["ledger"]))
        #expect(try String(contentsOfFile: "\(directory)/build.txt", encoding: .utf8) == "built from \(commit)\n")
        for mount in ["files", "cache"] { #expect(!FileManager.default.fileExists(atPath: "\(directory)/\(mount)")) }
    }

    @Test func `deploy hooks are listed by app`() throws {
        let yaml = """
            applications:
              b: {type: binary, hooks: {deploy: two, post_deploy: three}}
              a: {type: binary, hooks: {deploy: one}}
              c: {type: binary}
            """
        let configuration = try EnvironmentConfiguration.parse(yaml)
        #expect(
            DeployHook.deploy(of: configuration) == [
                DeployHook(app: "a", command: "one"), DeployHook(app: "b", command: "two"),
            ])
        #expect(DeployHook.postDeploy(of: configuration) == [DeployHook(app: "b", command: "three")])
    }
}
