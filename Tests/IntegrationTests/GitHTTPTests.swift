import Foundation
import HoldfastModel
import Testing

/// The real `git` pushes to, and clones from, a real server over HTTP.
@Suite(.serialized)
struct GitOverHTTP {
    @Test func `a push over HTTP deploys, a clone brings it back, and who may not is told`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.createProject()
        let url = try installation.must("project:info", "repository.url", "-p", installation.project)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(url == "http://127.0.0.1:\(installation.apiPort)/\(installation.project).git")
        try refusals(installation, url)
        try brokenConfiguration(installation, url)
        let pushed = try push(installation, url, installation.ownToken())
        #expect(pushed.status == 0, "\(pushed.errors)")
        #expect(try installation.get("version").output == "1\n")
        try clone(installation, url)
        try large(installation, url)
        // Nothing of all that is a push by path: the audit log knows who it was.
        let audited = try pushes(installation)
        for line in [
            "viewer@example.org - refused", "stager@example.org main refused", "admin@localhost main allowed",
        ] {
            #expect(audited.contains(line), "\(line): \(audited)")
        }
        #expect(!audited.contains { $0.contains("None") }, "\(audited)")
        let used = try installation.must(
            "token:list", "--user", "viewer@example.org", "--columns", "last_used_at", "--format", "plain",
            "--no-header")
        #expect(used.contains("T"), "a token that only Git has shown was used, too")
    }

    @Test func `a client that is killed in the middle of a push leaves nothing, and the next push works`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.createProject()
        let url = "http://127.0.0.1:\(installation.apiPort)/\(installation.project).git"
        let token = try installation.ownToken()
        try commit(installation) { try noise(24 << 20, to: "\($0)/large.bin") }
        let objects = "\(installation.home)/projects/\(installation.project)/repository.git/objects"
        func halfWritten() -> Bool {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: objects)) ?? []
            return names.contains { $0.contains("incoming") }
        }
        // Slow, so that there is a middle.
        let relay = try SlowRelay(to: installation.apiPort)
        defer { relay.end() }
        let slow = "http://127.0.0.1:\(relay.port)/\(installation.project).git"
        let client = Process()
        client.executableURL = URL(fileURLWithPath: "/usr/bin/git")
        client.arguments =
            ["-C", "\(installation.home)/checkout"] + basic(token) + ["push", slow, "HEAD:refs/heads/main"]
        client.environment = ["PATH": "/usr/bin:/bin", "HOME": installation.home, "GIT_TERMINAL_PROMPT": "0"]
        client.standardOutput = FileHandle.nullDevice
        client.standardError = FileHandle.nullDevice
        try client.run()
        #expect(installation.waitUntil(seconds: 60) { halfWritten() })
        #expect(backends(installation) > 0)
        // With its helpers, which would go on by themselves.
        kill(-client.processIdentifier, SIGKILL)
        kill(client.processIdentifier, SIGKILL)
        client.waitUntilExit()
        relay.end()
        #expect(installation.waitUntil(seconds: 60) { backends(installation) == 0 && !halfWritten() })
        #expect(try installation.holdfast("environment:info", "-p", installation.project, "-e", "main").status != 0)
        let again = try push(installation, url, token)
        #expect(again.status == 0, "\(again.errors)")
        #expect(try installation.get("version").output == "1\n")
    }

    // MARK: Steps

    private func refusals(_ installation: Installation, _ url: String) throws {
        try commit(installation)
        let wrong = try Installation.run(
            "/usr/bin/git",
            [
                "-C", "\(installation.home)/checkout", "push", url.replacingOccurrences(of: "//", with: "//x:hfk_a_b@"),
                "HEAD:refs/heads/main",
            ], environment: ["GIT_TERMINAL_PROMPT": "0"])
        #expect(wrong.status != 0)
        #expect(wrong.errors.contains("Authentication failed"), "\(wrong.errors)")
        let status = try Installation.run(
            "/usr/bin/curl",
            [
                "-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", "x:wrong",
                "\(url)/info/refs?service=git-receive-pack",
            ])
        #expect(status.output == "401")
        try installation.must("user:add", "viewer@example.org", "-p", installation.project, "-r", "viewer")
        let viewer = try installation.must("token:create", "reader", "--user", "viewer@example.org")
        let refused = try push(
            installation, url, viewer.trimmingCharacters(in: .whitespacesAndNewlines), commits: false)
        #expect(refused.status != 0)
        #expect(refused.errors.contains("403"), "\(refused.errors)")
        #expect(refused.errors.contains("contributor"), "\(refused.errors)")
        // Contributors of staging get as far as Git's hook, which knows the branch.
        try installation.must("user:add", "stager@example.org", "-p", installation.project, "-r", "staging:contributor")
        let stager = try installation.must("token:create", "stager", "--user", "stager@example.org")
        let branch = try push(
            installation, url, stager.trimmingCharacters(in: .whitespacesAndNewlines), commits: false)
        #expect(branch.status != 0)
        #expect(branch.errors.contains("a push to main needs contributor"), "\(branch.errors)")
        #expect(try installation.holdfast("environment:info", "-p", installation.project, "-e", "main").status != 0)
    }

    private func brokenConfiguration(_ installation: Installation, _ url: String) throws {
        let path = "\(installation.home)/checkout/.upsun/config.yaml"
        let good = try String(contentsOfFile: path, encoding: .utf8)
        try good.replacingOccurrences(of: "postgresql:15", with: "oracle:23")
            .write(toFile: path, atomically: true, encoding: .utf8)
        let refused = try push(installation, url, installation.ownToken())
        #expect(refused.status != 0)
        #expect(refused.errors.contains("remote: "), "\(refused.errors)")
        #expect(refused.errors.contains(".upsun/config.yaml:"), "\(refused.errors)")
        #expect(refused.errors.contains("'oracle'"), "\(refused.errors)")
        #expect(refused.errors.contains("pre-receive hook declined"), "\(refused.errors)")
        try installation.git("reset", "--quiet", "--hard", "HEAD~1")
    }

    /// With the credential helper, and none of a user's own configuration.
    private func clone(_ installation: Installation, _ url: String) throws {
        let server = "http://127.0.0.1:\(installation.apiPort)"
        let target = "\(installation.home)/clone"
        let helper = ["-c", "credential.\(server).helper=!\(Installation.binary) git-credential"]
        for version in ["0", "2"] {
            let outcome = try Installation.run(
                "/usr/bin/git", helper + ["-c", "protocol.version=\(version)", "clone", "--quiet", url, target],
                environment: ["HOLDFAST_HOME": installation.home, "GIT_TERMINAL_PROMPT": "0"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let diff = try Installation.run(
                "/usr/bin/diff", ["-r", "--exclude=.git", target, "\(installation.home)/checkout"])
            #expect(diff.status == 0, "\(diff.output)")
            try FileManager.default.removeItem(atPath: target)
        }
    }

    /// Larger than Git's post buffer: a probe, then chunks.
    private func large(_ installation: Installation, _ url: String) throws {
        try commit(installation) { try noise(20 << 20, to: "\($0)/large.bin") }
        let pushed = try push(installation, url, installation.ownToken(), commits: false)
        #expect(pushed.status == 0, "\(pushed.errors)")
        let head = try installation.git("rev-parse", "HEAD").trimmingCharacters(in: .whitespacesAndNewlines)
        let refs = try Installation.run("/usr/bin/git", basic(installation.ownToken()) + ["ls-remote", url, "main"])
        #expect(refs.output.hasPrefix(head), "\(refs.output) \(refs.errors)")
    }

    // MARK: Parts

    /// Address, branch and result of each push that is in the audit log.
    private func pushes(_ installation: Installation) throws -> [String] {
        let script = """
            import sqlite3, sys
            rows = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True).execute(
                "SELECT user.email, coalesce(audit.subject, '-'), audit.result FROM audit "
                "LEFT JOIN user ON user.id = audit.user WHERE audit.action = 'environment.push'")
            sys.stdout.write("".join("%s %s %s\\n" % row for row in rows))
            """
        let outcome = try Installation.run(
            "/usr/bin/python3", ["-c", script, "\(installation.home)/catalogue.sqlite"])
        guard outcome.status == 0 else { throw Unexpected("the audit log cannot be read: \(outcome.errors)") }
        return outcome.output.split(separator: "\n").map(String.init)
    }

    private func commit(_ installation: Installation, edit: (String) throws -> Void = { _ in }) throws {
        let checkout = "\(installation.home)/checkout"
        if !FileManager.default.fileExists(atPath: checkout) {
            try FileManager.default.copyItem(atPath: Installation.exampleDirectory, toPath: checkout)
            try installation.git("init", "--quiet", "--initial-branch=main")
        }
        try edit(checkout)
        try installation.git("add", "--all")
        try installation.git("commit", "--quiet", "--allow-empty", "--message", "a change")
    }

    /// The token as the password, without a credential helper. Tests may put it into arguments; it dies with the test.
    private func basic(_ token: String) -> [String] {
        let text = Data("x:\(token)".utf8).base64EncodedString()
        return ["-c", "http.extraHeader=Authorization: Basic \(text)"]
    }

    private func push(
        _ installation: Installation, _ url: String, _ token: String, commits: Bool = true
    ) throws -> Installation.Outcome {
        if commits { try commit(installation) }
        return try Installation.run(
            "/usr/bin/git",
            ["-C", "\(installation.home)/checkout"] + basic(token) + ["push", url, "HEAD:refs/heads/main"],
            environment: ["GIT_TERMINAL_PROMPT": "0"])
    }

    /// Bytes that do not get smaller.
    private func noise(_ count: Int, to file: String) throws {
        var generator = SystemRandomNumberGenerator()
        var data = Data(capacity: count)
        while data.count < count { withUnsafeBytes(of: generator.next()) { data.append(contentsOf: $0) } }
        try data.write(to: URL(fileURLWithPath: file))
    }

    /// How many programs of Git work for this installation's server.
    private func backends(_ installation: Installation) -> Int {
        let ids = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return ids.filter { id in
            guard Int32(id) != nil, let data = FileManager.default.contents(atPath: "/proc/\(id)/environ") else {
                return false
            }
            let text = String(decoding: data, as: UTF8.self)
            return text.contains("GIT_PROJECT_ROOT=\(installation.home)/projects/")
        }.count
    }
}

extension Installation {
    /// The token that the first start made.
    func ownToken() throws -> String {
        try String(contentsOfFile: "\(home)/cli-token", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Passes a connection on, but no more than a megabyte a second of what the client says.
private final class SlowRelay: @unchecked Sendable {
    // Set once, before anybody else sees it.
    private let process = Process()
    let port: Int

    init(to target: Int) throws {
        port = try Installation.freePort()
        let script = """
            import socket, threading, time
            def pump(a, b, slow):
                try:
                    while True:
                        piece = a.recv(65536)
                        if not piece: break
                        b.sendall(piece)
                        if slow: time.sleep(len(piece) / 1e6)
                except OSError: pass
                for s in (a, b):
                    try: s.shutdown(socket.SHUT_RDWR)
                    except OSError: pass
            listener = socket.create_server(("127.0.0.1", \(port)))
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", \(target)))
                threading.Thread(target=pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, False), daemon=True).start()
            """
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script]
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<200 where !isOpen { Thread.sleep(forTimeInterval: 0.05) }
    }

    private var isOpen: Bool {
        let outcome = try? Installation.run(
            "/usr/bin/curl", ["-s", "-o", "/dev/null", "--max-time", "5", "http://127.0.0.1:\(port)/"])
        return outcome.map { $0.status != 7 } ?? false
    }

    func end() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
