import Foundation
import HoldfastModel
import NIOCore

/// A connection to an app. It serves one exchange after another, and rests in the pool between them.
///
/// It reads only while its exchange takes what it reads, so that a slow client slows the app and fills no memory.
final class UpstreamConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let key: UpstreamKey
    /// The request that it works for; nil while it rests.
    private(set) var owner: Exchange?
    private weak var pool: UpstreamPool?
    private var context: ChannelHandlerContext?
    private var phase = Phase.resting
    private var inbox = ByteBuffer()
    private var parser = HTTPHeadParser(limits: .response)
    private var isReading = false
    private var isPumping = false
    private var isSendingHead = false
    private var hasEnded = false
    private var mayBeKept = false

    private enum Phase {
        case resting
        case head(method: String)
        case body(HTTPBodyReader)
        case tunnel
        /// What came is no answer: what still comes is thrown away until the app ends the connection.
        case senseless
        case closed
    }

    init(key: UpstreamKey, pool: UpstreamPool) {
        self.key = key
        self.pool = pool
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Whether it can take a request: open, nothing unread, and the other side has not begun to close it.
    var isUsable: Bool {
        guard let context, !hasEnded, inbox.readableBytes == 0, context.channel.isActive else { return false }
        guard case .tcp = key.upstream, let provider = context.channel as? any SocketOptionProvider else { return true }
        // The end may have come and wait to be read; the kernel knows. On the loop the answer is there at once.
        var isEstablished = true
        provider.getTCPInfo().assumeIsolated().whenSuccess { isEstablished = $0.tcpi_state == 1 }
        return isEstablished
    }

    /// Whether it can serve another request after the response that just ended.
    var isReusable: Bool { mayBeKept && isUsable }

    // MARK: Sending

    /// Sends the head of a request.
    ///
    /// - Returns: false if not a byte of it was sent; then this connection is of no use any more.
    func begin(_ exchange: Exchange, head: ByteBuffer, method: String) -> Bool {
        guard let context, !hasEnded else { return false }
        owner = exchange
        phase = .head(method: method)
        mayBeKept = false
        var hasFailed = false
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenFailure { _ in hasFailed = true }
        isSendingHead = true
        context.writeAndFlush(wrapOutboundOut(head), promise: promise)
        isSendingHead = false
        if hasFailed {
            owner = nil
            close()
            return false
        }
        if hasEnded { pump() } else { read() }
        return true
    }

    func write(_ buffer: ByteBuffer) { context?.write(wrapOutboundOut(buffer), promise: nil) }
    func flush() { context?.flush() }

    /// Tells the app that no more comes.
    func endOutput() { context?.channel.close(mode: .output, promise: nil) }

    func close() {
        owner = nil
        phase = .closed
        context?.close(promise: nil)
    }

    /// The exchange is over; the connection may rest.
    func rest() {
        owner = nil
        phase = .resting
        inbox = ByteBuffer()
        // A resting connection reads too: that is how it hears that the app closes it.
        read()
    }

    /// The exchange takes more.
    func resume() { pump() }

    // MARK: Receiving

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if inbox.readableBytes == 0 { inbox = bytes } else { inbox.writeBuffer(&bytes) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        if case .resting = phase {
            // Nothing was asked: what comes belongs to no request.
            if inbox.readableBytes > 0 { context.close(promise: nil) } else { read() }
        } else {
            pump()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        pool?.ended(self)
        if !isSendingHead { pump() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { owner?.upstreamTakesMore() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Hands on what has come, as long as it is taken; then reads on.
    private func pump() {
        guard !isPumping else { return }
        isPumping = true
        var wantsMore = false
        while let owner, owner.takesResponse, !wantsMore {
            do {
                wantsMore = try !step(for: owner)
            } catch {
                wantsMore = false
                inbox = ByteBuffer()
                phase = .senseless
                owner.upstreamFailed((error as? HTTPProblem)?.text ?? "\(error)")
            }
        }
        isPumping = false
        owner?.flushToClient()
        guard wantsMore, let owner else { return }
        if !hasEnded { return read() }
        if case .body(let reader) = phase, reader.endsWithConnection {
            phase = .resting
            owner.responseEnded(HTTPFields())
        } else {
            close()
            owner.upstreamFailed(nil)
        }
    }

    /// Hands on one part; false if there is none yet.
    private func step(for owner: Exchange) throws -> Bool {
        switch phase {
        case .resting, .closed: return false
        case .tunnel:
            guard inbox.readableBytes > 0 else { return false }
            let bytes = inbox
            inbox = ByteBuffer()
            owner.tunnelFromApp(bytes)
        case .senseless:
            guard inbox.readableBytes > 0 else { return false }
            let bytes = inbox
            inbox = ByteBuffer()
            owner.received(bytes)
        case .head(let method):
            guard let head = try parser.response(from: &inbox) else { return false }
            if head.isInformational {
                owner.received(interim: head)
            } else if head.status == 101 {
                phase = .tunnel
                try owner.received(switching: head)
            } else {
                let framing = try HTTPFraming.of(head, method: method)
                mayBeKept = head.wantsKeepAlive && framing != .untilClose
                phase = .body(HTTPBodyReader(framing))
                owner.received(head, framing)
            }
        case .body(var reader):
            let piece = try reader.next(from: &inbox)
            phase = .body(reader)
            switch piece {
            case .needMore: return false
            case .data(let data): owner.received(data)
            case .end(let trailers):
                phase = .resting
                owner.flushToClient()
                owner.responseEnded(trailers)
            }
        }
        return true
    }

    private func read() {
        guard !isReading, !hasEnded, let context else { return }
        isReading = true
        context.read()
    }
}
