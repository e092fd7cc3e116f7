import Foundation
import HoldfastAPI
import HoldfastModel

/// What somebody who waits for activities gets to see.
package protocol ActivityObserver: AnyObject, Sendable {
    /// One line of the log, once.
    func activityLogged(_ message: LogMessage)
    /// The activity as it is now; called about once a second while it is open.
    func activityChanged(_ activity: Resource<API.Activity>)
}

extension APIClient {
    /// Waits until an activity is complete or cancelled, and shows its log meanwhile.
    ///
    /// - Returns: the activity in its final state.
    /// - Throws: `unavailable` if the server stays away, `timedOut` if the log is sealed and the activity stays open.
    package func wait(
        for activity: Resource<API.Activity>, observer: any ActivityObserver
    ) async throws -> Resource<API.Activity> {
        // Cancelled and awaited when this function returns.
        async let _: Void = watch(activity, observer: observer)
        try await followLog(of: activity) { observer.activityLogged($0) }
        let final = try await end(of: activity)
        observer.activityChanged(final)
        return final
    }

    /// Waits for several: the log of the first is shown, the others are waited for after it.
    package func wait(
        for activities: [Resource<API.Activity>], observer: any ActivityObserver
    ) async throws -> [Resource<API.Activity>] {
        var finals: [Resource<API.Activity>] = []
        for activity in activities { finals.append(try await wait(for: activity, observer: observer)) }
        return finals
    }

    /// Looks at the activity until it is over. Its failures are left to whoever reads the log.
    private func watch(_ activity: Resource<API.Activity>, observer: any ActivityObserver) async {
        while !Task.isCancelled {
            guard (try? await pause(limits.poll)) != nil else { return }
            guard let current = try? await refreshed(activity) else { continue }
            observer.activityChanged(current)
            if current.value.isFinished { return }
        }
    }

    /// The final state, which the server stores before it seals the log.
    private func end(of activity: Resource<API.Activity>) async throws -> Resource<API.Activity> {
        let start = time.monotonicNanoseconds()
        while true {
            do {
                let current = try await refreshed(activity)
                if current.value.isFinished { return current }
            } catch let error as HoldfastError where error.isTemporary {
                // The server may be restarting.
            }
            if Double(time.monotonicNanoseconds() - start) / 1e9 > limits.lostLog.seconds {
                throw HoldfastError(
                    .timedOut, "the log of activity '\(activity.value.id)' is complete, and the activity is not",
                    hint: "Look at it later with `holdfast activity:get \(activity.value.id)`")
            }
            try await pause(min(limits.poll, .milliseconds(100)))
        }
    }
}
