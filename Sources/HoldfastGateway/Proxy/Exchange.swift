import HoldfastModel
import Logging
import NIOCore

/// One request and its answer: through the gate, to the app, back to the client.
///
/// Legal moves: gate -> connecting -> running -> (tunnel) -> done; from anywhere to done. A request is sent at most
/// once: while nothing of it was sent another connection may be tried; from its first byte on a failure is answered
/// with 502. If nobody waits for the answer any more, because the client has gone or the time was over, the exchange
/// stays until the app has answered or has ended the connection: a drain that did not wait for it would freeze the app
/// in the middle.
final class Exchange: GateParty {
    let id: RequestID
    private(set) var key: UpstreamKey
    let request: ForwardedRequest
    let proxy: Proxy
    let gate: Gate
    /// When it came, and later when it was sent.
    private(set) var since: UInt64
    /// Nil once the client has left.
    var client: ClientConnection?
    var upstream: UpstreamConnection?
    var state = State.gate
    var response = ResponseProgress()

    private let streams: StreamPolicy
    private var body: HTTPBodyReader
    private var requestHasEnded = false
    private var headBytes = 0
    private var asksUpgrade = false
    private var isHeld = false
    private var connectUntil: UInt64 = 0
    private var retry: Scheduled<Void>?
    private var lastFromApp: UInt64 = 0
    private var leftAt: UInt64 = 0
    private var beganAt: UInt64 = 0
    /// When the connection to the app was ended by force; nil if it was not.
    private var cutAt: UInt64?
    private var appWasTold = false
    /// Only the app's own end ends it: the client has its answer, or has gone for so long that none is awaited.
    private(set) var isGivenUp = false

    /// How long an app gets to notice that nobody listens. Nanoseconds.
    private static let patience: UInt64 = 5_000_000_000

    enum State {
        case gate
        case connecting
        case running
        case tunnel
        case done
    }

    /// How much of the answer the client has got.
    struct ResponseProgress {
        var hasBegun = false
        var body = ForwardedResponse.Body.plain
        var keepsAlive = false
        var waited: UInt64?
        /// Bytes thrown away because the client has left.
        var discarded = 0
        var isStream = false
    }

    init(_ request: ForwardedRequest, route: GatewayRoute, key: UpstreamKey, client: ClientConnection, proxy: Proxy) {
        id = proxy.nextRequestID()
        self.request = request
        self.key = key
        self.client = client
        self.proxy = proxy
        streams = route.streams
        gate = proxy.gate(of: key.environment)
        since = proxy.now
        body = HTTPBodyReader(request.framing)
    }

    var takesResponse: Bool { !isHeld && (client?.isWritable ?? true) }
    /// Held, or at the gate: the client is not to blame that nothing moves.
    var isStandingStill: Bool { if case .gate = state { true } else { isHeld } }
    /// The app waits for a body that the client does not send.
    var waitsForClient: Bool {
        if case .running = state { !requestHasEnded && (upstream?.isWritable ?? false) } else { false }
    }

    func start(buffered: Int) {
        let line = RequestLine(method: request.head.method, path: request.head.path)
        headBytes = buffered - (client?.inbox.readableBytes ?? 0)
        gate.arrive(self, id, line, bytes: buffered)
    }

    // MARK: The gate

    func gatePassed(waited: UInt64?) {
        guard case .gate = state else { return }
        state = .connecting
        since = proxy.now
        if waited != nil { followRoutes() }
        response.waited = waited
        connectUntil = since + UInt64(proxy.limits.connectMilliseconds) * 1_000_000
        proxy.exchanges[id] = self
        connect(pause: .milliseconds(20))
    }

    /// The app may have moved to another port behind the closed gate.
    private func followRoutes() {
        guard let route = proxy.routes.route(host: request.host, path: request.head.path),
            route.environment == key.environment, case .upstream(let upstream) = route.kind
        else { return }
        key.upstream = upstream
    }

    func gateRefused(_ reason: GateRefusal) {
        state = .done
        // The request's body is still on its way, and will not be read.
        client?.answer(.refused(reason), to: request.head, keepsAlive: request.framing == .none)
        client = nil
    }

