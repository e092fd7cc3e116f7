import Foundation
import HoldfastModel
import HoldfastRetention

/// The environments' backups: whether they are taken, and arrive.
package struct BackupCheck: Sendable {
    let facts: InstallationFacts
    /// After so many seconds without a drill it is worth a word.
    static let drillPatience: TimeInterval = 90 * 86_400

    package init(_ facts: InstallationFacts) { self.facts = facts }

    package func findings() -> [Finding] {
        let active = facts.environments.filter { $0.status == .active }
        let found = active.flatMap { environment -> [Finding] in
            do { return try findings(of: environment) } catch {
                return [.wrong("backups", error, "Look at holdfast backup:policy -e \(environment.name)")]
            }
        }
        return found.orGood("backups", "every active environment is backed up as its policy says")
    }

    private func findings(of environment: Environment) throws -> [Finding] {
        let (name, now) = (facts.name(environment), facts.time.now())
        let retention = try facts.catalogue.retention(of: environment, at: now)
        let newest = try facts.catalogue.backups(of: environment.id).first {
            $0.status == .created && !$0.keeping.isDeleted
        }
        let flags = "-p \(environment.project) -e \(environment.name)"
        var found: [Finding] = []
        if retention.policy.schedules.isEmpty {
            let advice = "Run holdfast backup:policy set --schedule 1d:7 \(flags)"
            let what = "\(name) has no schedule, so nothing backs it up"
            found.append(
                environment.type == .production ? .wrong("backups", what, advice) : .note("backups", what, advice))
        }
        let overdue = retention.state(at: now).overdueSeconds
        if overdue > Overdue.patience {
            found.append(
                .wrong(
                    "backups", "\(name): a backup is overdue by \(overdue / 60) minutes",
                    "Look at holdfast activity:list \(flags)"))
        }
        let last = try facts.catalogue.lastEnded(.backup, of: environment.id, in: environment.project)
        if let last, last.result == .failure {
            found.append(
                .wrong(
                    "backups", "\(name): the last backup failed\(last.failure.map { ": \($0)" } ?? "")",
                    "Look at holdfast activity:log \(last.id)"))
        }
        if let newest, newest.isDegraded {
            let missing = newest.sites.filter { !$0.isComplete }.map(\.site).joined(separator: ", ")
            found.append(
                .wrong("backups", "\(name): the newest backup is not complete on \(missing)", "Look at that site"))
        }
        let drill = try facts.catalogue.lastDrill(of: environment.id)
        if newest != nil, drill.map({ now.timeIntervalSince($0) > Self.drillPatience }) ?? true {
            found.append(
                .note(
                    "drills", "\(name): no backup was restored for 90 days, or ever",
                    "Run holdfast backup:drill \(flags), or set drillDays in settings.json"))
        }
        return found
    }
}
