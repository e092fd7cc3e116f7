import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastDoctor
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import HoldfastRetention
import HoldfastTestSupport
import Testing

extension Catalogue: RetentionSource, BackupCatalogue, DoctorCatalogue {}

/// A project with a real repository on two sites, and no processes.
final class Bench: Sendable {
    let folder: ScratchFolder
    let time: ManualTime
    let catalogue: Catalogue
    let repositories: ProjectRepositories
    let project: Project
    let main: Environment

    init() throws {
        let folder = try ScratchFolder()
        self.folder = folder
        time = ManualTime("2026-03-01T12:00:00Z")
        let sites = try ["a", "b"].map { name in
            let path = folder("site-\(name)")
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            return SiteConfiguration(name: name, region: "r", location: name, path: path)
        }
        catalogue = try Catalogue(path: folder("catalogue.sqlite"), time: time)
        project = Project(
            id: .random(), title: "Ledger", defaultBranch: "main", region: "r", timeZone: "UTC", createdAt: time.now())
        try catalogue.createProject(project)
        main = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .active,
            createdAt: time.now())
        try catalogue.createEnvironment(main)
        repositories = ProjectRepositories(
            sites: sites, quorum: 1, masterKey: try InstallationKey(text: InstallationKey.makeText()),
            catalogue: catalogue)
        try repositories.create(project.id)
    }

    deinit { try? catalogue.close() }

    func facts() throws -> InstallationFacts {
        try InstallationFacts(
            catalogue: catalogue, repositories: repositories, home: folder.path, run: folder("run"), time: time)
    }

    /// The folder of the project's repository on a site.
    func repository(_ site: String) -> String { folder("site-\(site)/projects/\(project.id)") }

    /// A real backup of a few bytes, on both sites, that claims what is due.
    @discardableResult
    func backUp() throws -> Backup {
        let sites = try repositories.sites(of: project.id)
        let session = try repositories.open(project.id, on: sites).beginBackup(BackupOptions(parent: nil))
        try session.add(bytes: Array("some bytes".utf8), as: "/data", mode: 0o600)
        let stored = try session.finish(SnapshotInfo(time: time.now(), hostname: "h", tags: [], paths: ["/"]))
        var backup = Backup(
            id: .random(), environment: main, safe: false, automated: true, commit: String(repeating: "c", count: 40),
            deployment: "d", snapshot: stored.id.description, sizes: (stored.logicalBytes, stored.addedBytes),
            sites: sites.settledReport(), evidence: (nil, nil), createdAt: time.now(), updatedAt: time.now())
        let due = try catalogue.retention(of: main, at: time.now()).state(at: time.now()).due
        backup.keeping.claims = due.map { SlotClaim(interval: $0.interval.description, slot: $0.number) }
        try catalogue.insertBackup(backup)
        return backup
    }
}
