// HoldfastScheduler: asks of each environment what is due and what may go, and queues it.
//
// HoldfastRetention decides; activities do the work; this is the clock between them. It keeps nothing that a restart
// could lose: what is due follows from the claims in the catalogue, what goes follows from the plan.

import Foundation
import HoldfastBackup
import HoldfastControl
import HoldfastModel
import HoldfastRetention
import Logging
import Synchronization

/// How much the scheduler starts, and how soon.
package struct SchedulerLimits: Sendable, Hashable {
    /// Automated backups that wait or run at the same time: others that people ask for are not kept waiting by more.
    package var open = 2
    /// Seconds until the second try of a backup that failed; doubled with each further failure.
    package var firstRetry = 60
    /// The longest time between two tries, in seconds; never more than a quarter of the finest interval.
    package var longestRetry = 3600
    /// Seconds between two applications of one environment's policy.
    package var spacing = 60
    /// Seconds between two prunes of one project.
    package var prunePause = 86_400
    /// Seconds from one drill in an environment to the next; nil for none.
    package var drillEvery: Int?
    /// Seconds until a drill is tried again that failed.
    package var drillPause = 86_400
    /// Seconds after which every environment is looked at, also if nothing seems to have changed.
    package var sweep = 600

    package init() {}
}

/// Queues automated backups that are due, and deletions that the policies ask for.
package final class Scheduler: Sendable {
    private let catalogue: any BackupCatalogue
    private let desk: ActivityDesk
    private let time: any TimeSource
    private let grace: TimeInterval
    private let limits: SchedulerLimits
    private let clocks: ClockWatch
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        /// What is known of each environment until something changes.
        var looks: [EnvironmentID: Look] = [:]
        /// When each environment's policy was applied last, by the counting clock.
        var applied: [EnvironmentID: Int] = [:]
        /// When somebody looked last what is to be pruned, and where a drill is due, by the counting clock.
        var prunes: Int?
        var drills: Int?
    }

    /// Nothing is to do for an environment before one of these.
    private struct Look {
        var generation: Int
        /// Seconds of the wall clock; nil without a schedule.
        var due: Int?
        /// Seconds of the counting clock.
        var sweep: Int
    }

    /// - Parameters:
    ///   - grace: seconds in which a deleted backup can be brought back.
    ///   - clocks: says whether the wall clock can be trusted.
    package init(
        catalogue: any BackupCatalogue, desk: ActivityDesk, time: any TimeSource, grace: TimeInterval,
        clocks: ClockWatch, limits: SchedulerLimits = SchedulerLimits(), logger: Logger
    ) {
        self.catalogue = catalogue
        self.desk = desk
        self.time = time
        self.grace = grace
        self.limits = limits
        self.clocks = clocks
        self.logger = logger
        state = Mutex(State())
    }

    /// Looks at every trigger, until there are no more of them.
    package func run(triggers: some AsyncSequence<Void, Never>) async {
        for await _ in triggers {
            do { try await offload("scheduler") { self.tick() } } catch {
                logger.error("the scheduler could not look", metadata: ["error": "\(error)"])
            }
        }
    }

    /// By how many seconds the wall clock differs from where it should be, while it is not trusted: nothing is deleted
    /// meanwhile. Nil if all is well.
    package var clockError: Int? { clocks.error }

    /// Queues what is due now. Failures are logged: the next look may succeed.
    package func tick() {
        let now = time.now()
        let isTrusted = clocks.check() == nil
        do {
            let generation = catalogue.generation
            var found: [Finding] = []
            for environment in try catalogue.allEnvironments() where isWorthALook(environment, generation, now) {
                do {
                    found.append(try look(at: environment, generation, now))
                } catch {
                    logger.error(
                        "cannot see what is due", metadata: ["environment": "\(environment.id)", "error": "\(error)"])
                }
            }
            let open = try catalogue.openActivities()
            start(found, beside: open, now)
            try drill(beside: open, now)
            if isTrusted {
                try delete(found, beside: open, now)
                try prune(now)
            }
        } catch {
            logger.error("the scheduler could not look", metadata: ["error": "\(error)"])
        }
    }

    // MARK: What there is to do

    /// What was seen of an environment.
    private struct Finding {
        var environment: Environment
        var state: ScheduleState
        /// Seconds of its finest interval.
        var finest: Int
        var hasDeletions: Bool
    }

    private func isWorthALook(_ environment: Environment, _ generation: Int, _ now: Date) -> Bool {
        let counting = ClockWatch.counting(time)
        return state.withLock { state in
            guard let look = state.looks[environment.id], look.generation == generation, counting < look.sweep else {
                return true
            }
            return look.due.map { $0 <= now.wholeSeconds } ?? false
        }
    }

    private func look(at environment: Environment, _ generation: Int, _ now: Date) throws -> Finding {
        let retention = try catalogue.retention(of: environment, at: now)
        let schedule = retention.state(at: now)
        let finest = retention.policy.schedules.first?.interval.approximateSeconds ?? limits.longestRetry
        let sweep = ClockWatch.counting(time) + limits.sweep
        state.withLock {
            $0.looks[environment.id] = Look(generation: generation, due: schedule.next, sweep: sweep)
        }
        return Finding(
            environment: environment, state: schedule, finest: finest, hasDeletions: !retention.plan().removed.isEmpty)
    }

    // MARK: Backups

    /// Production first, then whoever waits longest; no more at a time than the limit.
    private func start(_ found: [Finding], beside open: [Activity], _ now: Date) {
        let running = open.filter { $0.type == .backup && $0.parameters["automated"] == "true" }
        let busy = Set(running.compactMap(\.environment))
        let due = found.filter { finding in
            finding.environment.status == .active && !finding.state.due.isEmpty
                && !busy.contains(finding.environment.id)
        }
        let ordered = due.sorted { left, right in
            let isProduction = (left.environment.type == .production, right.environment.type == .production)
            if isProduction.0 != isProduction.1 { return isProduction.0 }
            if left.state.overdueSeconds != right.state.overdueSeconds {
                return left.state.overdueSeconds > right.state.overdueSeconds
            }
            return left.environment.id < right.environment.id
        }
        var places = limits.open - running.count
        for finding in ordered where places > 0 {
            do {
                guard try mayTry(finding, now) else { continue }
                _ = try desk.submitAutomatedBackup(of: finding.environment.id, safe: finding.state.wantsSafe)
                places -= 1
            } catch let error as HoldfastError where error.code == .conflict {
                // A deployment or a restore is going on, or it has just been paused: the next look tries again.
                continue
            } catch {
                logger.error(
                    "cannot queue a backup that is due",
                    metadata: ["environment": "\(finding.environment.id)", "error": "\(error)"])
            }
        }
    }

    /// A backup that failed is tried again later and later, within its slot as in the next one.
    private func mayTry(_ finding: Finding, _ now: Date) throws -> Bool {
        let longest = max(limits.firstRetry, min(limits.longestRetry, finding.finest / 4))
        return hasWaited(after: try catalogue.automatedFailures(of: finding.environment.id), longest: longest, now)
    }

    /// Whether it is time to try again what failed so often: later and later, up to `longest` seconds.
    private func hasWaited(after failures: (count: Int, last: Date)?, longest: Int, _ now: Date) -> Bool {
        guard let failures else { return true }
        let doublings = min(failures.count - 1, 20)
        let wait = min(limits.firstRetry << doublings, longest)
        // Also over if the clock was put back.
        let passed = now.timeIntervalSince(failures.last)
        return passed < 0 || passed >= Double(wait)
    }

    // MARK: Deletions

    private func delete(_ found: [Finding], beside open: [Activity], _ now: Date) throws {
        // One that deletes by hand may be just about to end what it has begun.
        let busy = Set(open.filter { [.retention, .backupDelete].contains($0.type) }.compactMap(\.environment))
        var wanted: [EnvironmentID: (name: String, project: ProjectID)] = [:]
        for finding in found where finding.hasDeletions {
            wanted[finding.environment.id] = (finding.environment.name, finding.environment.project)
        }
        for backup in try catalogue.deletedBackups(of: nil, before: now.addingTimeInterval(-grace))
        where !backup.keeping.isLocked(at: now) {
            wanted[backup.environment] = (backup.environmentName, backup.project)
        }
        for (environment, place) in wanted.sorted(by: { $0.key < $1.key }) where !busy.contains(environment) {
            do {
                guard try mayApply(to: environment, now) else { continue }
                _ = try desk.submitRetention(of: environment, named: place.name, in: place.project)
            } catch {
                logger.error(
                    "cannot queue what a policy deletes",
                    metadata: ["environment": "\(environment)", "error": "\(error)"])
            }
        }
    }

    /// Frees what is gone, once a day at most, after whatever uses the repository.
    private func prune(_ now: Date) throws {
        guard mayLook(\.prunes) else { return }
        for project in try catalogue.projectsToPrune(at: now, pause: TimeInterval(limits.prunePause)) {
            _ = try desk.submitPrune(of: project)
        }
    }

    /// Whether somebody has not looked at this for a while.
    private func mayLook(_ last: any WritableKeyPath<State, Int?> & Sendable) -> Bool {
        let counting = ClockWatch.counting(time)
        return state.withLock { state in
            if let last = state[keyPath: last], counting < last + limits.sweep { return false }
            state[keyPath: last] = counting
            return true
        }
    }

    /// Tries the newest backup of each environment in which none was restored for long; one at a time.
    private func drill(beside open: [Activity], _ now: Date) throws {
        guard let every = limits.drillEvery, !open.contains(where: { $0.type == .drill }), mayLook(\.drills) else {
            return
        }
        for environment in try catalogue.allEnvironments() where environment.status == .active {
            let last = try catalogue.lastDrill(of: environment.id)
            if let last, abs(now.timeIntervalSince(last)) < Double(every) { continue }
            let tried = try catalogue.lastEnded(.drill, of: environment.id, in: environment.project)
            if let tried, abs(now.timeIntervalSince(tried.updatedAt)) < Double(limits.drillPause) { continue }
            let newest = try catalogue.backups(of: environment.id).first { backup in
                backup.status == .created && !backup.keeping.isDeleted && backup.sites.contains(where: \.isComplete)
            }
            guard let newest else { continue }
            do {
                _ = try desk.submitDrill(with: newest)
                // The next environment has its turn when this one is done.
                return state.withLock { $0.drills = nil }
            } catch let error as HoldfastError where error.code == .conflict {
                continue
            }
        }
    }

    /// One that failed is tried again later and later.
    private func mayApply(to environment: EnvironmentID, _ now: Date) throws -> Bool {
        let counting = ClockWatch.counting(time)
        let failures = try catalogue.retentionFailures(of: environment)
        let isTime = hasWaited(after: failures, longest: limits.longestRetry, now)
        return state.withLock { state in
            let last = state.applied[environment]
            guard isTime, last.map({ counting >= $0 + limits.spacing }) ?? true else {
                // Not forgotten: it is looked at again.
                state.looks[environment] = nil
                return false
            }
            state.applied[environment] = counting
            return true
        }
    }
}
