import Foundation
import HoldfastModel
import NIOCore
import NIOSSL

/// Sends one mail.
///
/// Sources: RFC 5321; RFC 3207 for STARTTLS; RFC 4954 and 4616 for AUTH PLAIN; AUTH LOGIN as servers have it.
struct SMTPSession {
    let mail: NotificationChannel.Mail
    let password: Secret?
    /// For one answer.
    var patience = TimeAmount.seconds(30)

    /// Returns when the server has taken the message over.
    ///
    /// - Returns: recipients that the server refused, while it took others.
    /// - Throws: if nobody will get it. What the server says on logging in is left out.
    func send(_ message: MailMessage) async throws -> [String] {
        let context = mail.effectiveSecurity == .plain ? nil : try tls()
        let connection = try await SMTPConnection.open(
            host: mail.host, port: mail.effectivePort, tls: mail.effectiveSecurity == .tls ? context : nil,
            patience: patience)
        do {
            let refused = try await converse(message, connection, context)
            await connection.close()
            return refused
        } catch {
            await connection.close()
            throw error
        }
    }

    private func converse(
        _ message: MailMessage, _ connection: SMTPConnection, _ context: NIOSSLContext?
    ) async throws -> [String] {
        try expect([220], try await connection.greeting(), "the greeting")
        var offers = try await hello(connection)
        if mail.effectiveSecurity == .starttls, let context {
            guard offers["STARTTLS"] != nil else {
                throw HoldfastError(
                    .unsupported, "the mail server \(mail.host) does not offer STARTTLS",
                    hint: "Use tls as mail.security, or plain if the network between is yours alone")
            }
            try expect([220], try await connection.ask("STARTTLS"), "STARTTLS")
            try await connection.startTLS(context)
            // What was offered in clear text counts no more.
            offers = try await hello(connection)
        }
        if let user = mail.user, let password { try await logIn(user, password, offers, connection) }
        try expect([250], try await connection.ask("MAIL FROM:<\(message.from)>"), "the sender")
        let refused = try await name(message.to, connection)
        try expect([354], try await connection.ask("DATA"), "DATA")
        try expect([250], try await connection.ask(message: message.lines), "the message")
        // The message is theirs now, whatever becomes of the farewell.
        _ = try? await connection.ask("QUIT")
        return refused
    }

    /// - Returns: what the server offers, by its first word.
    private func hello(_ connection: SMTPConnection) async throws -> [String: [String]] {
        let reply = try await connection.ask("EHLO \(Self.ownName)")
        try expect([250], reply, "EHLO")
        var offers: [String: [String]] = [:]
        for line in reply.lines.dropFirst() {
            let words = line.uppercased().split(separator: " ").map(String.init)
            if let first = words.first { offers[first] = Array(words.dropFirst()) }
        }
        return offers
    }

    private func logIn(
        _ user: String, _ password: Secret, _ offers: [String: [String]], _ connection: SMTPConnection
    ) async throws {
        func encoded(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
        let ways = offers["AUTH"] ?? []
        let reply: SMTPReply
        if ways.contains("PLAIN") {
            reply = try await connection.ask("AUTH PLAIN " + encoded("\0\(user)\0\(password.reveal())"))
        } else if ways.contains("LOGIN") {
            try expect([334], try await connection.ask("AUTH LOGIN"), "AUTH LOGIN")
            try expect([334], try await connection.ask(encoded(user)), "the user's name")
            reply = try await connection.ask(encoded(password.reveal()))
        } else {
            throw HoldfastError(
                .unsupported, "the mail server \(mail.host) offers neither AUTH PLAIN nor AUTH LOGIN",
                hint: "Leave out mail.user if it needs no password")
        }
        guard reply.code == 235 else {
            throw HoldfastError(
                .unauthenticated, "the mail server \(mail.host) does not let '\(user)' in (\(reply.code))",
                hint: "Check mail.user and the file with the password")
        }
    }

    /// - Returns: those who were refused.
    /// - Throws: if all were.
    private func name(_ recipients: [String], _ connection: SMTPConnection) async throws -> [String] {
        var refused: [String] = []
        for recipient in recipients {
            let reply = try await connection.ask("RCPT TO:<\(recipient)>")
            if ![250, 251, 252].contains(reply.code) { refused.append("\(recipient) (\(reply.text))") }
        }
        guard refused.count < recipients.count else {
            throw HoldfastError(
                .unavailable, "the mail server \(mail.host) refuses \(refused.joined(separator: ", "))",
                hint: "Check mail.to")
        }
        return refused
    }

    private func expect(_ codes: [Int], _ reply: SMTPReply, _ what: String) throws {
        guard !codes.contains(reply.code) else { return }
        throw HoldfastError(
            reply.isPermanent ? .conflict : .unavailable,
            "the mail server \(mail.host) answers to \(what) with \(reply.text)")
    }

    private func tls() throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        do {
            if let file = mail.caFile { configuration.trustRoots = .file(file) }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw HoldfastError(
                .invalidInput, "cannot use the authorities in '\(mail.caFile ?? "the system")'",
                hint: "Give a file in PEM form as mail.caFile", cause: error)
        }
    }

    /// A name that is no lie: the machine's, or an address literal.
    private static var ownName: String {
        let name = ProcessInfo.processInfo.hostName
        let letters = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
        let isName = !name.isEmpty && name.unicodeScalars.allSatisfy { letters.contains($0) }
        return isName ? name : "[127.0.0.1]"
    }
}
