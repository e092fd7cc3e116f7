import HoldfastModel
import Synchronization

/// Whether somebody wants an activity to end, and whether it still can without harm.
///
/// Legal moves: fixed -> open -> fixed; open -> requested. Only an open one can be cancelled.
package final class Cancellation: Sendable {
    private enum State {
        /// With the reason why it cannot be cancelled.
        case fixed(String)
        case open
        case requested
    }

    private let state = Mutex(State.fixed("has not come to a step that can be cancelled"))

    package init() {}

    package var isRequested: Bool { state.withLock { if case .requested = $0 { true } else { false } } }

    /// From now on it can be cancelled.
    package func open() {
        state.withLock { if case .fixed = $0 { $0 = .open } }
    }

    /// From now on it cannot be cancelled any more.
    ///
    /// - Throws: `cancelled` if somebody has asked for it before.
    package func close(because reason: String) throws {
        try state.withLock { state in
            if case .requested = state {
                throw HoldfastError(.cancelled, "it was cancelled before anything was changed")
            }
            state = .fixed(reason)
        }
    }

    /// - Throws: `conflict` with the reason if it cannot be cancelled now.
    func request(_ activity: ActivityID) throws {
        try state.withLock { state in
            if case .fixed(let reason) = state {
                throw HoldfastError(.conflict, "activity \(activity) \(reason)", hint: "Wait until it has ended")
            }
            state = .requested
        }
    }
}