    func holdStream() { isHeld = true }

    func resumeStream() {
        isHeld = false
        clientSentMore()
        upstream?.resume()
    }

    func closeStream() {
        let client = client
        finish()
        upstream?.close()
        client?.closeAfterFlush()
    }

    // MARK: To the app

    private func connect(pause: TimeAmount) {
        while let resting = proxy.pool.take(key) {
            if send(on: resting) { return }
            gate.counters.retried += 1
        }
        proxy.pool.connect(key) { [self] result in
            switch result {
            case .success(let connection):
                guard case .connecting = state else { return connection.close() }
                if !send(on: connection) { again(after: pause) }
            case .failure:
                guard case .connecting = state else { return }
                again(after: pause)
            }
        }
    }

    /// Nothing was sent, so it may be tried again until the time for that is over.
    private func again(after pause: TimeAmount) {
        guard proxy.now < connectUntil, !proxy.isStopping else {
            gate.counters.badGateway += 1
            return fail(.noApp)
        }
        gate.counters.retried += 1
        retry = proxy.loop.assumeIsolated().scheduleTask(in: pause) { [weak self] in
            guard let self, case .connecting = self.state else { return }
            self.connect(pause: min(pause * 2, .milliseconds(250)))
        }
    }

    /// Sends the head on a connection; false if not a byte of it was sent.
    private func send(on connection: UpstreamConnection) -> Bool {
        guard let client else { return false }
        let forwarded = request.upstreamHead(from: proxy.origin(of: client))
        var buffer = ByteBuffer()
        buffer.write(forwarded.head)
        guard connection.begin(self, head: buffer, method: request.head.method) else { return false }
        asksUpgrade = forwarded.isUpgrade
        upstream = connection
        if case .connecting = state { state = .running }
        since = proxy.now
        lastFromApp = since
        sendBody()
        return true
    }

    /// Hands on what has come of the body, as fast as the app takes it.
    private func sendBody() {
        guard case .running = state, !requestHasEnded, let client, let upstream else { return }
        do {
            while !requestHasEnded {
                guard upstream.isWritable else { return upstream.flush() }
                switch try body.next(from: &client.inbox) {
                case .needMore:
                    upstream.flush()
                    return client.inputHasEnded ? clientLeft() : client.read()
                case .data(let data):
                    gate.received(id, isAll: false)
                    write(data, to: upstream)
                case .end(let trailers):
                    requestHasEnded = true
                    gate.received(id, isAll: true)
                    since = proxy.now
                    writeEnd(trailers, to: upstream)
                }
            }
            upstream.flush()
        } catch {
            // Half a request is with the app; without its end it is not one, and the app is told so.
            let problem = (error as? HTTPProblem) ?? HTTPProblem(400, "\(error)")
            proxy.counters.malformed += 1
            abandon(LocalAnswer(problem.status, problem.text))
        }
    }

    private func write(_ data: ByteBuffer, to upstream: UpstreamConnection) {
        if request.framing == .chunked { upstream.write(HTTPChunk.head(data.readableBytes)) }
        upstream.write(data)
        if request.framing == .chunked { upstream.write(HTTPChunk.end) }
    }

    private func writeEnd(_ trailers: HTTPFields, to upstream: UpstreamConnection) {
        if request.framing == .chunked { upstream.write(HTTPChunk.last(trailers)) }
    }

    func upstreamTakesMore() {
        if case .tunnel = state { tunnelTakesMore() } else { sendBody() }
    }

    // MARK: From the client

    func clientSentMore() {
        switch state {
        case .running: sendBody()
        case .tunnel: tunnelFromClient()
        case .gate, .connecting, .done: ()
        }
    }

    func clientTakesMore() { upstream?.resume() }

    /// The client has said its last word. For a complete request that is in order; the answer can still be read.
    func clientEndedInput() {
        switch state {
        case .gate:
            // As far as can be seen it listens: a whole request is carried out, or refused. One that has gone for good
            // resets the connection.
            guard let client else { return }
            if isWhole(client.inbox) { return gate.buffered(id, bytes: headBytes + client.inbox.readableBytes) }
            clientLeft()
            client.close()
        case .running: sendBody()
        case .tunnel: tunnelClientEnded()
        case .connecting, .done: ()
        }
    }

