import HoldfastModel
import NIOCore

/// A connection from a client: takes one request after another off it, and writes the answers in the same order.
///
/// It reads only when somebody wants what it would read: the next head, or the body of a request that is being sent
/// on. While a request is parked nothing is read, so what a client has sent beyond it waits in the kernel.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What was read and not yet used.
    var inbox = ByteBuffer()
    /// The client will send no more.
    private(set) var inputHasEnded = false
    private(set) var lastRead: UInt64 = 0

    private let proxy: Proxy
    private var context: ChannelHandlerContext?
    private var phase = Phase.idle
    private var parser: HTTPHeadParser
    private var isReading = false
    private var isProcessing = false
    private var lastProgress: UInt64
    private var requestsTaken = 0
    private var outputIsShut = false

    private enum Phase {
        /// The next thing is a request's head.
        case idle
        /// A request is at the gate, or with the app.
        case exchange(Exchange)
        /// All is said; what still comes is thrown away until the client closes, so that it can read the answer.
        case lingering
        case closed
    }

    init(proxy: Proxy) {
        self.proxy = proxy
        parser = HTTPHeadParser(limits: proxy.headLimits)
        lastProgress = proxy.now
        lastRead = proxy.now
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }
    var isIdle: Bool { if case .idle = phase { inbox.readableBytes == 0 } else { false } }
    var address: String { context?.remoteAddress?.ipAddress ?? "127.0.0.1" }

    // MARK: What an exchange uses

    func write(_ buffer: ByteBuffer) { context?.write(wrapOutboundOut(buffer), promise: nil) }
    func flush() { context?.flush() }

    func read() {
        guard !isReading, !inputHasEnded, let context else { return }
        isReading = true
        context.read()
    }

    func close() { context?.close(promise: nil) }

    func closeAfterFlush() {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { [weak self] _ in
            self?.close()
        }
    }

    /// The answer to the current request is written.
    func exchangeEnded(keepsAlive: Bool) {
        lastProgress = proxy.now
        flush()
        if keepsAlive, !inputHasEnded || inbox.readableBytes > 0, !proxy.isStopping {
            phase = .idle
            process()
        } else {
            linger()
        }
    }

    /// Answers the current request itself.
    func answer(_ answer: LocalAnswer, to head: HTTPRequestHead?, keepsAlive: Bool) {
        let mayGoOn = keepsAlive && !proxy.isStopping && (head?.wantsKeepAlive ?? false)
        write(answer.encoded(for: head, keepsAlive: mayGoOn))
        exchangeEnded(keepsAlive: mayGoOn)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        proxy.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        proxy.remove(self)
    }

    func channelActive(context: ChannelHandlerContext) {
        if proxy.hasTooManyClients {
            proxy.counters.connectionsRefused += 1
            context.close(promise: nil)
        } else {
            read()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        lastRead = proxy.now
        if case .lingering = phase { return }
        if case .idle = phase, inbox.readableBytes == 0 { lastProgress = lastRead }
        if inbox.readableBytes == 0 { inbox = bytes } else { inbox.writeBuffer(&bytes) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        switch phase {
        case .idle: process()
        case .exchange(let exchange): exchange.clientSentMore()
        case .lingering: read()
        case .closed: ()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        inputHasEnded = true
        switch phase {
        // A request may have come together with the end.
        case .idle: process()
        case .lingering: if outputIsShut { context.close(promise: nil) }
        case .exchange(let exchange): exchange.clientEndedInput()
        case .closed: ()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        lastProgress = proxy.now
        guard context.channel.isWritable else { return }
        if case .exchange(let exchange) = phase { exchange.clientTakesMore() } else { process() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        let last = phase
        phase = .closed
        if case .exchange(let exchange) = last { exchange.clientLeft() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Requests

    /// Takes requests off the inbox, one after the other, as long as each is answered at once.
    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        defer { isProcessing = false }
        while case .idle = phase, isWritable {
            do {
                let before = inbox.readableBytes
                guard let head = try parser.request(from: &inbox) else { break }
                requestsTaken += 1
                begin(head, bytes: before)
            } catch {
                refuse((error as? HTTPProblem) ?? HTTPProblem(400, "\(error)"), head: nil)
            }
        }
        guard case .idle = phase, isWritable else { return }
        if inputHasEnded { linger() } else { read() }
    }

    /// - Parameter bytes: of the request that are in memory, head and all.
    private func begin(_ head: HTTPRequestHead, bytes: Int) {
        do {
            let request = try ForwardedRequest(head)
            let hasBody = request.framing != .none
            guard let route = proxy.routes.route(host: request.host, path: request.head.path) else {
                proxy.counters.unknownHost += 1
                return answer(.unknownHost(request.host), to: head, keepsAlive: !hasBody)
            }
            switch route.kind {
            case .redirect(let target):
                proxy.counters.redirected += 1
                answer(.redirect(to: target, request.head.target), to: head, keepsAlive: !hasBody)
            case .upstream(let upstream):
                let key = UpstreamKey(environment: route.environment, upstream: upstream)
                let exchange = Exchange(request, route: route, key: key, client: self, proxy: proxy)
                phase = .exchange(exchange)
                exchange.start(buffered: bytes)
                if inputHasEnded { exchange.clientEndedInput() }
            }
        } catch {
            refuse((error as? HTTPProblem) ?? HTTPProblem(400, "\(error)"), head: head)
        }
    }

    private func refuse(_ problem: HTTPProblem, head: HTTPRequestHead?) {
        proxy.counters.malformed += 1
        answer(LocalAnswer(problem.status, problem.text), to: head, keepsAlive: false)
    }

    private func linger() {
        phase = .lingering
        lastProgress = proxy.now
        inbox = ByteBuffer()
        guard let context, !inputHasEnded else { return closeAfterFlush() }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [weak self] _ in
            guard let self else { return }
            self.outputIsShut = true
            self.lastProgress = self.proxy.now
            if self.inputHasEnded { self.close() }
        }
        context.close(mode: .output, promise: promise)
        read()
    }

    // MARK: Time

    /// Ends what takes too long. Called a few times a second.
    func sweep(at now: UInt64, _ limits: GatewayLimits) {
        let stall = UInt64(limits.stallMilliseconds) * 1_000_000
        switch phase {
        case .idle where inbox.readableBytes > 0:
            if now > lastProgress + UInt64(limits.headMilliseconds) * 1_000_000 {
                refuse(HTTPProblem(408, "the request did not come in time"), head: nil)
            }
        case .idle:
            // A connection that never sent a byte gets no longer than a head may take.
            let most = requestsTaken == 0 ? limits.headMilliseconds : limits.idleMilliseconds
            if now > lastProgress + UInt64(most) * 1_000_000 { close() }
        case .exchange(let exchange):
            if exchange.isStandingStill { lastProgress = now }
            if !isWritable, now > lastProgress + stall { return close() }
            if exchange.waitsForClient, now > max(lastRead, exchange.since) + stall { exchange.clientStalled() }
        case .lingering:
            if now > lastProgress + (outputIsShut ? 2_000_000_000 : stall) { close() }
        case .closed: ()
        }
    }
}
