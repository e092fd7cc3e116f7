import Foundation
import HoldfastControl
import HoldfastModel
import Logging
import Synchronization

/// Looks what is wrong, and tells each channel of it once.
package final class Notifier: Sendable {
    private let catalogue: any NoticeCatalogue
    private let channels: [NotificationChannel]
    private let time: any TimeSource
    private let clockError: @Sendable () -> Int?
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var generation: Int?
        /// When everything is looked at again although nothing seems to have changed, by the monotonic clock.
        var sweep: UInt64 = 0
        /// Not before: with very many environments a look must not take all the time there is.
        var rest: UInt64 = 0
    }

    /// A notice is given up a week after it was noticed.
    static let patience: TimeInterval = 7 * 86_400
    /// Seconds until the second try; doubled with each, up to an hour.
    static let firstRetry = 15
    static let longestRetry = 3600
    /// Nanoseconds between two looks without a change: a backup becomes overdue by time alone.
    private static let sweepEvery: UInt64 = 30_000_000_000

    /// - Parameters:
    ///   - channels: validated.
    ///   - clockError: by how many seconds the wall clock is off while it is not trusted; nil if all is well.
    package init(
        catalogue: any NoticeCatalogue, channels: [NotificationChannel], time: any TimeSource,
        clockError: @escaping @Sendable () -> Int?, logger: Logger
    ) {
        self.catalogue = catalogue
        self.channels = channels
        self.time = time
        self.clockError = clockError
        self.logger = logger
    }

    /// Looks and delivers until the task is cancelled. A channel that is slow keeps no other waiting.
    package func run(every interval: Duration = .seconds(3)) async {
        do { try await offload("notices") { try self.begin() } } catch {
            logger.error("cannot begin to tell what is wrong", metadata: ["error": "\(error)"])
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in Ticks(every: interval) { await self.lookQuietly() }
            }
            for channel in channels {
                group.addTask {
                    for await _ in Ticks(every: interval) { await self.deliver(to: channel) }
                }
            }
        }
    }

    /// Forgets channels that are not in the settings any more.
    package func begin() throws { try catalogue.forgetChannels(except: channels.map(\.name)) }

    private func lookQuietly() async {
        do { try await offload("notices") { try self.look() } } catch {
            logger.error("cannot see what is wrong", metadata: ["error": "\(error)"])
        }
    }

    /// Puts on its way what channels have not heard of.
    package func look() throws {
        guard !channels.isEmpty else { return }
        let (generation, monotonic) = (catalogue.generation, time.monotonicNanoseconds())
        let isDue = state.withLock {
            monotonic >= $0.rest && ($0.generation != generation || monotonic >= $0.sweep)
        }
        guard isDue else { return }
        let now = time.now()
        let look = AlarmLook(catalogue: catalogue, now: now, clockError: clockError()) { [logger] environment, error in
            logger.error(
                "cannot see what is wrong with an environment",
                metadata: ["environment": "\(environment.id)", "error": "\(error)"])
        }
        let book = AlarmBook(states: try look.states(), at: now)
        let told = try catalogue.toldAlarms()
        try catalogue.tell(
            channels.flatMap { book.news(for: $0.name, told: told) { UUID().uuidString.lowercased() } }, at: now)
        let after = time.monotonicNanoseconds()
        state.withLock {
            $0.generation = generation
            $0.sweep = monotonic + Self.sweepEvery
            $0.rest = after + 10 * (after - monotonic)
        }
    }

    /// Brings a channel what waits for it, in order, until one of it does not arrive.
    package func deliver(to channel: NotificationChannel) async {
        while !Task.isCancelled {
            do {
                let catalogue = catalogue
                let waiting = try await offload("notices") {
                    try catalogue.nextNotices().first { $0.channel == channel.name }
                }
                guard let waiting, waiting.nextAt <= time.now() || waiting.nextAt > latestRetry else { return }
                guard try await deliver(waiting, to: channel) else { return }
            } catch {
                logger.error(
                    "cannot deliver notices", metadata: ["channel": "\(channel.name)", "error": "\(error)"])
                return
            }
        }
    }

    /// A try that lies further ahead was put there by a clock that was wrong.
    private var latestRetry: Date { time.now().addingTimeInterval(Double(2 * Self.longestRetry)) }

    /// - Returns: whether the next one may be tried.
    private func deliver(_ waiting: WaitingNotice, to channel: NotificationChannel) async throws -> Bool {
        let catalogue = catalogue
        do {
            let remark = try await Delivery(channel: channel, time: time).deliver(waiting.notice)
            try await offload("notices") { try catalogue.removeNotice(waiting.sequence) }
            if let remark {
                logger.warning("a notice has not reached everybody", metadata: metadata(waiting, remark))
            }
            return true
        } catch {
            // Cancelled: the next start tries it again.
            if Task.isCancelled { return false }
            let problem = (error as? HoldfastError)?.description ?? "\(error)"
            let now = time.now()
            if now.timeIntervalSince(waiting.notice.at) > Self.patience {
                logger.error("a notice is given up after a week", metadata: metadata(waiting, problem))
                try await offload("notices") { try catalogue.removeNotice(waiting.sequence) }
                return true
            }
            if waiting.attempts == 0 {
                logger.warning("a notice has not arrived and is tried again", metadata: metadata(waiting, problem))
            }
            let pause = min(Self.longestRetry, Self.firstRetry << min(waiting.attempts, 12))
            try await offload("notices") {
                try catalogue.postponeNotice(
                    waiting.sequence, until: now.addingTimeInterval(Double(pause)), because: problem)
            }
            return false
        }
    }

    private func metadata(_ waiting: WaitingNotice, _ problem: String) -> Logger.Metadata {
        ["channel": "\(waiting.channel)", "notice": "\(waiting.notice.id)", "problem": "\(problem)"]
    }
}
