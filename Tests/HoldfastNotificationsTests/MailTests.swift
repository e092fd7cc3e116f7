import Foundation
import HoldfastModel
import HoldfastNotifications
import HoldfastTestSupport
import Testing

/// Mail, to a server that speaks SMTP over sockets.
@Suite struct MailTests {
    private typealias Mail = NotificationChannel.Mail

    private let folder: ScratchFolder
    private let password: String

    init() throws {
        folder = try ScratchFolder()
        password = folder("password")
        try Data("pass word\n".utf8).write(to: URL(fileURLWithPath: password))
    }

    private func mail(_ server: MailServer, _ security: Mail.Security, to: [String] = ["b@example.org"]) -> Mail {
        var mail = Mail(host: "localhost", from: "holdfast@example.org", to: to)
        (mail.port, mail.security) = (server.port, security)
        mail.caFile = server.rules.certificate?.file
        return mail
    }

    private func withLogin(_ mail: Mail) -> Mail {
        var mail = mail
        (mail.user, mail.passwordFile) = ("user", password)
        return mail
    }

    @discardableResult
    private func send(_ mail: Mail, _ notice: Notice = DeliveryTests.notice()) async throws -> String? {
        let channel = NotificationChannel(name: "m", mail: mail)
        try NotificationChannel.validate([channel])
        return try await Delivery(channel: channel, time: SystemTime()).deliver(notice)
    }

    private func failure(_ mail: Mail) async -> HoldfastError? {
        do {
            try await send(mail)
            return nil
        } catch {
            return error as? HoldfastError
        }
    }

