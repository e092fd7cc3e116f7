import Foundation
import HoldfastModel
import Logging
import Synchronization

/// What a running activity may tell the world.
package struct ActivityContext: Sendable {
    package let activity: Activity
    package let cancellation: Cancellation
    private let catalogue: any BackupCatalogue
    private let time: any TimeSource

    package init(
        activity: Activity, catalogue: any BackupCatalogue, time: any TimeSource,
        cancellation: Cancellation = Cancellation()
    ) {
        self.activity = activity
        self.cancellation = cancellation
        self.catalogue = catalogue
        self.time = time
    }

    /// Appends one line to the activity's log.
    package func log(_ line: String) {
        catalogue.appendLog(activity.id, line.hasSuffix("\n") ? line : line + "\n", at: time.now())
    }

    /// 0 to 99; 100 is set when the activity is complete.
    package func progress(_ percent: Int) {
        catalogue.setProgress(activity.id, percent: min(max(percent, 0), 99), at: time.now())
    }
}

/// Thrown by an activity that ends for another one: it waits for its turn again, and then begins anew.
package struct GivesWay: Error {
    /// A sentence for people.
    package let reason: String

    package init(reason: String) { self.reason = reason }
}

/// Does the work of one activity. Throws to fail it.
package protocol ActivityPerformer: Sendable {
    func perform(_ context: ActivityContext) throws
    /// Finishes or rolls back an activity that was running when the control plane stopped.
    func recover(_ context: ActivityContext) -> RecoveryOutcome
    /// Called once, when everything that was left open is settled and nothing new has begun.
    func settled()
}

extension ActivityPerformer {
    package func settled() {}
}

package enum RecoveryOutcome: Sendable, Equatable {
    /// Everything it had to do is done.
    case finished
    /// It can be done again from its beginning, and waits for its turn: the control plane does not wait for it.
    case again
    case failed(String)
}

/// Takes pending activities out of the catalogue and performs them, each queue with threads of its own.
///
/// The catalogue decides what may run: one activity per environment at a time, oldest first, production first.
package final class ActivityRunner: Sendable {
    private let catalogue: any BackupCatalogue
    private let performer: any ActivityPerformer
    private let time: any TimeSource
    private let logger: Logger
    private let state = State()

    private final class State: Sendable {
        let condition = NSCondition()
        let flags = Mutex(Flags())
        struct Flags {
            var stopped = false
            var round = 0
            var running: [ActivityID: (activity: Activity, cancellation: Cancellation)] = [:]
        }
    }

    package init(
        catalogue: any BackupCatalogue, performer: any ActivityPerformer, time: any TimeSource, logger: Logger
    ) {
        self.catalogue = catalogue
        self.performer = performer
        self.time = time
        self.logger = logger
    }

    /// Settles what an earlier process left open, then starts the workers of each queue.
    package func start() throws {
        try recover()
        performer.settled()
        for queue in ActivityQueueName.allCases {
            for number in 1...queue.workers {
                let thread = Thread { [self] in work(on: queue) }
                thread.name = "\(queue.rawValue)-\(number)"
                thread.stackSize = 8 << 20
                thread.start()
            }
        }
    }

    /// Tells the workers that there may be something to do.
    package func wake() {
        state.condition.lock()
        state.flags.withLock { $0.round += 1 }
        state.condition.broadcast()
        state.condition.unlock()
    }

    /// No further activity is begun; running ones go on until their process ends.
    package func stop() {
        state.condition.lock()
        state.flags.withLock { $0.stopped = true }
        state.condition.broadcast()
        state.condition.unlock()
    }

    /// How many activities run now.
    package var runningCount: Int { state.flags.withLock(\.running.count) }

    /// Ends a running activity, if it is at a step where that does no harm.
    ///
    /// - Throws: `conflict` with the reason if it cannot be cancelled.
    package func cancel(_ activity: ActivityID) throws {
        guard let running = state.flags.withLock({ $0.running[activity] }) else {
            throw HoldfastError(
                .conflict, "activity \(activity) does not run here any more", hint: "Look at it again")
        }
        try running.cancellation.request(activity)
    }

    /// Ends what builds for an environment that is about to go; what cannot be cancelled goes on.
    package func cancelBuilds(of environment: EnvironmentID) {
        let running = state.flags.withLock { Array($0.running.values) }
        for entry in running where entry.activity.environment == environment && entry.activity.type.builds {
            try? entry.cancellation.request(entry.activity.id)
        }
    }

    private func recover() throws {
        for activity in try catalogue.openActivities() where activity.state == .inProgress {
            let context = ActivityContext(activity: activity, catalogue: catalogue, time: time)
            let outcome = performer.recover(context)
            switch outcome {
            case .finished:
                context.log("Found finished after a restart of the control plane.")
                try catalogue.finishActivity(activity.id, result: .success, failure: nil, at: time.now())
            case .again:
                context.log("Queued again after a restart of the control plane.")
                try catalogue.requeueActivity(activity.id, at: time.now())
            case .failed(let reason):
                context.log("Failed: \(reason)")
                try catalogue.finishActivity(activity.id, result: .failure, failure: reason, at: time.now())
            }
        }
    }

    private func work(on queue: ActivityQueueName) {
        while true {
            let round = state.flags.withLock { $0.round }
            if state.flags.withLock({ $0.stopped }) { return }
            do {
                if let activity = try catalogue.claimActivity(in: queue, at: time.now()) {
                    perform(activity)
                    wake()
                    continue
                }
            } catch {
                logger.error("cannot take an activity", metadata: ["error": "\(error)", "queue": "\(queue.rawValue)"])
            }
            waitForWork(since: round)
        }
    }

    /// Waits for a wake-up that came after `round`, at most a second: the catalogue may be changed by others.
    private func waitForWork(since round: Int) {
        state.condition.lock()
        defer { state.condition.unlock() }
        if state.flags.withLock({ $0.round == round && !$0.stopped }) {
            _ = state.condition.wait(until: time.now().addingTimeInterval(1))
        }
    }

    private func perform(_ activity: Activity) {
        let cancellation = Cancellation()
        state.flags.withLock { $0.running[activity.id] = (activity, cancellation) }
        let context = ActivityContext(
            activity: activity, catalogue: catalogue, time: time, cancellation: cancellation)
        var failure: String?
        do {
            try performer.perform(context)
        } catch let way as GivesWay {
            context.log(way.reason)
            // First, because another worker may take it at once.
            state.flags.withLock { $0.running[activity.id] = nil }
            return requeue(activity.id)
        } catch {
            let text = (error as? HoldfastError)?.description ?? "\(error)"
            context.log("Failed: \(text)")
            // The log has all of it; what is shown beside the activity is one line.
            failure = text.split(separator: "\n").first.map(String.init) ?? text
        }
        do {
            try catalogue.finishActivity(
                activity.id, result: failure == nil ? .success : .failure, failure: failure, at: time.now())
        } catch {
            logger.error(
                "cannot record the end of an activity",
                metadata: ["activity": "\(activity.id)", "error": "\(error)"])
        }
        state.flags.withLock { $0.running[activity.id] = nil }
    }

    private func requeue(_ activity: ActivityID) {
        do { try catalogue.requeueActivity(activity, at: time.now()) } catch {
            logger.error("cannot queue an activity again", metadata: ["activity": "\(activity)", "error": "\(error)"])
        }
    }
}
