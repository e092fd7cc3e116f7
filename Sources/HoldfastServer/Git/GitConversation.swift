import Foundation
import HTTPTypes
import HoldfastModel
import Hummingbird
import NIOCore
import Synchronization

/// One request and its answer, both of any length: pieces pass through as they come, and whoever is slow slows the
/// other side down. Git works until it has ended, or until nothing has moved for too long.
final class GitConversation: Sendable {
    private let exchange: any GitExchange
    private let isPush: Bool
    private let stall: Duration
    /// Keeps the place among those that run until this is gone.
    private let place: GitPlaces.Place
    private let outputLane = BlockingLane("git output")
    private let inputLane = BlockingLane("git input")
    private let progress = Mutex((steps: 0, hasStalled: false))

    /// - Parameter stall: for so long nothing may move.
    init(exchange: any GitExchange, isPush: Bool, stall: Duration, place: GitPlaces.Place) {
        self.exchange = exchange
        self.isPush = isPush
        self.stall = stall
        self.place = place
    }

    deinit { exchange.stop() }

    /// Reads the answer's head. Git gives it before it looks at the request's body; that is taken while the answer's
    /// body is written.
    func response(to body: RequestBody) async throws -> Response {
        let head = try await head()
        var fields = HTTPFields()
        for (name, value) in head.fields {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        let first = head.rest
        return Response(
            status: Status.http(head.status), headers: fields,
            body: ResponseBody { writer in try await self.converse(body, first: first, &writer) })
    }

    @concurrent private func head() async throws -> CGIHead {
        let exchange = exchange
        return try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.watch() }
                defer { group.cancelAll() }
                var head = CGIHead()
                while !head.isComplete {
                    let piece = try await read()
                    if piece.isEmpty {
                        try checkStall()
                        throw HoldfastError(.system, "git http-backend ended without an answer")
                    }
                    try head.take(piece)
                }
                return head
            }
        } onCancel: {
            exchange.stop()
        }
    }

    @concurrent private func converse(
        _ body: RequestBody, first: [UInt8], _ writer: inout any ResponseBodyWriter
    ) async throws {
        try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.feed(body) }
                group.addTask { try await self.watch() }
                defer { group.cancelAll() }
                try await pass(first, to: &writer)
                try await writer.finish(nil)
                // The rest of a body that Git did not want is taken and forgotten.
                try await group.next()
            }
        } onCancel: {
            exchange.stop()
        }
    }

    /// Passes Git's answer on.
    @concurrent private func pass(_ first: [UInt8], to writer: inout any ResponseBodyWriter) async throws {
        do {
            if !first.isEmpty { try await writer.write(ByteBuffer(bytes: first)) }
            while true {
                let piece = try await read()
                if piece.isEmpty { break }
                try await writer.write(ByteBuffer(bytes: piece))
            }
        } catch {
            // Whoever pushed is gone. What Git has accepted must be deployed all the same, so it may finish. A fetch is
            // of use to nobody, and would wait for ever for somebody who takes its answer.
            guard isPush else {
                exchange.stop()
                throw error
            }
            while !Task.isCancelled, !(try await read()).isEmpty {}
            throw error
        }
        try checkStall()
    }

    private func checkStall() throws {
        if progress.withLock({ $0.hasStalled }) { throw HoldfastError(.timedOut, "nothing moved for \(stall)") }
    }

    /// Gives Git the request's body. If that breaks off, Git sees an end in the middle, and refuses it.
    private func feed(_ body: RequestBody) async {
        let exchange = exchange
        var isWanted = true
        do {
            for try await buffer in body where buffer.readableBytes > 0 {
                moved()
                let piece = Array(buffer.readableBytesView)
                guard isWanted else { continue }
                do { try await inputLane.run { try exchange.write(piece) } } catch { isWanted = false }
            }
        } catch {
            // The client is gone; `pass` meets the same and says so.
        }
        _ = try? await inputLane.run { exchange.closeInput() }
    }

    /// Ends Git when nothing has moved for too long.
    private func watch() async throws {
        var last = progress.withLock { $0.steps }
        while true {
            try await Task.sleep(for: stall)
            let now = progress.withLock { $0.steps }
            if now == last {
                progress.withLock { $0.hasStalled = true }
                place.leave()
                exchange.stop()
                return
            }
            last = now
        }
    }

    private func read() async throws -> [UInt8] {
        let exchange = exchange
        let piece = try await outputLane.run { try exchange.read() }
        moved()
        return piece
    }

    private func moved() { progress.withLock { $0.steps += 1 } }
}

/// How many Git requests may run at once.
final class GitPlaces: Sendable {
    private let limit: Int
    private let taken = Mutex(0)

    init(limit: Int) { self.limit = limit }

    /// - Throws: `unavailable` if all are taken.
    func take() throws -> Place {
        let isFree = taken.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
        guard isFree else {
            throw HoldfastError(
                .unavailable, "\(limit) fetches and pushes run already", hint: "Try again in a moment")
        }
        return Place(places: self)
    }

    /// One of them; it is free again when this is gone, at the latest.
    final class Place: Sendable {
        private let places: GitPlaces
        private let isTaken = Mutex(true)

        fileprivate init(places: GitPlaces) { self.places = places }
        deinit { leave() }

        func leave() {
            let wasTaken = isTaken.withLock { taken in
                defer { taken = false }
                return taken
            }
            if wasTaken { places.taken.withLock { $0 -= 1 } }
        }
    }
}
