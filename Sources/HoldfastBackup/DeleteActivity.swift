import Foundation
import HoldfastModel
import HoldfastRepository

/// Deletes a backup: usually so that it can be brought back for a while, at once if that was asked for.
struct DeleteActivity {
    let backup: BackupID
    let house: House
    let context: ActivityContext

    func run() throws {
        let parameters = context.activity.parameters
        let force = parameters["force"] == "true"
        let record = try house.catalogue.backup(backup)
        guard parameters["now"] == "true" else {
            // One whose deletion has begun is past being brought back: it can only be gone.
            if record.status == .deleting { return try Purge(house: house, context: context).run(record, force: force) }
            try house.catalogue.deleteBackup(
                backup, because: context.activity.text, force: force, at: house.steadyTime)
            let hours = (house.deletionGrace / 360).rounded() / 10
            return context.log(
                "Backup \(backup) of \(record.environmentName) is deleted. It can be brought back for \(hours) hours.")
        }
        try Purge(house: house, context: context).run(record, force: force)
    }
}

/// Drops a backup for good: marked first, then the snapshot object goes on all sites, then the row. A site that is away
/// finds a record of the deletion when it is healed. Data that nothing references any more is freed by a later prune.
struct Purge {
    let house: House
    let context: ActivityContext

    /// - Parameter limit: only if it was deleted at that time or before, and still is; nil for also if it never was.
    /// - Throws: `conflict` if it may not go, or was brought back.
    func run(_ record: Backup, force: Bool = false, onlyIfDeletedBy limit: Date? = nil) throws {
        try house.catalogue.markDeleting(
            record.id, force: force, onlyIfDeletedBy: limit, at: house.steadyTime)
        let sites = try house.repositories.sites(of: record.project)
        let repository = try house.repositories.open(record.project, on: sites)
        guard let snapshot = SnapshotID(record.snapshot) else {
            throw HoldfastError(.damaged, "backup \(record.id) names snapshot '\(record.snapshot)', which is no id")
        }
        try repository.forget(snapshot)
        let missed = sites.report().filter { !$0.isComplete }
        for site in missed {
            context.log(
                "Site \(site.site) could not be reached, and removes it when it is healed: \(site.problem ?? "unknown")"
            )
        }
        try house.catalogue.removeBackup(record.id)
        context.log("Backup \(record.id) of \(record.environmentName) is gone.")
        house.reached(.backupPurged)
    }
}
