import Foundation
import HoldfastCommands
import HoldfastModel
import HoldfastRepository
import Synchronization

/// Works out rate and remaining time from readings of a meter.
package struct RateEstimate: Sendable {
    /// The rate is that of the last so many seconds.
    private static let windowNanoseconds: UInt64 = 20_000_000_000

    private var samples: [(at: UInt64, bytes: Int64)] = []

    package init() {}

    /// - Parameter at: monotonic nanoseconds.
    package mutating func add(_ bytes: Int64, at: UInt64) {
        samples.append((at, bytes))
        while samples.count > 2, samples[1].at + Self.windowNanoseconds <= at { samples.removeFirst() }
    }

    /// Bytes per second; nil as long as less than a second was seen.
    package var rate: Double? {
        guard let first = samples.first, let last = samples.last, last.at >= first.at + 1_000_000_000 else {
            return nil
        }
        return Double(last.bytes - first.bytes) / (Double(last.at - first.at) / 1e9)
    }

    /// What a reading looks like to people: share, counts, rate, time that is left.
    package func text(_ label: String, _ reading: ProgressMeter.Reading) -> String {
        var parts: [String] = []
        if let total = reading.totalBytes, total > 0 {
            let percent = min(100, Double(reading.bytes) * 100 / Double(total))
            parts.append("\(String(format: "%.1f", percent)) %")
            parts.append("\(Amount.bytes(reading.bytes)) of \(Amount.bytes(total))")
        } else {
            parts.append(Amount.bytes(reading.bytes))
        }
        if let total = reading.totalItems { parts.append("\(reading.items) of \(Amount.count(total, "file"))") }
        if let rate, rate >= 1 {
            parts.append("\(Amount.bytes(Int64(rate)))/s")
            if let total = reading.totalBytes, total > reading.bytes {
                parts.append("about \(Amount.seconds(Double(total - reading.bytes) / rate)) left")
            }
        }
        return "\(label): " + parts.joined(separator: ", ")
    }
}

/// Shows a meter on standard error twice a second: one live line on a terminal, else a line every ten seconds.
package final class ProgressLine: Sendable {
    private struct State {
        var estimate = RateEstimate()
        var shown = 0
        var isStopped = false
    }

    private let label: String
    private let meter: ProgressMeter
    private let output: Output
    private let time: any TimeSource
    private let state = Mutex(State())
    private let condition = NSCondition()

    package init(_ label: String, _ meter: ProgressMeter, output: Output, time: any TimeSource) {
        self.label = label
        self.meter = meter
        self.output = output
        self.time = time
    }

    package func start() {
        tick()
        let thread = Thread { [self] in
            let interval = output.isLive ? 0.5 : 10
            condition.lock()
            defer { condition.unlock() }
            while !state.withLock({ $0.isStopped }) {
                _ = condition.wait(until: time.now().addingTimeInterval(interval))
                tick()
            }
        }
        thread.name = "holdfast-progress"
        thread.start()
    }

    /// Takes a reading, and shows it.
    package func tick() {
        let reading = meter.reading
        let now = time.monotonicNanoseconds()
        state.withLock { state in
            guard !state.isStopped else { return }
            state.estimate.add(reading.bytes, at: now)
            let text = state.estimate.text(label, reading)
            output.errorPart(output.isLive ? "\r\u{1B}[K" + text : text + "\n")
            state.shown += 1
        }
    }

    /// Removes the live line; nothing is shown afterwards.
    package func stop() {
        state.withLock { state in
            if output.isLive && state.shown > 0 && !state.isStopped { output.errorPart("\r\u{1B}[K") }
            state.isStopped = true
        }
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }
}
