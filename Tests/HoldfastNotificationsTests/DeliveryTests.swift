import Foundation
import HoldfastModel
import HoldfastNotifications
import HoldfastTestSupport
import Testing

/// Webhooks and commands, each with one that really is there.
@Suite struct DeliveryTests {
    static func notice(_ title: String = "Ledger", text: String = "a backup failed") -> Notice {
        let at = Date(timeIntervalSince1970: 1_767_225_600)
        var notice = Notice(id: "0a1b", kind: .backupFailed, change: .raised, at: at, since: at, text: text)
        notice.projectTitle = title
        notice.environmentName = "main"
        return notice
    }

    private func failure(_ channel: NotificationChannel) async -> HoldfastError? {
        do {
            try await Delivery(channel: channel, time: SystemTime()).deliver(Self.notice())
            return nil
        } catch {
            return error as? HoldfastError
        }
    }

    @Test func `a webhook gets the notice as JSON, with a signature that its secret makes`() async throws {
        let server = try StubServer { _ in StubServer.Reply(200) }
        defer { server.stop() }
        let folder = try ScratchFolder()
        let file = folder("secret")
        try Data("the secret\nand what else is in the file\n".utf8).write(to: URL(fileURLWithPath: file))
        let channel = NotificationChannel(name: "a", webhook: .init(url: server.url + "/x?y=1", secretFile: file))
        try await Delivery(channel: channel, time: SystemTime()).deliver(Self.notice())
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(request.target == "/x?y=1")
        #expect(request.headers["content-type"] == "application/json")
        let timestamp = try #require(request.headers["holdfast-timestamp"])
        #expect(abs((Double(timestamp) ?? 0) - Date.now.timeIntervalSince1970) < 600)
        #expect(
            request.headers["holdfast-signature"]
                == WebhookSignature.text(
                    of: Data(request.body.utf8), timestamp: timestamp, secret: Secret("the secret")))
        #expect(!request.body.contains("secret"))
        let json = try JSONSerialization.jsonObject(with: Data(request.body.utf8)) as? [String: Any]
        #expect(json?["kind"] as? String == "backup.failed")
        #expect(json?["at"] as? String == "2026-01-01T00:00:00Z")
    }

    @Test func `an answer that is not 2xx, a redirect, no answer and nobody there are failures that tell no address`()
        async throws
    {
        for status in [302, 404, 500] {
            let server = try StubServer { _ in StubServer.Reply(status, headers: ["Location": "/elsewhere"]) }
            let error = await failure(.init(name: "a", webhook: .init(url: "\(server.url)/T0K3N")))
            #expect(error?.message.contains("\(status)") == true, "\(String(describing: error))")
            #expect(error?.description.contains("T0K3N") == false)
            #expect(server.requests.map(\.path) == ["/T0K3N"])
            server.stop()
        }
        let mute = try StubServer { _ in .none }
        let port = mute.port
        let error = await failure(.init(name: "a", webhook: .init(url: "\(mute.url)/T0K3N")))
        #expect(error?.code == .unavailable)
        mute.stop()
        let gone = await failure(.init(name: "a", webhook: .init(url: "http://127.0.0.1:\(port)/T0K3N")))
        #expect(gone?.code == .unavailable || gone?.code == .timedOut)
        for error in [error, gone] { #expect(error?.description.contains("T0K3N") == false) }
    }

    @Test func `a secret that cannot be read is said, and nothing is sent without it`() async throws {
        let server = try StubServer { _ in StubServer.Reply(200) }
        defer { server.stop() }
        let error = await failure(
            .init(name: "a", webhook: .init(url: server.url, secretFile: "/nowhere/secret")))
        #expect(error?.code == .notFound)
        #expect(server.requests.isEmpty)
    }

    @Test func `a command gets the notice on its input, its arguments as they are, and no variable of ours`()
        async throws
    {
        let folder = try ScratchFolder()
        let (program, result) = (folder("tell me"), folder("result"))
        let script = "#!/bin/sh\ncat > '\(result)'\nprintf '%s|' \"$@\" >> '\(result)'\nenv >> '\(result)'\n"
        try Data(script.utf8).write(to: URL(fileURLWithPath: program))
        chmod(program, 0o755)
        setenv("HOLDFAST_TOKEN_OF_THIS_TEST", "not for commands", 1)
        defer { unsetenv("HOLDFAST_TOKEN_OF_THIS_TEST") }
        let channel = NotificationChannel(
            name: "a", command: .init(path: program, arguments: ["$(touch /nowhere)", "; two words", "*"]))
        let notice = Self.notice("a \"title\" with `ticks`, $(x) and\na line")
        try await Delivery(channel: channel, time: SystemTime()).deliver(notice)
        let text = try String(contentsOfFile: result, encoding: .utf8)
        #expect(text.contains("$(touch /nowhere)|; two words|*|"), "\(text)")
        #expect(!text.contains("HOLDFAST_TOKEN_OF_THIS_TEST"), "\(text)")
        let json = try #require(text.components(separatedBy: "}$(touch").first) + "}"
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
        #expect(object?["projectTitle"] as? String == notice.projectTitle)
    }

    @Test func `a command that fails, hangs or is not there is a failure with its reason`() async throws {
        let folder = try ScratchFolder()
        func program(_ name: String, _ body: String) throws -> String {
            let path = folder(name)
            try Data("#!/bin/sh\n\(body)\n".utf8).write(to: URL(fileURLWithPath: path))
            chmod(path, 0o755)
            return path
        }
        let failing = await failure(
            .init(name: "a", command: .init(path: try program("f", "echo the pager is off >&2; exit 3"))))
        #expect(failing?.message.contains("the pager is off") == true, "\(String(describing: failing))")
        let hanging = await failure(
            .init(name: "a", command: .init(path: try program("h", "sleep 300"), timeoutSeconds: 1)))
        #expect(hanging?.code == .timedOut)
        let absent = await failure(.init(name: "a", command: .init(path: folder("nothing"))))
        #expect(absent != nil)
        // One that never reads its input is no failure.
        let deaf = try program("d", "exit 0")
        #expect(await failure(.init(name: "a", command: .init(path: deaf))) == nil)
    }
}
