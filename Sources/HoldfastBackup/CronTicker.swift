import Foundation
import HoldfastEnvironments
import HoldfastModel
import Logging
import Synchronization

/// Queues an activity for each cron whose time has come, in every active environment.
///
/// Crons are activities: none starts while a backup or a deployment runs, and each run is on record. A time that passed
/// while the control plane was down is not run afterwards; one that passed while another activity ran is, once.
package final class CronTicker: Sendable {
    private let house: House
    private let desk: ActivityDesk
    /// Longest random delay of a start, in seconds; 0 starts on the minute.
    private let maximumJitter: Int
    private let stopped = Mutex(false)
    private let lastTick: Mutex<Date>

    package init(house: House, desk: ActivityDesk, maximumJitter: Int) {
        self.house = house
        self.desk = desk
        self.maximumJitter = maximumJitter
        lastTick = Mutex(house.time.now())
    }

    package func start() {
        let thread = Thread { [self] in
            while !stopped.withLock({ $0 }) {
                tick()
                Thread.sleep(forTimeInterval: 1)
            }
        }
        thread.name = "crons"
        thread.start()
    }

    package func stop() { stopped.withLock { $0 = true } }

    /// Queues what became due between the last tick and now.
    package func tick() {
        let now = house.time.now()
        let before = lastTick.withLock { last in
            defer { last = now }
            return last
        }
        // A clock that jumped, back or far ahead, starts no storm of runs.
        guard now > before, now.timeIntervalSince(before) < 300 else { return }
        do {
            for environment in try house.catalogue.allEnvironments() where environment.status == .active {
                try queueDue(in: environment, after: before, until: now)
            }
        } catch {
            house.logger.error("cannot look for due crons", metadata: ["error": "\(error)"])
        }
    }

    private func queueDue(in environment: Environment, after: Date, until: Date) throws {
        guard let current = try house.layout(environment.id).readCurrent() else { return }
        let configuration = try EnvironmentConfiguration.parse(current.deployment.configuration)
        for (app, application) in configuration.applications {
            let zone =
                application.timezone.flatMap { TimeZone(identifier: $0) } ?? TimeZone(identifier: "UTC") ?? .current
            for (name, cron) in application.crons {
                let seed = "\(environment.id)/\(app)/\(name)"
                let schedule = try CronSchedule(cron.spec, seed: seed)
                let delay = TimeInterval(jitter(of: seed))
                let next = schedule.next(after: after.addingTimeInterval(-delay), in: zone)
                guard let next, next.addingTimeInterval(delay) <= until else { continue }
                _ = try desk.submitCron(name, app: app, in: environment)
            }
        }
    }

    /// The same for one cron in every run, so that runs stay a period apart.
    private func jitter(of seed: String) -> Int {
        guard maximumJitter > 0 else { return 0 }
        return Int(StableHash.of(seed) % UInt64(maximumJitter + 1))
    }
}
