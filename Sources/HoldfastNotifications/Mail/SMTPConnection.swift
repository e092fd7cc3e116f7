import Foundation
import HoldfastModel
import NIOCore
import NIOPosix
import NIOSSL

/// One connection to a mail server: sends lines, and waits for answers.
final class SMTPConnection: Sendable {
    private let channel: any Channel
    private let handler: NIOLoopBound<SMTPHandler>
    private let host: String
    /// For one answer. RFC 5321 wants minutes; whoever is told of a failed backup should not wait for that.
    private let patience: TimeAmount

    private init(
        channel: any Channel, handler: NIOLoopBound<SMTPHandler>, host: String, patience: TimeAmount
    ) {
        self.channel = channel
        self.handler = handler
        self.host = host
        self.patience = patience
    }

    /// - Parameter tls: for TLS from the first byte; nil to begin in clear text.
    /// - Throws: `unavailable` if nobody answers there.
    static func open(
        host: String, port: Int, tls: NIOSSLContext?, patience: TimeAmount
    ) async throws -> SMTPConnection {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(patience)
        do {
            return try await bootstrap.connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = SMTPHandler(host: host)
                    if let tls { try channel.pipeline.syncOperations.addHandler(Self.client(tls, host)) }
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return SMTPConnection(
                        channel: channel, handler: NIOLoopBound(handler, eventLoop: channel.eventLoop), host: host,
                        patience: patience)
                }
            }
        } catch {
            throw HoldfastError(.unavailable, "cannot reach the mail server \(host):\(port)", cause: error)
        }
    }

    private static func client(_ tls: NIOSSLContext, _ host: String) throws -> NIOSSLClientHandler {
        // An address is no name, and is compared with the addresses of the certificate.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host)
    }

    /// The next answer, which the server gives by itself.
    func greeting() async throws -> SMTPReply { try await exchange(nil) }

    /// Sends one line and waits for its answer.
    func ask(_ line: String) async throws -> SMTPReply {
        guard !line.utf8.contains(where: { $0 == 13 || $0 == 10 || $0 == 0 }) else {
            throw HoldfastError(.internalFault, "a line of a mail conversation has more than one line")
        }
        return try await exchange("\(line)\r\n")
    }

    /// Sends the lines of a message with the full stop that ends it.
    func ask(message lines: [String]) async throws -> SMTPReply {
        let stuffed = lines.map { $0.hasPrefix(".") ? ".\($0)" : $0 }
        return try await exchange(stuffed.joined(separator: "\r\n") + "\r\n.\r\n")
    }

    /// From here on everything is encrypted. What came in clear text after the server's consent is not believed.
    func startTLS(_ tls: NIOSSLContext) async throws {
        let (channel, handler, host) = (channel, handler, host)
        try await channel.eventLoop.submit {
            try handler.value.checkSilence()
            try channel.pipeline.syncOperations.addHandler(Self.client(tls, host), position: .first)
        }.get()
    }

    func close() async { try? await channel.close().get() }

    private func exchange(_ text: String?) async throws -> SMTPReply {
        let (channel, handler, patience) = (channel, handler, patience)
        return try await channel.eventLoop.flatSubmit {
            let reply = handler.value.next(on: channel.eventLoop)
            let timer = channel.eventLoop.scheduleTask(in: patience) {
                handler.value.fail(HoldfastError(.timedOut, "the mail server did not answer in time"))
            }
            reply.whenComplete { _ in timer.cancel() }
            if let text {
                channel.writeAndFlush(ByteBuffer(string: text)).whenFailure { handler.value.fail($0) }
            }
            return reply
        }.get()
    }
}

/// On the connection's event loop alone.
private final class SMTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let host: String
    private var reader = SMTPReader()
    private var replies: [SMTPReply] = []
    private var waiting: EventLoopPromise<SMTPReply>?
    private var failure: (any Error)?

    init(host: String) { self.host = host }

    func next(on loop: any EventLoop) -> EventLoopFuture<SMTPReply> {
        if !replies.isEmpty { return loop.makeSucceededFuture(replies.removeFirst()) }
        if let failure { return loop.makeFailedFuture(failure) }
        let promise = loop.makePromise(of: SMTPReply.self)
        waiting = promise
        return promise.futureResult
    }

    /// - Throws: `damaged` if something has come that was not asked for.
    func checkSilence() throws {
        guard replies.isEmpty, !reader.isInside else {
            throw HoldfastError(.damaged, "the mail server \(host) speaks before TLS begins")
        }
    }

    func fail(_ error: any Error) {
        let known = error as? HoldfastError
        failure = failure ?? known ?? HoldfastError(.unavailable, "the mail server \(host) failed", cause: error)
        guard let promise = waiting, let failure else { return }
        waiting = nil
        promise.fail(failure)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            replies += try reader.take(unwrapInboundIn(data).readableBytesView)
            guard replies.count < 100 else {
                throw HoldfastError(.damaged, "the mail server \(host) sends answers that nobody asked for")
            }
        } catch {
            fail(error)
            return context.close(promise: nil)
        }
        guard let promise = waiting, !replies.isEmpty else { return }
        waiting = nil
        promise.succeed(replies.removeFirst())
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(HoldfastError(.unavailable, "the mail server \(host) ended the connection"))
        context.fireChannelInactive()
    }
}
