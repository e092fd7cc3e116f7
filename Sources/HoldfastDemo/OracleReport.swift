import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// What a run of the oracle has found until now; written as JSON if somebody asked for it.
struct OracleReport: Encodable, Sendable {
    /// Consistent backups that were restored and judged, and live ones.
    var rounds = 0
    var live = 0
    /// Types of the environment's services.
    var services: [String] = []
    /// How many requests a second the ledger answers at most, and how many were sent: full load.
    var saturation = 0.0
    var load = 0.0
    private(set) var holdP50 = 0.0
    private(set) var holdP99 = 0.0
    private(set) var holdMax = 0.0
    /// Holds that were begun and did not come to a mark.
    private(set) var furtherTries = 0
    private(set) var requests = 0
    private(set) var requestsHeld = 0
    private(set) var dropped = 0
    private(set) var refused = 0
    var executedTwice = 0
    /// Backups in which not all places had the same events, or not those that they have to have.
    var differingSets = 0
    /// The largest of a judged ledger.
    private(set) var events = 0
    /// The most events in which the places of a live backup differed, and the longest skew of one.
    private(set) var liveDiffering = 0
    private(set) var liveSkewMax = 0.0
    var seconds = 0.0
    /// Of these, until the backups of all loads were taken; the others were for restoring and judging.
    var secondsUnderLoad = 0.0
    /// Why the run ended early.
    var failure: String?
    private var holds: [Double] = []

    enum CodingKeys: String, CodingKey {
        case rounds, live, services, requests, dropped, refused, events, seconds, failure
        case saturation = "saturation_requests_per_second"
        case load = "requests_per_second"
        case holdP50 = "hold_ms_p50"
        case holdP99 = "hold_ms_p99"
        case holdMax = "hold_ms_max"
        case furtherTries = "further_tries"
        case requestsHeld = "requests_held"
        case executedTwice = "executed_twice"
        case differingSets = "differing_sets"
        case liveDiffering = "live_differing_events_max"
        case liveSkewMax = "live_skew_ms_max"
        case secondsUnderLoad = "seconds_under_load"
    }

    mutating func add(_ load: LoadSummary) {
        requests += load.outcomes.count
        requestsHeld += load.held.count
        dropped += load.dropped.count
        refused += load.refused.count
    }

    /// A consistent backup whose sets are equal.
    mutating func add(_ hold: HoldEvidence, events count: Int) {
        rounds += 1
        holds.append(hold.heldForMilliseconds)
        holdP50 = NearestRank.value(0.5, of: holds)
        holdP99 = NearestRank.value(0.99, of: holds)
        holdMax = max(holdMax, hold.heldForMilliseconds)
        furtherTries += (hold.tries ?? 1) - 1
        events = max(events, count)
    }

    /// A live backup whose sets differ no more than they may.
    mutating func add(_ skew: LiveSkew?, differing: Int) {
        live += 1
        liveDiffering = max(liveDiffering, differing)
        liveSkewMax = max(liveSkewMax, skew?.milliseconds ?? 0)
    }

    /// Where the run stands.
    var line: String {
        let judged = Double(max(1, rounds + live))
        return "\(rounds) consistent, \(live) live: \(events) events at most, \(holdText), \(requestText); "
            + String(format: "%.1f s a round, %.1f of them under load", seconds / judged, secondsUnderLoad / judged)
    }

    var summary: [String] {
        [
            "\(rounds) consistent backups of \(services.joined(separator: ", ")) and two mounts: "
                + "\(differingSets) differing sets; \(holdText)",
            "\(live) live backups: at most \(liveDiffering) events differ, all within the recorded skew of at most "
                + String(format: "%.0f ms", liveSkewMax),
            "\(Int(load.rounded())) requests a second under full load: \(requestText); "
                + String(format: "%.1f minutes", seconds / 60),
        ]
    }

    private var holdText: String {
        String(format: "hold p50 %.0f ms, p99 %.0f ms, max %.0f ms", holdP50, holdP99, holdMax)
    }

    private var requestText: String {
        "\(requests) requests, \(requestsHeld) held, \(dropped) dropped, \(refused) refused, "
            + "\(executedTwice) executed twice"
    }
}

/// Figures for programs.
enum ReportFile {
    /// Replaces the file.
    static func write(_ figures: some Encodable, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(figures) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path))
    }
}
