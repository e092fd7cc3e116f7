import Foundation
import HoldfastModel
import Testing

/// What one user's code must not do to the others: hold the queue, fill the disk, stay for ever.
@Suite(.serialized)
struct Bounds {
    private func change(_ checkout: String, _ old: String, _ new: String) throws {
        let path = "\(checkout)/.upsun/config.yaml"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let changed = text.replacingOccurrences(of: old, with: new)
        #expect(changed != text)
        try changed.write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// Pushes a commit on a thread of its own; the build hook of it hangs.
    private func pushHanging(_ installation: Installation, _ branch: String, seconds: Int) throws {
        let checkout = "\(installation.home)/\(branch)"
        try FileManager.default.copyItem(atPath: Installation.exampleDirectory, toPath: checkout)
        try change(checkout, "set -e\n", "set -e\n        exec sleep \(seconds)\n")
        let git = ["-C", checkout, "-c", "user.name=Test", "-c", "user.email=test@example.org"]
        for arguments in [
            ["init", "--quiet", "--initial-branch=main"], ["add", "--all"],
            ["commit", "--quiet", "--message", "hangs"],
        ] {
            let outcome = try Installation.run("/usr/bin/git", git + arguments)
            guard outcome.status == 0 else { throw Unexpected("git \(arguments): \(outcome.errors)") }
        }
        let target = "\(installation.home)/projects/\(installation.project)/repository.git"
        let home = installation.home
        let thread = Thread {
            _ = try? Installation.run(
                "/usr/bin/git", git + ["push", "--force", target, "HEAD:refs/heads/\(branch)"],
                environment: ["HOLDFAST_HOME": home])
        }
        thread.start()
    }

    private func isRunning(_ command: String) throws -> Bool {
        // Exactly this: a test beside this one has other seconds.
        try Installation.run("/bin/ps", ["-e", "-o", "args="]).output.split(separator: "\n").contains { $0 == command }
    }

    private func activity(_ installation: Installation, of branch: String, state: String) throws -> String? {
        let outcome = try installation.holdfast(
            "activity:list", "-p", installation.project, "-e", branch, "--type", "environment.push", "--state", state,
            "--format", "csv", "--no-header", "-c", "id")
        return outcome.output.split(separator: "\n").first.map(String.init)
    }

    @Test func `builds that hang block no other project, can be cancelled, and end with their environment`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.createProject()
        let base = Int.random(in: 100_000...900_000) * 10
        for number in 1...5 { try pushHanging(installation, "b\(number)", seconds: base + number) }
        #expect(
            try installation.waitUntil(seconds: 60) {
                try (1...5).filter { try isRunning("sleep \(base + $0)") }.count == 4
            })
        // Another project builds and deploys meanwhile.
        let hanging = installation.project
        try installation.deployLedger()
        #expect(installation.project != hanging)
        try installation.must("environment:redeploy", "-p", installation.project, "-e", "main", "-y")
        // Cancelled: it ends, the fifth one begins.
        let running = try (1...5).filter { try isRunning("sleep \(base + $0)") }
        let first = try #require(running.first)
        let list = try Installation.run(
            Installation.binary,
            [
                "activity:list", "-p", hanging, "-e", "b\(first)", "--state", "in_progress", "--format", "csv",
                "--no-header", "-c", "id",
            ], environment: ["HOLDFAST_HOME": installation.home])
        let id = try #require(list.output.split(separator: "\n").first.map(String.init), "\(list.errors)")
        try installation.must("activity:cancel", id, "-p", hanging, "-e", "b\(first)")
        #expect(try installation.waitUntil(seconds: 30) { try !isRunning("sleep \(base + first)") })
        let waiting = try #require((1...5).first { !running.contains($0) })
        #expect(try installation.waitUntil(seconds: 60) { try isRunning("sleep \(base + waiting)") })
        // Deleted: the build goes with its environment.
        let second = try #require(running.last)
        try installation.must("environment:delete", "-p", hanging, "-e", "b\(second)", "-y")
        #expect(try !isRunning("sleep \(base + second)"))
        let listed = try installation.must("environment:list", "-p", hanging, "--format", "csv", "-c", "id")
        #expect(!listed.contains("b\(second)"))
    }

    @Test func `a build hook takes no longer than the limit, and nothing that it started outlives it`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        installation.killServer()
        try installation.start(settings: ["buildTimeoutSeconds": 5])
        try installation.deployLedger()
        let seconds = Int.random(in: 1_000_000...9_000_000)
        let detached = try installation.push { checkout in
            try change(checkout, "set -e\n", "set -e\n        (setsid sleep \(seconds) > /dev/null 2>&1 &)\n")
        }
        #expect(detached.status == 0, "\(detached.errors)")
        #expect(try !isRunning("sleep \(seconds)"))
        let hanging = try installation.push { checkout in
            try change(checkout, "(setsid sleep \(seconds) > /dev/null 2>&1 &)", "sleep \(seconds)")
        }
        #expect(hanging.errors.contains("did not succeed"), "\(hanging.errors)")
        #expect(try !isRunning("sleep \(seconds)"))
        #expect(try installation.post("goes-on") == 201)
    }

    @Test func `a flood of an app's log stays bounded, and the app goes on`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        installation.killServer()
        try installation.start(settings: ["logLimitMebibytes": 1])
        try installation.createProject()
        let pushed = try installation.push { checkout in
            try change(
                checkout, "exec /usr/bin/python3 -u -m ledger.web",
                "(while sleep 0.01; do head -c 1000000 /dev/zero | tr '\\\\0' 'x'; done) & "
                    + "exec /usr/bin/python3 -u -m ledger.web")
        }
        #expect(pushed.status == 0, "\(pushed.errors)")
        let folder = "\(try installation.environmentDirectory)/log"
        var largest = 0
        var rotated = false
        for _ in 0..<80 {
            Thread.sleep(forTimeInterval: 0.1)
            var sum = 0
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasPrefix("app.ledger") {
                let attributes = try? FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
                sum += (attributes?[.size] as? Int) ?? 0
                rotated = rotated || name.hasSuffix(".1")
            }
            largest = max(largest, sum)
        }
        // 8 s of it are several hundred megabytes.
        #expect(rotated)
        #expect(largest < 100 << 20, "\(largest)")
        #expect(try installation.post("goes-on") == 201)
    }

    @Test func `deleting an inactive environment starts no supervisor, and one of no environment is refused`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        let side = try installation.push("side")
        #expect(side.status == 0, "\(side.errors)")
        try installation.must("environment:deactivate", "-p", installation.project, "-e", "side", "-y")
        func starts() throws -> Int {
            try String(contentsOfFile: "\(installation.home)/serve.log", encoding: .utf8)
                .components(separatedBy: "starting a supervisor").count
        }
        let before = try starts()
        try installation.must("environment:delete", "-p", installation.project, "-e", "side", "-y")
        #expect(try starts() == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(installation.home)/environments").count == 1)
        let outcome = try installation.holdfast(
            "supervise", "--home", installation.home, "--environment", "aaaaaaaaaaaaa")
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("there is no environment"), "\(outcome.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(installation.home)/environments").count == 1)
    }

    @Test func `a ref that is neither branch nor tag is refused, and nothing of it stays`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.deployLedger()
        let repository = "\(installation.home)/projects/\(installation.project)/repository.git"
        for reference in ["refs/weird/x", "refs/notes/x", "refs/heads/../weird"] {
            let outcome = try Installation.run(
                "/usr/bin/git", ["-C", "\(installation.home)/checkout", "push", repository, "HEAD:\(reference)"],
                environment: ["HOLDFAST_HOME": installation.home])
            #expect(outcome.status != 0, "\(reference)")
        }
        let references = try Installation.run(
            "/usr/bin/git", ["-C", repository, "for-each-ref", "--format=%(refname)"])
        #expect(references.output == "refs/heads/main\n", "\(references.output) \(references.errors)")
    }
}
