import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing

/// A small mail server on a free loopback port that does what a test wants, also what no good server does.
final class MailServer: Sendable {
    struct Rules: Sendable {
        var certificate: Certificate?
        /// TLS from the first byte.
        var isImplicit = false
        var offersStartTLS = false
        /// Says something in clear text behind its consent to TLS, as somebody between would.
        var injects = false
        var ways: [String] = []
        var user = "user"
        var password = "password"
        var refused: Set<String> = []
        var greeting = "220 mail.test ESMTP\r\n"
        /// What a message is answered with.
        var verdict = "250 2.0.0 queued\r\n"
    }

    struct Mail: Sendable {
        var from = ""
        var to: [String] = []
        var text = ""
        var isEncrypted = false
        var isKnown = false
    }

    struct State: Sendable {
        var rules: Rules
        var mails: [Mail] = []
        /// Lines as they came, with how they came.
        var lines: [(text: String, isEncrypted: Bool)] = []
    }

    let port: Int
    private let channel: any Channel
    private let state: Mutex<State>

    init(_ rules: Rules) throws {
        let box = Box()
        channel = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let server = box.server else { return }
                    if rules.isImplicit, let context = try rules.certificate?.context() {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    }
                    try channel.pipeline.syncOperations.addHandler(Conversation(server, isEncrypted: rules.isImplicit))
                }
            }.bind(host: "127.0.0.1", port: 0).wait()
        port = channel.localAddress?.port ?? 0
        state = Mutex(State(rules: rules))
        box.server = self
    }

    private final class Box: @unchecked Sendable {
        // Set before anybody can connect: the port is not known to others yet.
        weak var server: MailServer?
    }

    func stop() { try? channel.close().wait() }

    var rules: Rules { state.withLock { $0.rules } }
    var mails: [Mail] { state.withLock { $0.mails } }
    var lines: [(text: String, isEncrypted: Bool)] { state.withLock { $0.lines } }
    func note(_ line: String, isEncrypted: Bool) { state.withLock { $0.lines.append((line, isEncrypted)) } }
    func take(_ mail: Mail) { state.withLock { $0.mails.append(mail) } }

    /// A certificate for this machine, made by openssl, and its file for clients.
    struct Certificate: Sendable {
        let file: String
        let key: String

        init(in folder: String, names: String = "DNS:localhost,IP:127.0.0.1") throws {
            file = "\(folder)/certificate-\(UInt32.random(in: 0 ... .max)).pem"
            key = "\(file).key"
            let openssl = Process()
            openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
            openssl.arguments = [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext",
                "subjectAltName=\(names)", "-keyout", key, "-out", file,
            ]
            openssl.standardError = FileHandle.nullDevice
            try openssl.run()
            openssl.waitUntilExit()
            #expect(openssl.terminationStatus == 0)
        }

        func context() throws -> NIOSSLContext {
            let chain = try NIOSSLCertificate.fromPEMFile(file).map { NIOSSLCertificateSource.certificate($0) }
            let key = NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            return try NIOSSLContext(
                configuration: .makeServerConfiguration(certificateChain: chain, privateKey: key))
        }
    }
}

/// One client, on its event loop.
private final class Conversation: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private enum Mode { case commands, data, plain, user, password }

    private let server: MailServer
    private var isEncrypted: Bool
    private var mode = Mode.commands
    private var buffer: [UInt8] = []
    private var mail = MailServer.Mail()
    private var isKnown = false
    private var name = ""

    init(_ server: MailServer, isEncrypted: Bool) {
        self.server = server
        self.isEncrypted = isEncrypted
    }

    func channelActive(context: ChannelHandlerContext) { write(server.rules.greeting, context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        buffer += Array(unwrapInboundIn(data).readableBytesView)
        while let end = buffer.firstIndex(of: 10) {
            let line = String(decoding: buffer[..<end], as: UTF8.self).trimmingCharacters(in: .newlines)
            buffer.removeSubrange(...end)
            server.note(line, isEncrypted: isEncrypted)
            take(line, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func take(_ line: String, _ context: ChannelHandlerContext) {
        switch mode {
        case .commands: command(line, context)
        case .data:
            guard line == "." else {
                mail.text += (line.hasPrefix(".") ? String(line.dropFirst()) : line) + "\r\n"
                return
            }
            mode = .commands
            (mail.isEncrypted, mail.isKnown) = (isEncrypted, isKnown)
            if server.rules.verdict.hasPrefix("250") { server.take(mail) }
            write(server.rules.verdict, context)
        case .plain: finish(String(decoding: Data(base64Encoded: line) ?? Data(), as: UTF8.self), context)
        case .user:
            name = String(decoding: Data(base64Encoded: line) ?? Data(), as: UTF8.self)
            mode = .password
            write("334 UGFzc3dvcmQ6\r\n", context)
        case .password:
            finish("\0\(name)\0" + String(decoding: Data(base64Encoded: line) ?? Data(), as: UTF8.self), context)
        }
    }

    private func command(_ line: String, _ context: ChannelHandlerContext) {
        let rules = server.rules
        let upper = line.uppercased()
        if upper.hasPrefix("EHLO ") {
            var offers = ["mail.test", "8BITMIME"]
            if rules.offersStartTLS, !isEncrypted { offers.append("STARTTLS") }
            if !rules.ways.isEmpty { offers.append("AUTH \(rules.ways.joined(separator: " "))") }
            let last = offers.count - 1
            write(offers.enumerated().map { "250\($0 == last ? " " : "-")\($1)\r\n" }.joined(), context)
        } else if upper == "STARTTLS" {
            startTLS(rules, context)
        } else if upper.hasPrefix("AUTH PLAIN ") {
            finish(String(decoding: Data(base64Encoded: String(line.dropFirst(11))) ?? Data(), as: UTF8.self), context)
        } else if upper == "AUTH LOGIN" {
            mode = .user
            write("334 VXNlcm5hbWU6\r\n", context)
        } else if upper.hasPrefix("MAIL FROM:") {
            mail = MailServer.Mail(from: String(line.dropFirst(10)))
            write("250 ok\r\n", context)
        } else if upper.hasPrefix("RCPT TO:") {
            let address = String(line.dropFirst(8))
            guard !rules.refused.contains(address) else { return write("550 5.1.1 no such user\r\n", context) }
            mail.to.append(address)
            write("250 ok\r\n", context)
        } else if upper == "DATA" {
            mode = .data
            write("354 go on\r\n", context)
        } else if upper == "QUIT" {
            write("221 bye\r\n", context)
        } else {
            write("500 what?\r\n", context)
        }
    }

    private func startTLS(_ rules: MailServer.Rules, _ context: ChannelHandlerContext) {
        write("220 go ahead\r\n" + (rules.injects ? "250 AUTH PLAIN\r\n" : ""), context)
        guard !rules.injects, let tls = try? rules.certificate?.context() else { return }
        try? context.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls), position: .first)
        (isEncrypted, buffer) = (true, [])
    }

    private func finish(_ credentials: String, _ context: ChannelHandlerContext) {
        mode = .commands
        isKnown = credentials == "\0\(server.rules.user)\0\(server.rules.password)"
        // A server that repeats what it was told, which must not get into a log.
        write(isKnown ? "235 welcome\r\n" : "535 5.7.8 wrong: \(credentials.dropFirst())\r\n", context)
    }

    private func write(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
    }
}
