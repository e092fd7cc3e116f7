import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Restores a backup beside what runs, as a restore does, lets its services prove that they stand at their marks, and
/// throws it away. Nothing that is live is touched, and no request waits.
struct DrillActivity {
    let backup: Backup
    let environment: Environment
    let house: House
    let context: ActivityContext

    func run() throws {
        let started = house.time.monotonicNanoseconds()
        let source = RestoreSource(backup: backup, environment: environment, house: house)
        let (repository, snapshot, manifest, current) = try source.open()
        let plan = try RestorePlan(manifest: manifest, current: current, restoreCode: true, house: house)
        var aside = RestoreAside(
            plan: plan, layout: house.layout(environment.id), environment: environment, house: house, context: context)
        defer { aside.discard() }
        try aside.fill(from: repository, snapshot: snapshot)
        try aside.startServices()
        let seconds = Double(house.time.monotonicNanoseconds() - started) / 1e9
        context.log(
            String(format: "Backup %@ can be restored: it took %.1f s, aside.", backup.id.rawValue, seconds))
    }
}

/// What a restore and a drill begin with.
struct RestoreSource {
    let backup: Backup
    let environment: Environment
    let house: House

    /// - Throws: `conflict` if the environment is not active or the backup is going, `damaged` if it is none.
    func open() throws -> (
        repository: Repository, snapshot: SnapshotID, manifest: BackupManifest, current: CurrentState
    ) {
        guard environment.status == .active, let current = try house.layout(environment.id).readCurrent() else {
            throw HoldfastError(
                .conflict, "environment \(environment.name) is \(environment.status.rawValue), not active",
                hint: environment.status.wayToActive)
        }
        let sites = try house.repositories.sites(of: backup.project)
        let repository = try house.repositories.open(backup.project, on: sites)
        let snapshot = try snapshotID()
        let manifest = try house.decodeManifest(repository.file(snapshot: snapshot, path: "/manifest.json"))
        return (repository, snapshot, manifest, current)
    }

    private func snapshotID() throws -> SnapshotID {
        guard backup.status == .created else {
            throw HoldfastError(.conflict, "backup \(backup.id) is being deleted and cannot be restored")
        }
        guard let snapshot = SnapshotID(backup.snapshot) else {
            throw HoldfastError(.damaged, "backup \(backup.id) names snapshot '\(backup.snapshot)', which is no id")
        }
        return snapshot
    }
}
