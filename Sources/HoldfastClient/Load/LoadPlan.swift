import Foundation
import HoldfastModel

/// A bounded load: what is sent, where to, how fast and for how long.
package struct LoadPlan: Sendable {
    /// Full URL that is posted to, such as `http://127.0.0.1:8080/events`.
    package var url: String
    /// The `Host` header: which environment the gateway should think of; nil for the URL's own.
    package var host: String?
    /// Keep-alive connections, each with one request at a time.
    package var connections = 8
    /// All connections together; no burst to catch up after a hold.
    package var requestsPerSecond = 50.0
    /// Ends after so many requests; nil for no such bound.
    package var count: Int?
    /// Ends after that time; no new request is sent later.
    package var duration: Duration = .seconds(60)
    /// For one answer; longer than the longest hold.
    package var timeout: Duration = .seconds(30)
    /// Header that carries the request's unique id.
    package var idHeader = "X-Event-Id"
    /// Put in front of each id; letters, digits and dashes.
    package var idPrefix = "load"

    package init(url: String, host: String? = nil) {
        self.url = url
        self.host = host
    }

    /// - Throws: `invalidInput` naming the bound that makes no sense.
    func validate() throws {
        guard (1...1024).contains(connections) else {
            throw HoldfastError(.invalidInput, "\(connections) connections are not possible", hint: "Use 1 to 1024")
        }
        guard requestsPerSecond > 0, requestsPerSecond <= 100_000 else {
            throw HoldfastError(
                .invalidInput, "a rate of \(requestsPerSecond) requests a second is not possible",
                hint: "Use more than 0 and at most 100000")
        }
        guard count.map({ $0 > 0 }) ?? true, duration > .zero else {
            throw HoldfastError(.invalidInput, "the load has no end", hint: "Give a count or a time above 0")
        }
    }
}

/// What became of one request.
package struct LoadOutcome: Sendable, Hashable, Codable {
    /// The unique id that it carried.
    package var id: String
    /// Wall clock when it was sent.
    package var sentAt: Date
    /// Wall clock when the whole answer was there, or the failure.
    package var endedAt: Date
    /// HTTP status; nil if there was no whole answer.
    package var status: Int?
    package var latencyMilliseconds: Double
    /// Why there is no answer.
    package var failure: String?
    /// The gateway said that it held this request.
    package var wasHeld: Bool
    /// How long it was held, as the gateway says.
    package var heldMilliseconds: Double?

    package init(id: String, sentAt: Date, endedAt: Date, latencyMilliseconds: Double) {
        self.id = id
        self.sentAt = sentAt
        self.endedAt = endedAt
        self.latencyMilliseconds = latencyMilliseconds
        wasHeld = false
    }

    package var isAccepted: Bool { status.map { (200..<300).contains($0) } ?? false }
    /// Refused before it reached the app: 503 is the gateway's answer over its limits.
    package var isRefused: Bool { status == 503 }
}

/// All outcomes of a load, and the sets that an oracle compares with the app's data.
package struct LoadSummary: Sendable {
    package let outcomes: [LoadOutcome]

    package init(outcomes: [LoadOutcome]) {
        self.outcomes = outcomes.sorted { $0.sentAt < $1.sentAt }
    }

    /// Ids of all requests that got a 2xx: the app has them, exactly once.
    package var accepted: Set<String> { ids { $0.isAccepted } }

    /// Ids whose 2xx was there before that moment: every one of them must be in a backup marked later.
    package func accepted(before moment: Date) -> Set<String> {
        ids { $0.isAccepted && $0.endedAt < moment }
    }

    /// Ids of requests that were sent after that moment: none of them may be in a backup marked before it.
    package func sent(after moment: Date) -> Set<String> { ids { $0.sentAt > moment } }

    /// Ids of requests that were refused before they reached the app; none of them may be in its data.
    package var refused: Set<String> { ids { $0.isRefused } }

    /// Requests without a 2xx and without a refusal: what a hold must never cause.
    package var dropped: [LoadOutcome] { outcomes.filter { !$0.isAccepted && !$0.isRefused } }

    package var held: [LoadOutcome] { outcomes.filter(\.wasHeld) }

    package var longestMilliseconds: Double { outcomes.map(\.latencyMilliseconds).max() ?? 0 }

    /// The latency that this share of the answered requests did not pass; 0 without any.
    package func latencyMilliseconds(share: Double) -> Double {
        NearestRank.value(share, of: outcomes.filter { $0.status != nil }.map(\.latencyMilliseconds))
    }

    private func ids(where isIn: (LoadOutcome) -> Bool) -> Set<String> {
        Set(outcomes.lazy.filter(isIn).map(\.id))
    }
}

/// Percentiles.
package enum NearestRank {
    /// The smallest value that this share of all did not pass; 0 without any.
    package static func value(_ share: Double, of values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1))]
    }
}
