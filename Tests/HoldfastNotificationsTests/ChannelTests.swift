import Foundation
import HoldfastModel
import HoldfastNotifications
import Testing

@Suite struct ChannelTests {
    private typealias Channel = NotificationChannel

    private func code(_ json: String) -> HoldfastError.Code? {
        do {
            try Channel.validate(try JSONDecoder().decode([Channel].self, from: Data(json.utf8)))
            return nil
        } catch {
            return (error as? HoldfastError)?.code
        }
    }

    @Test func `channels are taken as settings have them`() {
        #expect(
            code(
                """
                [{"name": "hook", "webhook": {"url": "https://example.org/x", "secretFile": "/srv/secret"}},
                 {"name": "mail", "mail": {"host": "mail.example.org", "from": "a@example.org", "to": ["b@example.org"],
                    "user": "u", "passwordFile": "/srv/password"}},
                 {"name": "page", "command": {"path": "/usr/bin/page", "arguments": ["x y"], "timeoutSeconds": 5}}]
                """) == nil)
    }

    @Test(
        arguments: [
            #"{"name": "x"}"#,
            #"{"name": "", "webhook": {"url": "https://example.org"}}"#,
            #"{"name": "a\nb", "webhook": {"url": "https://example.org"}}"#,
            #"{"name": "x", "webhook": {"url": "ftp://example.org"}}"#,
            #"{"name": "x", "webhook": {"url": "https://"}}"#,
            #"{"name": "x", "webhook": {"url": "https://example.org", "secretFile": "secret"}}"#,
            #"{"name": "x", "webhook": {"url": "https://example.org"}, "command": {"path": "/bin/true"}}"#,
            #"{"name": "x", "command": {"path": "page"}}"#,
            #"{"name": "x", "command": {"path": "/bin/true", "timeoutSeconds": 0}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@example.org", "to": []}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@example.org", "to": ["b"]}}"#,
            #"{"name": "x", "mail": {"host": "h\r\nRCPT", "from": "a@example.org", "to": ["b@example.org"]}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@example.org>\r\nRCPT TO:<c@d", "to": ["b@example.org"]}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@example.org", "to": ["b@example.org\r\nBcc: c@d"]}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@example.org", "to": ["b@example.org, c@example.org"]}}"#,
            #"{"name": "x", "mail": {"host": "h", "from": "a@e.org", "to": ["b@e.org"], "user": "u"}}"#,
            #"""
            {"name": "x", "mail": {"host": "mail.example.org", "from": "a@e.org", "to": ["b@e.org"], "user": "u",
                "passwordFile": "/srv/p", "security": "plain"}}
            """#,
        ])
    func `what cannot work, or would tell a secret, is refused`(channel: String) {
        #expect(code("[\(channel)]") == .invalidInput, "\(channel)")
    }

    @Test func `two channels of one name are refused`() {
        let one = #"{"name": "x", "command": {"path": "/bin/true"}}"#
        #expect(code("[\(one)]") == nil)
        #expect(code("[\(one), \(one)]") == .invalidInput)
    }

    /// Another tool is the judge: `printf '%s' '1767225600.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    @Test func `a signature is what openssl computes of time stamp and body`() throws {
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        openssl.arguments = ["dgst", "-sha256", "-hmac", "a secret", "-hex"]
        let (input, output) = (Pipe(), Pipe())
        (openssl.standardInput, openssl.standardOutput) = (input, output)
        try openssl.run()
        input.fileHandleForWriting.write(Data(#"1767225600.{"a":1}"#.utf8))
        try input.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        openssl.waitUntilExit()
        let expected = try #require(text.split(separator: " ").last).trimmingCharacters(in: .whitespacesAndNewlines)
        let signature = WebhookSignature.text(
            of: Data(#"{"a":1}"#.utf8), timestamp: "1767225600", secret: Secret("a secret"))
        #expect(signature == "v1=\(expected)")
        #expect(expected.count == 64)
    }
}
