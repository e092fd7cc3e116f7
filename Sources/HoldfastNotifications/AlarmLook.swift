import Foundation
import HoldfastModel
import HoldfastRetention

/// Where notices come from and where they are kept. Implemented by the catalogue.
package protocol NoticeCatalogue: RetentionSource {
    func projects() throws -> [Project]
    func allEnvironments() throws -> [Environment]
    /// The newest activity of a type that ended; nil for an environment is for activities of a whole project.
    func lastEnded(_ type: ActivityType, of environment: EnvironmentID?, in project: ProjectID) throws -> Activity?
    /// Grows whenever something may have changed.
    var generation: Int { get }

    /// What each channel was told that is not over.
    func toldAlarms() throws -> [ToldAlarm]
    /// Remembers what is told and puts it on its way, in one step.
    func tell(_ told: [ToldAlarm], at date: Date) throws
    /// The oldest undelivered notice of each channel.
    func nextNotices() throws -> [WaitingNotice]
    func removeNotice(_ sequence: Int64) throws
    func postponeNotice(_ sequence: Int64, until date: Date, because problem: String) throws
    func forgetChannels(except names: [String]) throws
}

/// Reads from the catalogue what is wrong now.
struct AlarmLook {
    let catalogue: any NoticeCatalogue
    let now: Date
    /// By how many seconds the wall clock is off while it is not trusted.
    let clockError: Int?
    /// Told of environments that cannot be judged.
    let trouble: (Environment, any Error) -> Void

    /// What is said of an environment.
    private static let kinds: [Notice.Kind] = [
        .backupFailed, .policyFailed, .drillFailed, .backupOverdue, .backupDegraded,
    ]

    func states() throws -> [(subject: AlarmSubject, state: AlarmState)] {
        var states: [(subject: AlarmSubject, state: AlarmState)] = [(AlarmSubject(kind: .clockJumped), clockState)]
        let environments = Dictionary(grouping: try catalogue.allEnvironments(), by: \.project)
        for project in try catalogue.projects() {
            states.append(
                (
                    AlarmSubject(kind: .pruneFailed, project: project),
                    try ended(.prune, nil, project, bad: "freeing space failed", good: "space was freed")
                ))
            for environment in environments[project.id] ?? [] where environment.status == .active {
                do { states += try self.states(of: environment, in: project) } catch {
                    // One that cannot be judged keeps what was told of it, and leaves the others to be judged.
                    for kind in Self.kinds {
                        let subject = AlarmSubject(kind: kind, project: project, environment: environment)
                        states.append((subject, .unknown))
                    }
                    trouble(environment, error)
                }
            }
        }
        return states
    }

    private var clockState: AlarmState {
        guard let clockError else { return .well("the clock is trusted again, and policies delete again") }
        return .wrong(
            AlarmState.Cause(
                since: now, text: "the clock has jumped by \(clockError) seconds, so policies delete nothing"))
    }

    private func states(
        of environment: Environment, in project: Project
    ) throws -> [(subject: AlarmSubject, state: AlarmState)] {
        let retention = try catalogue.retention(of: environment, at: now)
        func state(_ kind: Notice.Kind, _ state: AlarmState) -> (subject: AlarmSubject, state: AlarmState) {
            (AlarmSubject(kind: kind, project: project, environment: environment), state)
        }
        return [
            state(
                .backupFailed,
                try ended(.backup, environment, project, bad: "the last backup failed", good: "a backup succeeded")),
            state(
                .policyFailed,
                try ended(
                    .retention, environment, project, bad: "the backup policy could not be applied",
                    good: "the backup policy was applied")),
            state(
                .drillFailed,
                try ended(
                    .drill, environment, project, bad: "a backup could not be restored in a drill",
                    good: "a drill has restored a backup")),
            state(.backupOverdue, overdue(retention)),
            state(.backupDegraded, try degraded(environment)),
        ]
    }

    /// By how the newest activity of a type ended.
    private func ended(
        _ type: ActivityType, _ environment: Environment?, _ project: Project, bad: String, good: String
    ) throws -> AlarmState {
        guard let last = try catalogue.lastEnded(type, of: environment?.id, in: project.id) else { return .well(good) }
        guard last.result == .failure else { return .well(good) }
        let reason = last.failure.map { ": \($0)" } ?? ""
        return .wrong(
            AlarmState.Cause(since: last.completedAt ?? last.updatedAt, text: bad + reason, activity: last.id))
    }

    private func overdue(_ retention: EnvironmentRetention) -> AlarmState {
        // By a clock that is wrong nothing is late, and nothing is in time.
        guard clockError == nil else { return .unknown }
        let seconds = retention.state(at: now).overdueSeconds
        // It is over when one was taken, not when it is a little less late: the seconds only grow until then.
        guard seconds > Overdue.patience else { return .well("automated backups are in time again") }
        let since = now.addingTimeInterval(-Double(seconds))
        return .wrong(
            AlarmState.Cause(
                since: since,
                text: "an automated backup that was due at \(since.formatted(.iso8601)) has not happened"))
    }

    private func degraded(_ environment: Environment) throws -> AlarmState {
        let newest = try catalogue.recordedBackups(of: environment.id).last {
            $0.status == .created && !$0.keeping.isDeleted
        }
        guard let newest, newest.isDegraded else { return .well("the newest backup is on all of its sites") }
        let missing = newest.sites.filter { !$0.isComplete }.map(\.site).joined(separator: ", ")
        return .wrong(
            AlarmState.Cause(since: newest.createdAt, text: "backup \(newest.id) is not complete on \(missing)"))
    }
}