    /// What Python's mail parser reads of a message: an independent judge.
    private func parsed(_ text: String) throws -> [String: Any] {
        let script = """
            import email, email.policy, json, sys
            m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
            print(json.dumps({"headers": [[k, str(v)] for k, v in m.items()], "body": m.get_content(),
                "date": m["Date"].datetime.isoformat(), "to": [a.addr_spec for a in m["To"].addresses],
                "defects": [str(d) for d in m.defects]}))
            """
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        python.arguments = ["-c", script]
        let (input, output) = (Pipe(), Pipe())
        (python.standardInput, python.standardOutput) = (input, output)
        try python.run()
        input.fileHandleForWriting.write(Data(text.utf8))
        try input.fileHandleForWriting.close()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        python.waitUntilExit()
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func header(_ name: String, _ mail: [String: Any]) -> [String] {
        ((mail["headers"] as? [[String]]) ?? []).filter { $0[0] == name }.map { $0[1] }
    }

    @Test func `in clear text a mail arrives as it was meant, with all its recipients`() async throws {
        let server = try MailServer(.init())
        defer { server.stop() }
        let to = ["b@example.org", "c@example.org"]
        try await send(mail(server, .plain, to: to))
        let got = try #require(server.mails.first)
        #expect(got.from == "<holdfast@example.org>")
        #expect(got.to == to.map { "<\($0)>" })
        let message = try parsed(got.text)
        #expect(header("Subject", message) == ["[holdfast] PROBLEM: Ledger, main: backup failed"])
        #expect(header("From", message) == ["Holdfast <holdfast@example.org>"])
        #expect(message["to"] as? [String] == to)
        #expect(message["date"] as? String == "2026-01-01T00:00:00+00:00")
        #expect(header("Auto-Submitted", message) == ["auto-generated"])
        #expect((message["body"] as? String)?.hasPrefix("Ledger, main: a backup failed.\n") == true)
        #expect((message["defects"] as? [String]) == [])
        #expect(server.lines.last?.text == "QUIT")
    }

    @Test func `a hostile title makes no header and no command, and is read back as it is`() async throws {
        let server = try MailServer(.init())
        defer { server.stop() }
        let title = "x\r\nBcc: evil@example.org\r\n\r\n.\r\nMAIL FROM:<evil@example.org>\r\nÄ 日本語 =?utf-8?B?eA==?="
        try await send(mail(server, .plain), DeliveryTests.notice(title, text: ".\r\n.\r\nQUIT"))
        #expect(server.mails.count == 1)
        let got = try #require(server.mails.first)
        let message = try parsed(got.text)
        #expect(header("Bcc", message) == [])
        let subject = try #require(header("Subject", message).first)
        #expect(subject.contains("Ä 日本語 =?utf-8?B?eA==?="), "\(subject)")
        #expect(!server.lines.contains { $0.text.hasPrefix("MAIL FROM:<evil") })
        #expect((message["body"] as? String)?.contains("日本語") == true)
        #expect(got.text.split(separator: "\r\n").allSatisfy { $0.utf8.count <= 78 })
        #expect(got.text.utf8.allSatisfy { $0 < 128 })
    }

    @Test(arguments: [["PLAIN"], ["LOGIN"], ["CRAM-MD5", "LOGIN", "PLAIN"]])
    func `with STARTTLS nothing but its beginning is in clear text, and the login works`(ways: [String]) async throws {
        let certificate = try MailServer.Certificate(in: folder.path)
        let server = try MailServer(
            .init(certificate: certificate, offersStartTLS: true, ways: ways, password: "pass word"))
        defer { server.stop() }
        try await send(withLogin(mail(server, .starttls)))
        let got = try #require(server.mails.first)
        #expect(got.isEncrypted)
        #expect(got.isKnown)
        let open = server.lines.filter { !$0.isEncrypted }.map { String($0.text.prefix(5)) }
        #expect(open == ["EHLO ", "START"])
    }

    @Test func `TLS from the first byte works, by name and by address`() async throws {
        let certificate = try MailServer.Certificate(in: folder.path)
        let server = try MailServer(
            .init(certificate: certificate, isImplicit: true, ways: ["PLAIN"], password: "pass word"))
        defer { server.stop() }
        var address = withLogin(mail(server, .tls))
        try await send(address)
        address.host = "127.0.0.1"
        try await send(address)
        #expect(server.mails.count == 2)
        #expect(server.mails.allSatisfy { $0.isEncrypted && $0.isKnown })
    }

    @Test func `a server that offers no STARTTLS, a stranger's certificate and a wrong name get no password`()
        async throws
    {
        let certificate = try MailServer.Certificate(in: folder.path)
        let plain = try MailServer(.init(ways: ["PLAIN"]))
        defer { plain.stop() }
        #expect(await failure(withLogin(mail(plain, .starttls)))?.code == .unsupported)

        let server = try MailServer(.init(certificate: certificate, offersStartTLS: true, ways: ["PLAIN"]))
        defer { server.stop() }
        var stranger = withLogin(mail(server, .starttls))
        stranger.caFile = nil
        #expect(await failure(stranger) != nil)
        stranger.caFile = try MailServer.Certificate(in: folder.path).file
        #expect(await failure(stranger) != nil)

        let other = try MailServer.Certificate(in: folder.path, names: "DNS:elsewhere.example.org")
        let wrong = try MailServer(.init(certificate: other, offersStartTLS: true, ways: ["PLAIN"]))
        defer { wrong.stop() }
        #expect(await failure(withLogin(mail(wrong, .starttls))) != nil)
        for server in [plain, server, wrong] {
            #expect(server.mails.isEmpty)
            #expect(!server.lines.contains { $0.text.hasPrefix("AUTH") })
        }
    }

    @Test func `what is said in clear text behind the consent to TLS ends it`() async throws {
        let certificate = try MailServer.Certificate(in: folder.path)
        let server = try MailServer(
            .init(certificate: certificate, offersStartTLS: true, injects: true, ways: ["PLAIN"]))
        defer { server.stop() }
        #expect(await failure(withLogin(mail(server, .starttls)))?.code == .damaged)
        #expect(!server.lines.contains { $0.text.hasPrefix("AUTH") })
    }

    @Test func `a wrong password is said without the password, which the server repeats`() async throws {
        let certificate = try MailServer.Certificate(in: folder.path)
        for way in ["PLAIN", "LOGIN"] {
            let server = try MailServer(
                .init(certificate: certificate, isImplicit: true, ways: [way], password: "another"))
            let error = try #require(await failure(withLogin(mail(server, .tls))))
            #expect(error.code == .unauthenticated)
            #expect(!error.description.contains("pass word"), "\(error)")
            #expect(server.mails.isEmpty)
            server.stop()
        }
    }

    @Test func `a recipient that is refused is named, and the others get their mail; all refused is a failure`()
        async throws
    {
        let server = try MailServer(.init(refused: ["<c@example.org>"]))
        defer { server.stop() }
        let remark = try await send(mail(server, .plain, to: ["b@example.org", "c@example.org"]))
        #expect(remark?.contains("c@example.org") == true)
        #expect(remark?.contains("b@example.org") == false)
        #expect(server.mails.first?.to == ["<b@example.org>"])
        let error = await failure(mail(server, .plain, to: ["c@example.org"]))
        #expect(error?.message.contains("no such user") == true, "\(String(describing: error))")
        #expect(server.mails.count == 1)
    }

    @Test func `a message that is refused, a greeting that is none, and endless talk are failures`() async throws {
        let cases: [(MailServer.Rules, HoldfastError.Code)] = [
            (.init(verdict: "554 5.7.1 spam\r\n"), .conflict), (.init(verdict: "451 later\r\n"), .unavailable),
            (.init(greeting: "554 go away\r\n"), .conflict), (.init(greeting: "HTTP/1.1 400 no\r\n\r\n"), .damaged),
            (.init(greeting: String(repeating: "220-x\r\n", count: 5000)), .damaged),
            (.init(greeting: "220-" + String(repeating: "x", count: 100_000)), .damaged),
        ]
        for (rules, code) in cases {
            let server = try MailServer(rules)
            let error = await failure(mail(server, .plain))
            #expect(error?.code == code, "\(rules.greeting.prefix(20)) \(rules.verdict): \(String(describing: error))")
            #expect(server.mails.isEmpty)
            server.stop()
        }
        let gone = try MailServer(.init())
        gone.stop()
        #expect(await failure(mail(gone, .plain))?.code == .unavailable)
    }
}