    /// Whether what has come holds all of the request's body.
    private func isWhole(_ inbox: ByteBuffer) -> Bool {
        var (reader, rest) = (body, inbox)
        while let piece = try? reader.next(from: &rest) {
            switch piece {
            case .data: continue
            case .end: return true
            case .needMore: return false
            }
        }
        return false
    }

    func clientStalled() { abandon(LocalAnswer(408, "the request did not come in time")) }

    func clientLeft() {
        guard let leaving = client else { return }
        client = nil
        leftAt = proxy.now
        switch state {
        case .gate:
            state = .done
            gate.leave(id)
        case .connecting: finish()
        case .running where response.isStream:
            upstream?.close()
            finish()
        case .running:
            gate.counters.clientsLeft += 1
            isHeld = false
            leaving.close()
            // The app may be at work. It ends by itself, or is told that no more of the request comes.
            if !requestHasEnded { tellApp() }
            upstream?.resume()
        case .tunnel:
            upstream?.close()
            finish()
        case .done: ()
        }
    }

    // MARK: From the app

    func received(interim head: HTTPResponseHead) {
        lastFromApp = proxy.now
        guard let client, !response.hasBegun, request.head.minorVersion >= 1 else { return }
        var buffer = ByteBuffer()
        buffer.write(ForwardedResponse.interim(head))
        client.write(buffer)
    }

    func received(_ head: HTTPResponseHead, _ framing: HTTPFraming) {
        lastFromApp = proxy.now
        let context = ForwardedResponse.Context(
            method: request.head.method, clientMinorVersion: request.head.minorVersion,
            keepsAlive: request.head.wantsKeepAlive && !proxy.isStopping, waited: response.waited)
        let forwarded = ForwardedResponse.head(of: head, framing: framing, context)
        response.hasBegun = true
        beganAt = lastFromApp
        response.body = forwarded.body
        response.keepsAlive = forwarded.keepsAlive
        if framing != .none, requestHasEnded,
            let type = head.fields.first("content-type"), type.lowercased().hasPrefix("text/event-stream")
        {
            response.isStream = true
            gate.becomeStream(id, policy: streams)
        }
        var buffer = ByteBuffer()
        buffer.write(forwarded.head)
        client?.write(buffer)
    }

    func received(_ data: ByteBuffer) {
        lastFromApp = proxy.now
        guard let client else {
            response.discarded += data.readableBytes
            return discarded()
        }
        if response.body == .chunked { client.write(HTTPChunk.head(data.readableBytes)) }
        client.write(data)
        if response.body == .chunked { client.write(HTTPChunk.end) }
    }

    /// An app that goes on sending to nobody is told so, and in the end made to notice; one that is at work is not
    /// disturbed.
    private func discarded() {
        if response.isStream {
            upstream?.close()
            finish()
        } else if response.discarded > 16 << 20 {
            cut()
        } else if lastFromApp > max(leftAt, beganAt) + Self.patience {
            tellApp()
        }
    }

    func responseEnded(_ trailers: HTTPFields) {
        guard case .running = state else { return }
        let client = client
        if response.body == .chunked { client?.write(HTTPChunk.last(trailers)) }
        let connection = upstream
        let isComplete = requestHasEnded
        finish()
        if isComplete, !appWasTold, gate.isOpen, !proxy.isStopping, let connection, connection.isReusable {
            proxy.pool.give(connection)
        } else {
            connection?.close()
        }
        // Without the rest of the request the connection is in the middle of nothing.
        client?.exchangeEnded(keepsAlive: response.keepsAlive && isComplete)
    }

    /// The connection ended; or, with a problem, what came on it is no answer.
    func upstreamFailed(_ problem: String?) {
        guard !isDone else { return }
        if case .tunnel = state { return closeStream() }
        if let problem {
            proxy.log.warning("app answers wrongly", metadata: ["problem": "\(problem)"])
            if client != nil { gate.counters.badGateway += 1 }
            tellApp()
            return abandon(.broken)
        }
        guard client != nil else { return finish() }
        gate.counters.badGateway += 1
        fail(.broken)
    }

