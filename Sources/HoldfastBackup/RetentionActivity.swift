import Foundation
import HoldfastModel
import HoldfastRetention

extension House {
    /// The slots that an automated backup that begins now will claim: asked when it begins, not when it is queued,
    /// because it may wait into the next slot. Empty if nothing is due any more.
    package func dueClaims(of environment: Environment) throws -> [SlotClaim] {
        let now = time.now()
        return try catalogue.retention(of: environment, at: now).state(at: now).due.map(\.claim)
    }
}

/// Does what the retention plan of an environment says, and ends the grace of what was deleted long enough ago.
///
/// The plan is made here and now, after everything that it counts is durable. It may stop anywhere: what is left of it
/// is planned again.
struct RetentionActivity {
    let environment: EnvironmentID
    let house: House
    let context: ActivityContext

    /// - Throws: `unavailable` if nothing may be deleted now; the first reason if a backup could not be deleted: the
    ///   others are all the same.
    func run() throws {
        try house.checkMayDelete()
        // A clock that went on while this waited must end no lock and no grace.
        let now = min(house.steadyTime, context.activity.createdAt)
        try deleteWhatThePlanSays(at: now)
        context.progress(50)
        let over = now.addingTimeInterval(-house.deletionGrace)
        let purge = Purge(house: house, context: context)
        var failures: [any Error] = []
        for backup in try house.catalogue.deletedBackups(of: environment, before: over) {
            // A lock that was set before somebody deleted it by a wrong clock holds all the same.
            guard !backup.keeping.isLocked(at: now) else { continue }
            do {
                try purge.run(backup, onlyIfDeletedBy: over)
            } catch let error as HoldfastError where error.code == .conflict {
                context.log("Kept backup \(backup.id): \(error.message).")
            } catch {
                context.log("Backup \(backup.id) is not gone yet: \(error)")
                failures.append(error)
            }
        }
        if let first = failures.first { throw first }
    }

    private func deleteWhatThePlanSays(at now: Date) throws {
        let known: Environment
        do { known = try house.catalogue.environment(environment) } catch let error as HoldfastError
            where error.code == .notFound
        {
            // Nobody sets a policy for an environment that is gone: its backups go by hand only.
            return
        }
        let plan = try house.catalogue.retention(of: known, at: now).plan()
        for warning in plan.warnings { context.log("Warning: \(warning).") }
        // The grace begins when the backup goes, however long this has waited.
        let stamp = max(house.steadyTime, context.activity.createdAt)
        for removed in plan.removed {
            let reason = removed.reasons.map(\.description).joined(separator: "; ")
            do {
                try house.catalogue.deleteBackup(removed.id, because: reason, force: false, at: stamp)
                context.log("Deleted backup \(removed.id): \(reason).")
            } catch let error as HoldfastError where error.code == .conflict {
                // Protected or read since the plan was made: the next plan knows it.
                context.log("Kept backup \(removed.id): \(error.message).")
            }
        }
        for kept in plan.kept {
            context.log("Keeps \(kept.id): \(kept.reasons.map(\.description).joined(separator: ", "))")
        }
    }
}
