import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel

/// The installation that the demo runs: its server, its checkout, its project.
final class DemoHouse: @unchecked Sendable {
    // Only the one thread of control changes the two variables, step after step, and none while others run aside.
    private(set) var project = ""
    private var server: Process?
    let options: DemoOptions
    private var checkout: String { "\(options.home)/checkout" }

    init(options: DemoOptions) throws {
        self.options = options
        guard !FileManager.default.fileExists(atPath: "\(options.home)/catalogue.sqlite") else {
            throw HoldfastError(
                .conflict, "\(options.home) holds an installation already", hint: "Give the demo another --home")
        }
        try FileManager.default.createDirectory(
            atPath: options.home, withIntermediateDirectories: true,
            attributes: [.posixPermissions: geteuid() == 0 ? 0o711 : 0o700])
    }

    /// Starts `holdfast serve` and waits until it answers.
    func start() throws {
        let api = try FreePort.find()
        let gateway = try FreePort.find()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: options.binary)
        process.arguments = [
            "serve", "--no-schedules", "--home", options.home, "--listen", "127.0.0.1:\(api)", "--gateway-listen",
            "127.0.0.1:\(gateway)",
            "--stop-everything",
        ]
        try FileManager.default.createDirectory(atPath: "\(options.home)/log", withIntermediateDirectories: true)
        let log = "\(options.home)/log/serve.log"
        FileManager.default.createFile(atPath: log, contents: nil)
        process.standardOutput = FileHandle(forWritingAtPath: log)
        process.standardError = process.standardOutput
        process.standardInput = FileHandle.nullDevice
        try process.run()
        server = process
        for _ in 0..<300 {
            if FileManager.default.fileExists(atPath: "\(options.home)/cli-url"), (try? quiet(["project:list"])) != nil
            {
                return
            }
            guard process.isRunning else { break }
            Thread.sleep(forTimeInterval: 0.1)
        }
        throw HoldfastError(.unavailable, "the server did not start: \(tail(log))")
    }

    func createProject(title: String) throws {
        project = try quiet(["project:create", "--title", title]).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Commits the ledger in that version and pushes it, as a user would.
    func push(version: Int, to branch: String = "main") throws {
        if !FileManager.default.fileExists(atPath: checkout) {
            try FileManager.default.copyItem(atPath: options.example, toPath: checkout)
            if options.everyService { try LedgerServices.add(to: checkout) }
            try git(["init", "--quiet", "--initial-branch=main"])
            try git(["remote", "add", "holdfast", "\(options.home)/projects/\(project)/repository.git"])
        }
        let file = "\(checkout)/ledger/__init__.py"
        let text = try String(contentsOfFile: file, encoding: .utf8)
            .replacingOccurrences(of: "VERSION = \"1\"", with: "VERSION = \"\(version)\"")
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        try git(["add", "--all"])
        try git(["commit", "--quiet", "--allow-empty", "--message", "Ledger, version \(version)"])
        try git(["push", "--quiet", "holdfast", "HEAD:refs/heads/\(branch)"])
    }

    /// Identity and directory of an environment.
    private func environment(_ name: String) throws -> (identity: EnvironmentIdentity, directory: String) {
        let environments = "\(options.home)/environments"
        for id in try FileManager.default.contentsOfDirectory(atPath: environments) {
            let directory = "\(environments)/\(id)"
            if let identity = try? EnvironmentIdentity.read(from: directory), identity.name == name {
                return (identity, directory)
            }
        }
        throw HoldfastError(.notFound, "there is no environment '\(name)'")
    }

    /// URL of an environment, with a slash at its end.
    func address(of name: String = "main") throws -> String { "http://\(try environment(name).identity.host)/" }

    /// What is live in an environment, and where that lies.
    func live(of name: String = "main") throws -> (layout: EnvironmentLayout, state: CurrentState) {
        let layout = EnvironmentLayout(
            home: options.home, run: RunDirectory.path(home: options.home),
            environment: try environment(name).identity.environment)
        guard let state = try layout.readCurrent() else {
            throw HoldfastError(.notFound, "nothing is deployed in environment '\(name)'")
        }
        return (layout, state)
    }

    /// Directory of one of the ledger's mounts.
    func mount(_ path: String, of name: String = "main") throws -> String {
        let (layout, state) = try live(of: name)
        guard let mount = state.mounts["ledger"]?[path] else {
            throw HoldfastError(.notFound, "the ledger has no mount '\(path)'")
        }
        return try layout.absolute(mount)
    }

    /// Runs statements in the ledger's database, behind the app's back.
    func query(_ statements: String) throws {
        let (layout, state) = try live()
        let instances = try SupervisorClient(socketPath: layout.socket).status()
            .instances(layout: layout, current: state)
        guard let database = instances["db"] else { throw HoldfastError(.notFound, "there is no service 'db'") }
        _ = try Self.capture(
            "/usr/bin/psql",
            [
                "-h", database.runDirectory, "-p", String(database.port), "-U", "holdfast", "-d", "main", "-v",
                "ON_ERROR_STOP=1", "-qc", statements,
            ], environment: [:])
    }

    /// Deletes every second row and overwrites the file.
    func damage() throws {
        try "0\tby\taccident\n".write(
            toFile: "\(try mount("files"))/events.log", atomically: false, encoding: .utf8)
        try query("DELETE FROM event WHERE number % 2 = 0")
    }

    /// What the ledger says of itself.
    func ledger(of name: String = "main") throws -> LedgerSets {
        let text = try Self.capture(
            "/usr/bin/curl", ["-sS", "--fail", "\(try address(of: name))sets"], environment: nil)
        return try JSONDecoder().decode(LedgerSets.self, from: Data(text.utf8))
    }

    /// `ledger` while no cron writes: its event is not in all places at once.
    func settledLedger(of name: String) throws -> LedgerSets {
        var sets = try ledger(of: name)
        for _ in 0..<20 where sets.differingEvents.contains(where: { $0.kind == "cron" }) {
            Thread.sleep(forTimeInterval: 0.5)
            sets = try ledger(of: name)
        }
        return sets
    }

    func newestBackup() async throws -> API.Backup {
        let url = try String(contentsOfFile: "\(options.home)/cli-url", encoding: .utf8)
        let token = try String(contentsOfFile: "\(options.home)/cli-token", encoding: .utf8)
        let server = try ServerAddress(url.trimmingCharacters(in: .whitespacesAndNewlines))
        guard let id = ProjectID(project) else { throw HoldfastError(.internalFault, "'\(project)' is no project id") }
        return try await APIClient.withClient(
            server: server, token: Secret(token.trimmingCharacters(in: .whitespacesAndNewlines)), time: SystemTime()
        ) { client in
            guard let environment = try await client.environment("main", of: id),
                let backup = try await client.backups(of: environment).first
            else { throw HoldfastError(.notFound, "there is no backup") }
            return backup.value
        }
    }

    /// `restic check --read-data` on every site, with the password that `repository:key` hands out.
    func judgeWithRestic(say: (String) -> Void) throws {
        let text = try quiet(["repository:key", "-p", project, "--format", "json"])
        let key = try JSONDecoder().decode(ResticKey.self, from: Data(text.utf8))
        for site in key.sites {
            let output = try Self.capture(
                "/usr/bin/restic", ["check", "--read-data", "--no-cache"],
                environment: ["RESTIC_REPOSITORY": site.location, "RESTIC_PASSWORD": key.password])
            guard output.contains("no errors were found") else {
                throw HoldfastError(.damaged, "restic found errors on \(site.name): \(output.suffix(400))")
            }
            say("\(site.name): restic check --read-data: no errors were found")
        }
    }

    /// Ends the server and everything it started; removes the state directory unless somebody has to look at the logs.
    func end(keepingLogs: Bool = false) {
        if let server, server.isRunning {
            server.terminate()
            server.waitUntilExit()
        }
        // Nothing of the demo stays behind, its system user neither.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "\(options.home)/environments")) ?? [] {
            if let environment = EnvironmentID(name) { try? ProcessUser.remove(for: environment) }
        }
        if !keepingLogs { try? FileManager.default.removeItem(atPath: options.home) }
    }
}

private struct ResticKey: Decodable {
    struct Site: Decodable {
        let name: String
        let location: String
    }
    let password: String
    let sites: [Site]
}
