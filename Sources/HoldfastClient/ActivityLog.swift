import AsyncHTTPClient
import Foundation
import HoldfastAPI
import HoldfastModel
import NIOCore
import NIOHTTP1

/// One line of an activity's log as it is shown.
package struct LogMessage: Sendable, Hashable {
    package let id: String
    package let at: Date?
    /// With its newline.
    package let text: String
}

/// Cuts a log's bytes into lines, drops lines that were seen before, and sees the seal.
///
/// The wire: one JSON object a line, `{"_id":…,"data":{"timestamp":…,"message":…}}`; a line with a truthy `seal` is
/// the last one. A connection may end anywhere; the next one starts from the first line again.
package struct ActivityLogReader: Sendable {
    private var rest: [UInt8] = []
    private var seen: Set<String> = []
    package private(set) var isSealed = false

    package init() {}

    private struct Line: Decodable {
        struct Content: Decodable {
            var timestamp: String?
            var message: String?
        }
        var entryId: String?
        var data: Content?
        var seal: JSONValue?
    }

    /// A new connection begins: what the last one left of a line is void.
    package mutating func restart() { rest = [] }

    /// - Returns: the new messages that are whole by now, in order.
    package mutating func read(_ bytes: some Sequence<UInt8>) -> [LogMessage] {
        rest.append(contentsOf: bytes)
        var messages: [LogMessage] = []
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            if let message = message(in: rest[start..<end]) { messages.append(message) }
            start = end + 1
        }
        rest.removeSubrange(..<start)
        return messages
    }

    /// The connection ended: a last line without newline counts if it is whole.
    package mutating func finish() -> [LogMessage] {
        guard !rest.isEmpty else { return [] }
        return read([UInt8(ascii: "\n")])
    }

    private mutating func message(in bytes: ArraySlice<UInt8>) -> LogMessage? {
        guard let line = try? API.decoder().decode(Line.self, from: Data(bytes)) else { return nil }
        switch line.seal {
        case .bool(true)?: isSealed = true
        case .integer(let number)? where number != 0: isSealed = true
        default: break
        }
        guard let text = line.data?.message, !text.isEmpty else { return nil }
        let id = line.entryId ?? "\(line.data?.timestamp ?? "")\(text)"
        guard seen.insert(id).inserted else { return nil }
        return LogMessage(id: id, at: line.data?.timestamp.flatMap(Timestamp.parse), text: text)
    }
}

extension APIClient {
    /// Gives each message of an activity's log to `show` once, as it comes, until the seal.
    ///
    /// A connection that ends, breaks or stays silent is made again; lines that were shown are not shown again. A
    /// server that does not seal the log of an activity that is over is not waited for.
    ///
    /// - Throws: `unavailable` if the log cannot be read for `Limits.lostLog`; any other refusal at once.
    package func followLog(
        of activity: Resource<API.Activity>, show: (LogMessage) -> Void
    ) async throws {
        let target = try String(activity.link("log").prefix { $0 != "?" })
        var reader = ActivityLogReader()
        var lastSuccess = time.monotonicNanoseconds()
        var wasOver = false
        while true {
            do {
                try await readLog(target, into: &reader, show: show)
                lastSuccess = time.monotonicNanoseconds()
                if reader.isSealed || wasOver { return }
                wasOver = try await refreshed(activity).value.isFinished
            } catch let error as HoldfastError where error.isTemporary {
                let waited = time.monotonicNanoseconds() - lastSuccess
                if Double(waited) / 1e9 > limits.lostLog.seconds { throw error }
            }
            try await pause(limits.pause)
        }
    }

    /// One connection's worth of a log.
    private func readLog(
        _ target: String, into reader: inout ActivityLogReader, show: (LogMessage) -> Void
    ) async throws {
        reader.restart()
        let token = try await tokens.current()
        var response = try await openLog(target, token: token)
        if response.status == .unauthorized {
            response = try await openLog(target, token: tokens.renewed(after: token))
        }
        guard response.status == .ok else {
            let body = try? await response.body.collect(upTo: 1 << 20)
            let data = body.map { Data($0.readableBytesView) } ?? Data()
            throw answerError(status: Int(response.status.code), body: data)
        }
        do {
            for try await piece in response.body {
                reader.read(piece.readableBytesView).forEach(show)
                if reader.isSealed { return }
            }
            reader.finish().forEach(show)
        } catch {
            let failure = transportError(error, server: server)
            // A log that is silent for long is no failure: the activity has nothing to say.
            if failure.code == .timedOut { return }
            throw failure
        }
    }

    private func openLog(_ target: String, token: Secret) async throws -> HTTPClientResponse {
        do {
            return try await http.execute(
                Call("GET", target).request(to: server, token: token), timeout: TimeAmount(limits.request))
        } catch {
            throw transportError(error, server: server)
        }
    }

    func pause(_ duration: Duration) async throws {
        do {
            try await Task.sleep(for: duration)
        } catch {
            throw HoldfastError(.cancelled, "waiting for the server was cancelled", cause: error)
        }
    }
}

extension Duration {
    /// Seconds with their fraction.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
