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

    func run() throws {
        // The clock was trusted when this was queued; what it says since must not end a grace.
        let now = min(house.time.now(), context.activity.createdAt)
        try deleteWhatThePlanSays(at: now)
        context.progress(50)
        let over = now.addingTimeInterval(-house.deletionGrace)
        let purge = Purge(house: house, context: context)
        for backup in try house.catalogue.deletedBackups(of: environment, before: over) {
            // A lock that was set before somebody deleted it by a wrong clock holds all the same.
            guard !backup.keeping.isLocked(at: now) else { continue }
            try purge.run(backup)
        }
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
        for removed in plan.removed {
            let reason = removed.reasons.map(\.description).joined(separator: "; ")
            do {
                try house.catalogue.deleteBackup(removed.id, because: reason, force: false, at: now)
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