    func flushToClient() { client?.flush() }

    // MARK: The end

    var isDone: Bool { if case .done = state { true } else { false } }

    /// Gives up an exchange that cannot go on: the client gets an answer if it has none, and may go. The app may be at
    /// work, so nothing but its own end ends the exchange; what it still says is thrown away.
    func abandon(_ answer: LocalAnswer) {
        if response.isStream {
            upstream?.close()
            return fail(answer)
        }
        let leaving = client
        client = nil
        leftAt = proxy.now
        if !requestHasEnded { tellApp() }
        giveUp()
        if let leaving { self.answer(leaving, with: answer) }
        upstream?.resume()
    }

    private func fail(_ answer: LocalAnswer) {
        let leaving = client
        finish()
        if let leaving { self.answer(leaving, with: answer) }
    }

    private func answer(_ client: ClientConnection, with answer: LocalAnswer) {
        if response.hasBegun {
            // What was promised cannot be kept; a cut connection says so, a proper end would be a lie.
            client.close()
        } else {
            let nothingLeft = requestHasEnded || request.framing == .none
            client.answer(answer, to: request.head, keepsAlive: nothingLeft)
        }
    }

    /// Lets go of everything; the app is done with the request.
    func finish() {
        guard !isDone else { return }
        let wasAtGate = if case .gate = state { true } else { false }
        state = .done
        retry?.cancel()
        client = nil
        proxy.exchanges[id] = nil
        if wasAtGate { gate.leave(id) } else { gate.end(id) }
    }

    private func giveUp() {
        guard !isGivenUp else { return }
        isGivenUp = true
        gate.giveUp(id)
    }

    /// Tells the app that no more of the request comes, and that nobody waits for the answer.
    private func tellApp() {
        guard !appWasTold else { return }
        appWasTold = true
        upstream?.endOutput()
    }

    /// Ends the connection, so that the app cannot but notice; it gets a while for that.
    func cut() {
        guard cutAt == nil, !isDone else { return }
        giveUp()
        cutAt = proxy.now
        upstream?.close()
        upstream = nil
    }

    /// Gives up what the app takes too long for. Called a few times a second.
    func sweep(at now: UInt64, _ limits: GatewayLimits) {
        if let cutAt {
            if now > cutAt + Self.patience { finish() }
            return
        }
        guard case .running = state, !isHeld, !response.isStream, !isGivenUp else { return }
        // The app got half a request, or is writing to nobody: it has had time to notice.
        if client == nil, !requestHasEnded || response.hasBegun, now > max(leftAt, beganAt) + Self.patience {
            return giveUp()
        }
        guard requestHasEnded, takesResponse else { return }
        if now > max(lastFromApp, since) + UInt64(limits.responseMilliseconds) * 1_000_000 {
            gate.counters.timedOut += 1
            abandon(.late)
        }
    }

    // MARK: Switching protocols

    /// The app agrees to another protocol: from now on bytes go to and fro as they are.
    func received(switching head: HTTPResponseHead) throws {
        guard asksUpgrade, let client else { throw HTTPProblem(502, "the app switches to what nobody asked for") }
        var buffer = ByteBuffer()
        buffer.write(ForwardedResponse.interim(head))
        client.write(buffer)
        client.flush()
        response.hasBegun = true
        state = .tunnel
        gate.becomeStream(id, policy: streams)
        tunnelFromClient()
    }

    func tunnelFromApp(_ bytes: ByteBuffer) { client?.write(bytes) }

    private func tunnelFromClient() {
        guard !isHeld, let client, let upstream else { return }
        if client.inbox.readableBytes > 0 {
            upstream.write(client.inbox)
            upstream.flush()
            client.inbox = ByteBuffer()
        }
        if client.inputHasEnded { upstream.endOutput() } else if upstream.isWritable { client.read() }
    }

    private func tunnelTakesMore() { tunnelFromClient() }
    private func tunnelClientEnded() { tunnelFromClient() }
}
