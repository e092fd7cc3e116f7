import Foundation
import HoldfastModel
import Synchronization

/// Tells watchers that an activity has something new, so that a log stream never polls the database.
///
/// A signal carries nothing: whoever gets it reads the catalogue. Signals that nobody took yet melt into one.
package final class ActivityFeed: Sendable {
    private struct State {
        var nextWatcher = 0
        var watchers: [ActivityID: [Int: AsyncStream<Void>.Continuation]] = [:]
        var isClosed = false
    }
    private let state = Mutex(State())

    package init() {}

    /// A signal for each change from now on; it ends when the feed is closed.
    ///
    /// Ask for it before reading what there is, then nothing falls between.
    package func changes(of activity: ActivityID) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let watcher: Int? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.nextWatcher += 1
            state.watchers[activity, default: [:]][state.nextWatcher] = continuation
            return state.nextWatcher
        }
        guard let watcher else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [self] _ in forget(watcher, of: activity) }
        return stream
    }

    /// Ends all streams: the control plane stops.
    package func close() {
        let watchers = state.withLock { state in
            state.isClosed = true
            defer { state.watchers = [:] }
            return state.watchers.values.flatMap(\.values)
        }
        for watcher in watchers { watcher.finish() }
    }

    /// How many streams are open.
    package var watcherCount: Int { state.withLock { $0.watchers.values.reduce(0) { $0 + $1.count } } }

    func changed(_ activity: ActivityID) {
        let watchers = state.withLock { state in state.watchers[activity].map { Array($0.values) } ?? [] }
        for watcher in watchers { watcher.yield() }
    }

    private func forget(_ watcher: Int, of activity: ActivityID) {
        state.withLock { state in
            state.watchers[activity]?[watcher] = nil
            if state.watchers[activity]?.isEmpty == true { state.watchers[activity] = nil }
        }
    }
}
