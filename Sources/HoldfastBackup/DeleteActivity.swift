import Foundation
import HoldfastModel
import HoldfastRepository

/// Drops a backup: marked first, then the snapshot object goes on all sites, then the row. A site that is away finds a
/// record of the deletion when it is healed. Data that nothing references any more is freed by a later prune.
struct DeleteActivity {
    let backup: BackupID
    let house: House
    let context: ActivityContext

    func run() throws {
        let record = try house.catalogue.backup(backup)
        try house.catalogue.markDeleting(backup, at: house.time.now())
        let sites = try house.repositories.sites(of: record.project)
        let repository = try house.repositories.open(record.project, on: sites)
        guard let snapshot = SnapshotID(record.snapshot) else {
            throw HoldfastError(.damaged, "backup \(backup) names snapshot '\(record.snapshot)', which is no id")
        }
        try repository.forget(snapshot)
        let missed = sites.report().filter { !$0.isComplete }
        for site in missed {
            context.log(
                "Site \(site.site) could not be reached, and removes it when it is healed: \(site.problem ?? "unknown")"
            )
        }
        try house.catalogue.removeBackup(backup)
        context.log("Backup \(backup) of \(record.environmentName) is deleted.")
    }
}
