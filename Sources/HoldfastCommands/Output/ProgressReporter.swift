import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import Synchronization

/// Shows activities while they run, on standard error: their log line by line, and on a terminal a live line below it
/// with the share that is done, the time that passed and the time that is left.
package final class ProgressReporter: ActivityObserver {
    private struct State {
        var logged: [String] = []
        var hasLiveLine = false
        var startedAt: UInt64?
    }

    private let output: Output
    private let time: any TimeSource
    private let showsTimes: DateFormat?
    private let state = Mutex(State())

    /// - Parameter showsTimes: puts each line's time in front of it.
    package init(output: Output, time: any TimeSource, showsTimes: DateFormat? = nil) {
        self.output = output
        self.time = time
        self.showsTimes = showsTimes
    }

    /// Whether the log had a line that contains this text.
    package func hasLogged(_ text: String) -> Bool {
        state.withLock { $0.logged.contains { $0.contains(text) } }
    }

    package func activityLogged(_ message: LogMessage) {
        var text = message.text
        if let showsTimes { text = "[\(message.at.map(showsTimes.text) ?? "")] \(text)" }
        state.withLock { state in
            state.logged.append(message.text)
            clear(&state)
            output.errorPart(text)
        }
    }

    package func activityChanged(_ activity: Resource<API.Activity>) {
        guard output.isLive else { return }
        let now = time.monotonicNanoseconds()
        state.withLock { state in
            let start = state.startedAt ?? now
            state.startedAt = start
            clear(&state)
            guard !activity.value.isFinished else { return }
            state.hasLiveLine = true
            output.errorPart(Self.liveLine(activity.value, elapsed: Double(now - start) / 1e6))
        }
    }

    private func clear(_ state: inout State) {
        guard state.hasLiveLine else { return }
        output.errorPart("\r\u{1B}[K")
        state.hasLiveLine = false
    }

    /// - Parameter elapsed: milliseconds.
    static func liveLine(_ activity: API.Activity, elapsed: Double) -> String {
        let percent = max(0, min(100, activity.completionPercent))
        var line = activity.state == "pending" ? "waiting for its turn" : "\(percent) %"
        if elapsed >= 1000 { line += ", \(Amount.seconds(elapsed / 1000))" }
        if percent >= 5, percent < 100, elapsed >= 3000 {
            let rest = elapsed * Double(100 - percent) / Double(percent)
            line += ", about \(Amount.seconds(rest / 1000)) left"
        }
        return line
    }
}

extension Session {
    /// Shows activities until they are over.
    ///
    /// - Returns: them in their final state, and who showed them.
    package func wait(for started: Started) async throws -> (finals: [Resource<API.Activity>], ProgressReporter) {
        let reporter = ProgressReporter(output: output, time: surroundings.time)
        return (try await client.wait(for: started.activities, observer: reporter), reporter)
    }

    /// Waits for the activities, unless the options say not to, and fails if one of them failed.
    ///
    /// - Returns: nil if it did not wait.
    /// - Throws: status 1 with the reason if an activity failed or was cancelled.
    @discardableResult
    package func finish(_ started: Started, _ options: WaitOptions) async throws -> ProgressReporter? {
        if options.noWait {
            for activity in started.activities {
                output.error("Activity \(activity.value.id): \(activity.value.text)")
            }
            return nil
        }
        let (finals, reporter) = try await wait(for: started)
        for activity in finals where activity.value.result != "success" {
            let value = activity.value
            let reason = value.failure ?? (value.state == "cancelled" ? "it was cancelled" : "it gave no reason")
            throw CommandFailure(
                .failure,
                HoldfastError(
                    .internalFault, "activity '\(value.id)' (\(value.type)) failed: \(reason)",
                    hint: "See its log with `holdfast activity:log \(value.id) -p \(value.project)`"))
        }
        return reporter
    }
}
