import Foundation
import HoldfastClient
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel

/// Brings one notice to one channel.
package struct Delivery: Sendable {
    package let channel: NotificationChannel
    let time: any TimeSource

    package init(channel: NotificationChannel, time: any TimeSource) {
        self.channel = channel
        self.time = time
    }

    /// Returns when the other side has taken it.
    ///
    /// - Returns: what did not go quite well, for the log: recipients that were refused beside others that were not.
    /// - Throws: why it did not arrive, without any secret and without what an address holds behind its host.
    @discardableResult
    package func deliver(_ notice: Notice) async throws -> String? {
        if let webhook = channel.webhook {
            try await post(notice, webhook)
        } else if let mail = channel.mail {
            return try await send(notice, mail)
        } else if let command = channel.command {
            let text = NoticeText(notice: notice)
            let input = try Array(text.json())
            try await offload("notify") { try run(command, input: input) }
        }
        return nil
    }

    private func post(_ notice: Notice, _ webhook: NotificationChannel.Webhook) async throws {
        let body = try NoticeText(notice: notice).json()
        let timestamp = String(Int64(time.now().timeIntervalSince1970))
        var headers = [
            ("Content-Type", "application/json"), ("Holdfast-Notice", notice.id), ("Holdfast-Timestamp", timestamp),
        ]
        if let file = webhook.secretFile {
            let secret = try SecretFile.read(file)
            headers.append(
                ("Holdfast-Signature", WebhookSignature.text(of: body, timestamp: timestamp, secret: secret)))
        }
        let status = try await WebhookCall.post(body, to: webhook.url, headers: headers)
        guard (200..<300).contains(status) else {
            throw HoldfastError(.unavailable, "the webhook of channel '\(channel.name)' answered with \(status)")
        }
    }

    private func send(_ notice: Notice, _ mail: NotificationChannel.Mail) async throws -> String? {
        let message = MailMessage(notice: notice, from: mail.from, to: mail.to)
        let password = try mail.passwordFile.map { try SecretFile.read($0) }
        let refused = try await SMTPSession(mail: mail, password: password).send(message)
        return refused.isEmpty ? nil : "the mail server refused \(refused.joined(separator: ", "))"
    }

    /// No shell: the program gets its arguments as they are, and of our environment variables none.
    private func run(_ command: NotificationChannel.Command, input: [UInt8]) throws {
        let specification = ProcessSpecification(
            executable: command.path, arguments: command.arguments ?? [],
            environment: ["PATH": InstalledTypes.systemPath, "LANG": "C.UTF-8"], directory: "/")
        let options = ProcessOptions(
            timeout: .seconds(command.timeoutSeconds ?? 30), input: input, outputLimit: 16 << 10, mergesErrors: true)
        let outcome = try ProcessRunner(time: time).run(specification, options: options)
        guard !outcome.isSuccess else { return }
        if outcome.timedOut {
            throw HoldfastError(
                .timedOut,
                "the command of channel '\(channel.name)' took longer than "
                    + "\(command.timeoutSeconds ?? 30) seconds and was ended")
        }
        let last = outcome.errorText.split(whereSeparator: \.isNewline).last.map { ": \($0.prefix(200))" } ?? ""
        throw HoldfastError(.system, "the command of channel '\(channel.name)' ended with \(outcome.status)\(last)")
    }
}
