import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastCommands
import HoldfastModel
import Synchronization
import Testing

@Suite struct ProgressReporterTests {
    private final class Screen: Sendable {
        private let text = Mutex("")
        var shown: String { text.withLock { $0 } }
        func add(_ piece: String) { text.withLock { $0 += piece } }
    }

    /// A clock that a test moves.
    private final class HandClock: TimeSource {
        private let nanoseconds = Mutex<UInt64>(1)
        func now() -> Date { Date(timeIntervalSince1970: 0) }
        func monotonicNanoseconds() -> UInt64 { nanoseconds.withLock { $0 } }
        func advance(seconds: UInt64) { nanoseconds.withLock { $0 += seconds * 1_000_000_000 } }
    }

    private func activity(state: String, percent: Int) throws -> Resource<API.Activity> {
        let text = ReplyFixture.activity(state: state, result: nil)
            .replacingOccurrences(of: "\"completion_percent\":0", with: "\"completion_percent\":\(percent)")
        return try API.decoder().decode(Resource<API.Activity>.self, from: Data(text.utf8))
    }

    private func play(isLive: Bool) throws -> String {
        let (screen, clock) = (Screen(), HandClock())
        let output = Output(out: { _ in }, error: { screen.add($0) }, isLive: isLive)
        let reporter = ProgressReporter(output: output, time: clock)
        reporter.activityChanged(try activity(state: "pending", percent: 0))
        clock.advance(seconds: 10)
        reporter.activityChanged(try activity(state: "in_progress", percent: 25))
        var reader = ActivityLogReader()
        let line = #"{"_id":"1","data":{"timestamp":"2026-01-31T13:00:00Z","message":"Pre-copied\n"}}"# + "\n"
        reader.read(line.utf8).forEach(reporter.activityLogged)
        reporter.activityChanged(try activity(state: "complete", percent: 100))
        #expect(reporter.hasLogged("Pre-copied"))
        return screen.shown
    }

    @Test func `a terminal shows share, time and time left below the log, and clears them`() throws {
        #expect(
            try play(isLive: true)
                == "waiting for its turn\r\u{1B}[K25 %, 10 s, about 30 s left\r\u{1B}[KPre-copied\n")
    }

    @Test func `a pipe gets plain lines only`() throws {
        #expect(try play(isLive: false) == "Pre-copied\n")
    }
}
