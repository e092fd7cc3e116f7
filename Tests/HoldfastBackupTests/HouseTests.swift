import Foundation
import HoldfastBackup
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Synchronization
import Testing

/// What an activity leaves in the house, with real repositories in a folder of its own.
@Suite struct HouseTests {
    /// No test here asks an environment's processes for anything.
    private struct NoSupervisors: Supervisors {
        private var none: HoldfastError { HoldfastError(.unavailable, "there are no supervisors in this test") }
        func client(_ environment: EnvironmentID) throws -> SupervisorClient { throw none }
        func stop(_ environment: EnvironmentID) throws { throw none }
        func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws {}
        func routedPorts(_ environment: EnvironmentID) throws -> Set<Int> { [] }
        func strangers(of environment: EnvironmentID?) -> [String] { [] }
    }

    private final class Bench: Sendable {
        let folder = NSTemporaryDirectory() + "holdfast-house-\(UInt64.random(in: 0 ... .max))"
        let catalogue = MemoryCatalogue()
        let house: House
        let project = ProjectID.random()

        init() throws {
            let sites = ["a", "b"].map { [folder] in
                SiteConfiguration(name: $0, region: "r", location: $0, path: "\(folder)/\($0)")
            }
            for site in sites {
                try FileManager.default.createDirectory(atPath: site.path, withIntermediateDirectories: true)
            }
            let trace = Trace()
            house = House(
                home: folder, run: "\(folder)/run", catalogue: catalogue, gate: ScriptedGate(trace: trace),
                runtime: (ScriptedFreezer(trace: trace), NoSupervisors()),
                repositories: ProjectRepositories(
                    sites: sites, quorum: 1, masterKey: try InstallationKey(text: InstallationKey.makeText()),
                    catalogue: catalogue))
            try house.repositories.create(project)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func repository() throws -> Repository {
            try house.repositories.open(project, on: house.repositories.sites(of: project))
        }
    }

    @Test func `a catalogue that cannot be read costs no backup that is listed in it`() throws {
        let bench = try Bench()
        let environment = Environment(
            id: .random(), project: bench.project, name: "main", type: .production, status: .active, createdAt: Date())
        let id = BackupID.random()
        let session = try bench.repository().beginBackup(BackupOptions(parent: nil))
        try session.add(bytes: Array("{}".utf8), as: "/manifest.json", mode: 0o600)
        _ = try session.finish(
            SnapshotInfo(
                time: Date(), hostname: "h", tags: ["environment=\(environment.id)", "backup=\(id)"], paths: ["/"])
        )
        let activity = Activity(
            id: .random(), project: bench.project, environment: environment.id, type: .backup,
            parameters: ["backup": id.rawValue], user: nil, text: "a backup", createdAt: Date())
        let context = ActivityContext(activity: activity, catalogue: bench.catalogue, time: ManualTime())
        let performer = HousePerformer(house: bench.house)

        bench.catalogue.failure.withLock { $0 = HoldfastError(.system, "the disk fails") }
        guard case .failed(let reason) = performer.recover(context) else {
            Issue.record("it is not known whether the backup is listed")
            return
        }
        #expect(reason.contains("the disk fails"))
        #expect(try bench.repository().snapshots().count == 1)

        // Known not to be listed: then nobody may see it.
        bench.catalogue.failure.withLock { $0 = nil }
        _ = performer.recover(context)
        #expect(try bench.repository().snapshots().isEmpty)
    }

    @Test func `the making of a repository that was cut short is finished, and one that is whole stays as it is`()
        throws
    {
        let bench = try Bench()
        let made = try bench.repository().id
        try bench.house.repositories.finish(bench.project)
        #expect(try bench.repository().id == made)

        // The password is on record, and the machine died before the config was written on a site, or anything.
        for kinds in [["config"], ["config", "keys", "data", "index", "snapshots", "locks"]] {
            let password = try bench.house.repositories.password(of: bench.project)
            for site in bench.house.repositories.sites {
                let folder = bench.house.repositories.path(of: bench.project, on: site)
                for kind in kinds { try FileManager.default.removeItem(atPath: "\(folder)/\(kind)") }
            }
            #expect(throws: HoldfastError.self) { _ = try bench.repository() }
            try bench.house.repositories.finish(bench.project)
            #expect(try bench.repository().snapshots().isEmpty)
            #expect(try bench.house.repositories.password(of: bench.project).reveal() == password.reveal())
        }

        // Nothing at all was made.
        let other = ProjectID.random()
        try bench.house.repositories.finish(other)
        _ = try bench.house.repositories.open(other, on: bench.house.repositories.sites(of: other))
    }

    @Test func `while a site is away, nobody makes a repository beside the one that it may have`() throws {
        let bench = try Bench()
        let away = bench.house.repositories.sites[0].path
        try FileManager.default.moveItem(atPath: away, toPath: away + "-away")
        let project = ProjectID.random()
        let error = #expect(throws: HoldfastError.self) { try bench.house.repositories.finish(project) }
        #expect(error?.code == .unavailable)
        #expect(try bench.catalogue.sealedRepositoryPassword(project) == nil)
        try FileManager.default.moveItem(atPath: away + "-away", toPath: away)
        try bench.house.repositories.finish(project)
    }

    @Test func `backups of one commit at the same time get one whole bundle`() throws {
        let bench = try Bench()
        let directory = bench.house.gitDirectory(bench.project)
        let git = try GitRepository.create(path: directory, defaultBranch: "main")
        let work = "\(bench.folder)/checkout"
        try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
        try Data((0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) })
            .write(to: URL(fileURLWithPath: "\(work)/file"))
        for arguments in [
            ["init", "--quiet", "--initial-branch=main"], ["add", "--all"],
            ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "one"],
        ] {
            let outcome = try ProcessRunner().run(
                ProcessSpecification(
                    executable: "git", arguments: arguments,
                    environment: ["PATH": "/usr/bin:/bin", "HOME": bench.folder], directory: work))
            #expect(outcome.isSuccess, "\(outcome.errorText)")
        }
        let commit = try git.fetch(from: work, branch: "main", as: "main")
        let outcomes = Mutex<[Result<String, any Error>]>([])
        let group = DispatchGroup()
        for _ in 0..<8 {
            group.enter()
            Thread {
                let outcome = Result { try bench.house.bundle(of: commit, in: bench.project).sha256 }
                outcomes.withLock { $0.append(outcome) }
                group.leave()
            }.start()
        }
        group.wait()
        let digests = try outcomes.withLock { try $0.map { try $0.get() } }
        #expect(digests.count == 8)
        #expect(Set(digests).count == 1)
        let bundle = try bench.house.bundle(of: commit, in: bench.project).path
        let other = try GitRepository.create(path: "\(bench.folder)/other.git", defaultBranch: "main")
        try other.fetch(bundle: bundle, commit: commit)
        let names = try FileManager.default.contentsOfDirectory(
            atPath: (bundle as NSString).deletingLastPathComponent)
        #expect(names == ["\(commit).bundle"])
    }
}
