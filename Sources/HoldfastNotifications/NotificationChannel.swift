// HoldfastNotifications: tells people what went wrong with their backups, once, and that it is well again.
//
// `AlarmLook` reads from the catalogue what is wrong now, `AlarmBook` decides what a channel has not heard of yet, the
// catalogue keeps both and what is on its way, and `Notifier` delivers: to a webhook, by mail, or to a command.

import Foundation
import HoldfastModel

/// Somebody who is told, as `settings.json` has it: a name, and one of `webhook`, `mail` and `command`.
package struct NotificationChannel: Sendable, Codable, Hashable {
    /// The address gets a POST with the notice as JSON.
    package struct Webhook: Sendable, Codable, Hashable {
        package var url: String
        /// Absolute path of a file with the secret that signs it; nil for no signature.
        package var secretFile: String?

        package init(url: String, secretFile: String? = nil) {
            self.url = url
            self.secretFile = secretFile
        }
    }

    package struct Mail: Sendable, Codable, Hashable {
        package enum Security: String, Sendable, Codable {
            /// Everything in clear text.
            case plain
            /// TLS after the greeting; a server that does not offer it gets nothing.
            case starttls
            /// TLS from the first byte.
            case tls
        }

        package var host: String
        /// Nil for 587, with TLS from the first byte 465, in clear text 25.
        package var port: Int?
        /// Nil for `starttls`.
        package var security: Security?
        /// Nil to send without logging in.
        package var user: String?
        /// Absolute path of a file with the password in its first line.
        package var passwordFile: String?
        /// An address without a name.
        package var from: String
        package var to: [String]
        /// Absolute path of a PEM file with the authorities to believe instead of the system's.
        package var caFile: String?

        package init(host: String, from: String, to: [String]) {
            self.host = host
            self.from = from
            self.to = to
        }

        package var effectiveSecurity: Security { security ?? .starttls }

        package var effectivePort: Int {
            port ?? [.plain: 25, .starttls: 587, .tls: 465][effectiveSecurity] ?? 587
        }
    }

    /// A program that gets the notice as JSON on its standard input.
    package struct Command: Sendable, Codable, Hashable {
        /// Absolute.
        package var path: String
        package var arguments: [String]?
        /// Nil for 30.
        package var timeoutSeconds: Int?

        package init(path: String, arguments: [String]? = nil, timeoutSeconds: Int? = nil) {
            self.path = path
            self.arguments = arguments
            self.timeoutSeconds = timeoutSeconds
        }
    }

    /// Under which it is remembered what it was told.
    package var name: String
    package var webhook: Webhook?
    package var mail: Mail?
    package var command: Command?

    package init(name: String, webhook: Webhook? = nil, mail: Mail? = nil, command: Command? = nil) {
        self.name = name
        self.webhook = webhook
        self.mail = mail
        self.command = command
    }
}

extension NotificationChannel {
    /// Looks at all channels of an installation. Files with secrets are not read.
    ///
    /// - Throws: `invalidInput` that names the channel and what is wrong with it.
    package static func validate(_ channels: [NotificationChannel]) throws {
        for channel in channels { try channel.validate() }
        let names = channels.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw HoldfastError(
                .invalidInput, "two notification channels are called '\(twice)'", hint: "Give each a name of its own")
        }
    }

    private func validate() throws {
        let isName = !name.isEmpty && name.count <= 64 && name.unicodeScalars.allSatisfy { $0.isPrintable }
        guard isName else { throw fault("needs a name of 1 to 64 printable characters") }
        guard [webhook != nil, mail != nil, command != nil].count(where: \.self) == 1 else {
            throw fault("needs exactly one of webhook, mail and command")
        }
        if let webhook { try validate(webhook) }
        if let mail { try validate(mail) }
        if let command { try validate(command) }
    }

    private func validate(_ webhook: Webhook) throws {
        guard let url = URL(string: webhook.url), ["http", "https"].contains(url.scheme), url.host?.isEmpty == false
        else { throw fault("needs a webhook.url that begins with https:// or http://") }
        try validate(file: webhook.secretFile, "webhook.secretFile")
    }

    private func validate(_ mail: Mail) throws {
        guard !mail.host.isEmpty, mail.host.unicodeScalars.allSatisfy({ $0.isPrintable && $0 != " " }) else {
            throw fault("needs a mail.host")
        }
        guard (1...65_535).contains(mail.effectivePort) else { throw fault("needs a mail.port from 1 to 65535") }
        guard MailAddress.isValid(mail.from) else { throw fault("needs an address such as a@example.org as mail.from") }
        guard (1...50).contains(mail.to.count), mail.to.allSatisfy(MailAddress.isValid) else {
            throw fault("needs 1 to 50 addresses such as a@example.org in mail.to")
        }
        guard (mail.user == nil) == (mail.passwordFile == nil) else {
            throw fault("needs both mail.user and mail.passwordFile, or neither")
        }
        if let user = mail.user, user.isEmpty || user.unicodeScalars.contains(where: { !$0.isPrintable }) {
            throw fault("needs a mail.user of printable characters")
        }
        if mail.user != nil, mail.effectiveSecurity == .plain, !mail.isLocal {
            throw fault("would send the password of mail.user in clear text: use starttls or tls as mail.security")
        }
        try validate(file: mail.passwordFile, "mail.passwordFile")
        try validate(file: mail.caFile, "mail.caFile")
    }

    private func validate(_ command: Command) throws {
        try validate(file: command.path, "command.path")
        guard (1...300).contains(command.timeoutSeconds ?? 30) else {
            throw fault("needs a command.timeoutSeconds from 1 to 300")
        }
    }

    private func validate(file: String?, _ key: String) throws {
        guard let file else { return }
        guard file.hasPrefix("/"), !file.utf8.contains(0) else { throw fault("needs an absolute path as \(key)") }
    }

    private func fault(_ what: String) -> HoldfastError {
        let shown = String(name.unicodeScalars.filter(\.isPrintable).map(Character.init).prefix(64))
        return HoldfastError(.invalidInput, "notification channel '\(shown)' \(what)")
    }

    /// Files with secrets that it needs.
    package var secretFiles: [String] { [webhook?.secretFile, mail?.passwordFile].compactMap { $0 } }
}

extension NotificationChannel.Mail {
    /// The server is this machine: nobody listens between.
    var isLocal: Bool { ["localhost", "127.0.0.1", "::1"].contains(host) }
}

extension Unicode.Scalar {
    /// ASCII without control characters.
    var isPrintable: Bool { (32...126).contains(value) }
}
