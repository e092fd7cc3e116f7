import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Takes one backup of one environment: pre-copy, hold, marks, release, copy-out, publish.
///
/// Everything slow happens before the hold or after it. Nothing is listed before its bytes are durable on the quorum;
/// whatever fails on the way leaves the environment untouched, the gate open, and at most unreferenced packs.
struct BackupActivity {
    let backup: BackupID
    let environment: Environment
    let safe: Bool
    /// A live one will do if there is no consistent point to be had.
    let orLive: Bool
    let automated: Bool
    let house: House
    let context: ActivityContext

    /// How often a consistent point is tried before the backup fails: a hold that broke, or did not drain.
    static let attempts = 3

    func run() throws {
        let claims = automated ? try house.dueClaims(of: environment) : []
        if automated, claims.isEmpty { return context.log("Nothing is due any more, so no backup was taken.") }
        let source = try BackupSource(environment: environment, house: house)
        let sites = try house.repositories.sites(of: environment.project)
        let repository = try house.repositories.open(environment.project, on: sites)
        CatchUp(project: environment.project, house: house, context: context).run(repository)
        let parent = try latestSnapshot(repository)
        let session = try repository.beginBackup(BackupOptions(parent: parent))
        var finished = false
        defer { if !finished { session.abandon() } }
        let staging = try Staging(in: source.layout.stagingDirectory, named: context.activity.id.rawValue)
        defer { staging.remove() }

        var manifest = BackupManifest(
            backup: backup, environment: environment, createdAt: house.time.now(),
            deployment: source.current.deployment)
        manifest.safe = safe
        manifest.automated = automated
        manifest.claims = claims.isEmpty ? nil : claims
        let point = ConsistentPoint(source: source, session: session, house: house, context: context)
        try take(point, into: &manifest, staging)
        context.progress(80)
        try storeCode(source, session, staging, &manifest)
        try session.add(bytes: house.encode(manifest), as: "/manifest.json", mode: 0o600)
        let stored = try session.finish(snapshotInfo(manifest))
        finished = true
        house.reached(.backupStored)
        // A site that is a moment late still counts.
        try publish(stored, manifest, sites.settledReport())
    }

    private func take(_ point: ConsistentPoint, into manifest: inout BackupManifest, _ staging: Staging) throws {
        do {
            try point.take(into: &manifest, safe: safe, staging: staging)
        } catch let error as HoldfastError where safe && orLive && error.isTemporary {
            context.log("No consistent point: \(error). Taking a live backup instead, as was allowed.")
            manifest.safe = false
            manifest.hold = nil
            try point.take(into: &manifest, safe: false, staging: staging)
        }
    }

    /// The newest backup of this environment is what unchanged files are compared with.
    private func latestSnapshot(_ repository: Repository) throws -> SnapshotID? {
        let newest = try house.catalogue.backups(of: environment.id).first { $0.status == .created }
        guard let newest, let id = SnapshotID(newest.snapshot) else { return nil }
        let isThere = (try? repository.snapshot(id)) != nil
        return isThere ? id : nil
    }

    private func storeCode(
        _ source: BackupSource, _ session: BackupSession, _ staging: Staging, _ manifest: inout BackupManifest
    ) throws {
        for (app, directory) in source.appDirectories {
            let path = "/code/app/\(app)"
            _ = try session.capture(directory, as: path, filter: source.appFilter(app))
            manifest.apps[app] = path
        }
        let bundle = try house.bundle(of: source.current.deployment.commit, in: environment.project)
        try session.add(file: bundle.path, as: "/code/repository.bundle")
        manifest.bundle = PartDigest(path: "/code/repository.bundle", sha256: bundle.sha256)
    }

    private func snapshotInfo(_ manifest: BackupManifest) -> SnapshotInfo {
        SnapshotInfo(
            time: manifest.createdAt, hostname: environment.project.rawValue,
            tags: [
                "environment=\(environment.id)", "backup=\(backup)", manifest.safe ? "safe" : "live",
                automated ? "automated" : "manual",
            ],
            paths: ["/"])
    }

    private func publish(
        _ stored: FinishedBackup, _ manifest: BackupManifest, _ reports: [SitePlacement]
    ) throws {
        var record = Backup(
            id: backup, environment: environment, safe: manifest.safe, automated: automated,
            commit: manifest.deployment.commit, deployment: manifest.deployment.id,
            snapshot: stored.id.description, sizes: (stored.logicalBytes, stored.addedBytes), sites: reports,
            evidence: (manifest.hold, manifest.skew), createdAt: manifest.createdAt, updatedAt: house.time.now())
        record.keeping.claims = manifest.claims ?? []
        try house.catalogue.insertBackup(record)
        house.reached(.backupListed)
        let places = reports.map { $0.isComplete ? $0.site : "\($0.site) (not complete: \($0.problem ?? "unknown"))" }
        let isShared = reports.contains { $0.isNotSeparate == true }
        context.log(
            "Stored \(ByteCount(stored.logicalBytes)), new data \(ByteCount(stored.addedBytes)), on "
                + places.joined(separator: ", ") + (isShared ? " (not separate: on one device)" : ""))
        if record.isDegraded { context.log("The backup is good, but degraded: not every site holds it.") }
        context.log("Backup \(backup)")
    }
}
