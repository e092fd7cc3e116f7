import Foundation
import HoldfastModel
import Testing

/// Starts on a state directory that is not as it was left.
@Suite(.serialized)
struct Starts {
    @Test func `a master key that cannot be read is never written over`() throws {
        let installation = try Installation()
        defer { installation.end() }
        let keys = "\(installation.home)/keys"
        try FileManager.default.createDirectory(atPath: keys, withIntermediateDirectories: true)
        // A disk that gives other bytes back; the catalogue is gone too, as on a machine that is being put back.
        let damaged = Data([0xff, 0xfe, 0x80, 0x81])
        try damaged.write(to: URL(fileURLWithPath: "\(keys)/master.key"))
        #expect(throws: Unexpected.self) { try installation.start() }
        #expect(FileManager.default.contents(atPath: "\(keys)/master.key") == damaged)
        #expect(installation.tail("serve.log").contains("master key"), "\(installation.tail("serve.log"))")
        try FileManager.default.removeItem(atPath: "\(keys)/master.key")
        try installation.start()
        let mode = try FileManager.default.attributesOfItem(atPath: "\(keys)/master.key")[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func `a project whose Git repository is broken keeps nobody from the others`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.createProject()
        let broken = installation.project
        try installation.createProject()
        let unfinished = installation.project
        try installation.createProject()
        installation.killServer()
        func repository(_ project: String) -> String { "\(installation.home)/projects/\(project)/repository.git" }
        try FileManager.default.removeItem(atPath: "\(repository(broken))/HEAD")
        try FileManager.default.removeItem(atPath: "\(repository(broken))/objects")
        // As if the machine had died while it was made.
        try FileManager.default.removeItem(atPath: repository(unfinished))
        try installation.start()
        #expect(try installation.must("project:list", "--format", "plain").contains(broken))
        #expect(installation.tail("serve.log").contains(broken), "\(installation.tail("serve.log"))")
        #expect(try installation.push().status == 0)
        #expect(try installation.get("version").output == "1\n")
        // Nothing had been pushed to it, so it is made again, and takes a push.
        let head = try Installation.run(
            "/usr/bin/git",
            ["-C", "\(installation.home)/checkout", "push", repository(unfinished), "HEAD:refs/heads/main"],
            environment: ["HOLDFAST_HOME": installation.home])
        #expect(head.status == 0, "\(head.errors)")
    }

    @Test func `a project whose making was cut short is finished at the next start, and can be backed up`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start(stopAt: "project.recorded")
        Thread { _ = try? installation.holdfast("project:create", "--title", "Ledger") }.start()
        try installation.waitUntilStopped()
        installation.killServer()
        try installation.start()
        let list = try installation.must("project:list", "--format", "csv", "--no-header", "-c", "id")
        installation.project = list.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try installation.push().status == 0)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
        let left = try FileManager.default.contentsOfDirectory(atPath: "\(installation.home)/projects")
        #expect(left == [installation.project])
    }

    /// As after an upgrade in which only `serve` was restarted.
    @Test func `a gateway from before this version is named in the log, and in an activity that fails`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try FileManager.default.createDirectory(
            atPath: "\(installation.home)/run", withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o711])
        let gateway = Process()
        gateway.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        gateway.arguments = [
            "-c", Self.oldGateway, "\(installation.home)/run/gateway.sock", "\(installation.gatewayPort)",
        ]
        try gateway.run()
        defer {
            kill(gateway.processIdentifier, SIGKILL)
            gateway.waitUntilExit()
        }
        #expect(
            installation.waitUntil(seconds: 10) { access("\(installation.home)/run/gateway.sock", F_OK) == 0 })
        try installation.start()
        let line = "The gateway runs an older version of holdfast than the control plane"
        let log = try String(contentsOfFile: "\(installation.home)/serve.log", encoding: .utf8)
        #expect(log.components(separatedBy: line).count == 2, "\(log)")
        try installation.deployLedger()
        // It does not know what a backup asks for.
        let outcome = try installation.holdfast("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(outcome.status == 1)
        #expect((outcome.output + outcome.errors).contains(line), "\(outcome.output) \(outcome.errors)")
    }

    private static let oldGateway = """
        import json, os, socket, struct, sys, threading
        status = {"startedAt": 0, "port": int(sys.argv[2]), "routes": 0, "clientConnections": 0,
            "upstreamConnections": 0, "environments": [],
            "counters": {"malformed": 0, "unknownHost": 0, "redirected": 0, "connectionsRefused": 0}}
        def serve(connection):
            stream = connection.makefile('rwb')
            while True:
                head = stream.read(4)
                if len(head) < 4: return
                message = json.loads(stream.read(struct.unpack('>I', head)[0]))
                answer = {"error": {"code": "invalidInput", "message": "the message is not a GatewayRequest"}}
                if 'status' in message: answer = status
                if 'configure' in message: answer = {"done": True}
                body = json.dumps(answer).encode()
                stream.write(struct.pack('>I', len(body)) + body); stream.flush()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1] + '.new'); listener.listen(64); os.rename(sys.argv[1] + '.new', sys.argv[1])
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """
}
