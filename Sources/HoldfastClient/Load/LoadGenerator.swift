import AsyncHTTPClient
import Foundation
import HoldfastModel
import NIOCore
import NIOHTTP1
import Synchronization

/// Sends a bounded load of real requests and remembers what became of each.
///
/// Every connection sends its next request when the last one is answered and the rate allows it. Requests that are
/// held make the load slower, they are never sent twice: nothing is ever tried again.
package final class LoadGenerator: Sendable {
    private struct State {
        var outcomes: [LoadOutcome] = []
        var sent = 0
        var isStopped = false
        /// Monotonic time of the next free slot.
        var nextSlot: UInt64 = 0
    }

    private let plan: LoadPlan
    private let time: any TimeSource
    private let state = Mutex(State())

    /// - Throws: `invalidInput` if the plan has no end or no sense.
    package init(_ plan: LoadPlan, time: any TimeSource) throws {
        try plan.validate()
        self.plan = plan
        self.time = time
    }

    /// What is known now; may be asked for while it runs.
    package var summary: LoadSummary { LoadSummary(outcomes: state.withLock { $0.outcomes }) }

    /// How many requests were answered or failed until now.
    package var finishedCount: Int { state.withLock { $0.outcomes.count } }

    /// No new request is sent; those on their way are still waited for.
    package func stop() { state.withLock { $0.isStopped = true } }

    /// Runs the load to its end, or until `stop` or cancellation.
    package func run() async throws -> LoadSummary {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: TimeAmount(plan.timeout), read: TimeAmount(plan.timeout))
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = plan.connections
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        let start = time.monotonicNanoseconds()
        let end = start + plan.duration.nanoseconds
        state.withLock { $0.nextSlot = start }
        try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<plan.connections {
                    group.addTask(operation: { [self] in await work(until: end, over: http) })
                }
            }
        }
        return summary
    }

    /// One connection's loop.
    private func work(until end: UInt64, over http: HTTPClient) async {
        while let (number, slot) = claim(until: end) {
            let now = time.monotonicNanoseconds()
            if slot > now {
                guard (try? await Task.sleep(nanoseconds: slot - now)) != nil else { return }
            }
            if state.withLock({ $0.isStopped }) { return }
            let outcome = await send(number, over: http)
            state.withLock { $0.outcomes.append(outcome) }
        }
    }

    /// The number of the next request and when it may be sent; nil when the load is over.
    private func claim(until end: UInt64) -> (number: Int, slot: UInt64)? {
        let now = time.monotonicNanoseconds()
        let interval = UInt64(1_000_000_000 / plan.requestsPerSecond)
        return state.withLock { state in
            let slot = max(state.nextSlot, now)
            guard !state.isStopped, !Task.isCancelled, slot < end, state.sent < plan.count ?? .max else { return nil }
            state.nextSlot = slot + interval
            state.sent += 1
            return (state.sent, slot)
        }
    }

    private func send(_ number: Int, over http: HTTPClient) async -> LoadOutcome {
        let id = "\(plan.idPrefix)-\(number)"
        var request = HTTPClientRequest(url: plan.url)
        request.method = .POST
        if let host = plan.host { request.headers.add(name: "Host", value: host) }
        request.headers.add(name: plan.idHeader, value: id)
        request.headers.add(name: "Content-Type", value: "text/plain")
        request.body = .bytes(ByteBuffer(string: "event \(id)"))
        let sentAt = time.now()
        let start = time.monotonicNanoseconds()
        var status: Int?
        var failure: String?
        var timing = ""
        do {
            let response = try await http.execute(request, timeout: TimeAmount(plan.timeout))
            _ = try await response.body.collect(upTo: 1 << 20)
            status = Int(response.status.code)
            timing = response.headers["Server-Timing"].joined(separator: ",")
        } catch {
            failure = String(describing: error)
        }
        let latency = Double(time.monotonicNanoseconds() - start) / 1e6
        var outcome = LoadOutcome(id: id, sentAt: sentAt, endedAt: time.now(), latencyMilliseconds: latency)
        outcome.status = status
        outcome.failure = failure
        outcome.heldMilliseconds = ServerTiming.hold(in: timing)
        outcome.wasHeld = ServerTiming.names(timing).contains("hold")
        return outcome
    }
}

/// Reads the `Server-Timing` header (W3C): `name;dur=1.5;desc="x", other`.
package enum ServerTiming {
    /// Names of the metrics in it.
    package static func names(_ header: String) -> Set<String> {
        Set(entries(header).map { $0.first ?? "" })
    }

    /// Milliseconds of the metric `hold`; nil if it is not there or has no duration.
    package static func hold(in header: String) -> Double? {
        guard let entry = entries(header).first(where: { $0.first == "hold" }) else { return nil }
        return entry.dropFirst().lazy.compactMap { parameter in
            parameter.hasPrefix("dur=") ? Double(parameter.dropFirst(4)) : nil
        }.first
    }

    private static func entries(_ header: String) -> [[String]] {
        header.split(separator: ",").map { entry in
            entry.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }
}

extension Duration {
    /// Whole nanoseconds; 0 for negative ones.
    var nanoseconds: UInt64 {
        UInt64(max(0, components.seconds)) * 1_000_000_000
            + UInt64(max(0, components.attoseconds / 1_000_000_000))
    }
}
