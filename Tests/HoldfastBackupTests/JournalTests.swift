import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastRepository
import Synchronization
import Testing

@Suite struct JournalTests {
    /// A project with a repository on one site, in a folder of its own.
    private final class Bench {
        let folder = NSTemporaryDirectory() + "holdfast-journal-\(UInt64.random(in: 0 ... .max))"
        let catalogue = MemoryCatalogue()
        let masterKey: InstallationKey
        let repositories: ProjectRepositories
        var project = Project(
            id: .random(), title: "before", defaultBranch: "main", region: "r", timeZone: "UTC",
            createdAt: Date(timeIntervalSince1970: 0))

        init() throws {
            let site = SiteConfiguration(name: "a", region: "r", location: "a", path: "\(folder)/a")
            try FileManager.default.createDirectory(atPath: site.path, withIntermediateDirectories: true)
            catalogue.add(project)
            masterKey = try InstallationKey(text: InstallationKey.makeText())
            repositories = ProjectRepositories(sites: [site], quorum: 1, masterKey: masterKey, catalogue: catalogue)
            try repositories.create(project.id)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func name(_ title: String) {
            project.title = title
            catalogue.add(project)
        }

        /// The title that the site knows.
        func titleOnSite() throws -> String? {
            let store = try repositories.sites(of: project.id).store
            return try ProjectJournal(store: store, masterKey: masterKey).read()?.facts.project.title
        }
    }

    private static func backup(_ environment: Environment, at time: Double) -> Backup {
        Backup(
            id: .random(), environment: environment, safe: false, automated: true,
            commit: String(repeating: "c", count: 40), deployment: "d", snapshot: String(repeating: "a", count: 64),
            sizes: (1, 1), sites: [], evidence: (nil, nil), createdAt: Date(timeIntervalSince1970: time),
            updatedAt: Date(timeIntervalSince1970: time))
    }

    @Test func `the record says in which order backups were recorded, whatever the clock said`() throws {
        let project = Project(
            id: .random(), title: "P", defaultBranch: "main", region: "r", timeZone: "UTC",
            createdAt: Date(timeIntervalSince1970: 0))
        let environment = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .active,
            createdAt: project.createdAt)
        let known = [500.0, 100, 300].map { Self.backup(environment, at: $0) }
        let later = [200.0, 50].map { Self.backup(environment, at: $0) }
        let facts = ProjectFacts(project: project, environments: [environment], backups: known)
        let text = try JSONEncoder().encode(facts)
        let stored = try JSONDecoder().decode(ProjectFacts.self, from: text)
        #expect(stored == facts)
        let found = (known + later).shuffled()
        #expect(stored.inOrder(found).map(\.id) == (known + later.reversed()).map(\.id))
        // A record of an earlier version has its backups by id: then the times are all that is known.
        var object = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        #expect(object.removeValue(forKey: "backupsAreInOrder") != nil)
        let old = try JSONDecoder().decode(ProjectFacts.self, from: JSONSerialization.data(withJSONObject: object))
        #expect(old.inOrder(found).map(\.createdAt.timeIntervalSince1970) == [50, 100, 200, 300, 500])
    }

    @Test func `a site that hangs keeps nobody waiting, and learns the last of all changes`() throws {
        let bench = try Bench()
        let (hasRead, mayWrite) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let reads = Mutex(0)
        let failures = Mutex<[String]>([])
        bench.catalogue.afterBackups.withLock {
            $0 = {
                reads.withLock { $0 += 1 }
                hasRead.signal()
                mayWrite.wait()
            }
        }
        for change in 0..<20 {
            bench.name("change \(change)")
            bench.repositories.writeJournalSoon(of: bench.project.id, patience: 0.01) { error in
                failures.withLock { $0.append("\(error)") }
            }
            if change == 0 { hasRead.wait() }
        }
        // One is stuck in the first change, one waits for all the others.
        #expect(reads.withLock { $0 } == 1)
        mayWrite.signal()
        hasRead.wait()
        bench.catalogue.afterBackups.withLock { $0 = nil }
        mayWrite.signal()
        // Whoever writes now waits for both.
        try bench.repositories.writeJournal(of: bench.project.id)
        #expect(reads.withLock { $0 } == 2)
        #expect(failures.withLock { $0 } == [])
        #expect(try bench.titleOnSite() == "change 19")
    }

    /// A record that is older than what another thread wrote would lose a lock or a protection in a rebuild.
    @Test func `of two who write a project's record at once, the later facts stay`() throws {
        let bench = try Bench()
        let (repositories, catalogue, id) = (bench.repositories, bench.catalogue, bench.project.id)

        // The first has read everything, and writes only when the second is done, or cannot go on.
        let (hasRead, mayWrite) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let ended = DispatchGroup()
        let failures = Mutex<[String]>([])
        @Sendable func write() {
            do { try repositories.writeJournal(of: id) } catch { failures.withLock { $0.append("\(error)") } }
            ended.leave()
        }
        catalogue.afterBackups.withLock {
            $0 = {
                hasRead.signal()
                mayWrite.wait()
            }
        }
        ended.enter()
        Thread.detachNewThread { write() }
        hasRead.wait()
        catalogue.afterBackups.withLock { $0 = nil }
        bench.name("after")
        let second = DispatchSemaphore(value: 0)
        ended.enter()
        Thread.detachNewThread {
            write()
            second.signal()
        }
        _ = second.wait(timeout: .now() + 2)
        mayWrite.signal()
        ended.wait()
        #expect(failures.withLock { $0 } == [])
        #expect(try bench.titleOnSite() == "after")
    }
}
