import Foundation
import HoldfastBackup
import HoldfastModel
import HoldfastRepository
import Synchronization
import Testing

@Suite struct JournalTests {
    /// A record that is older than what another thread wrote would lose a lock or a protection in a rebuild.
    @Test func `of two who write a project's record at once, the later facts stay`() throws {
        let folder = NSTemporaryDirectory() + "holdfast-journal-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let site = SiteConfiguration(name: "a", region: "r", location: "a", path: "\(folder)/a")
        try FileManager.default.createDirectory(atPath: site.path, withIntermediateDirectories: true)
        let catalogue = MemoryCatalogue()
        var project = Project(
            id: .random(), title: "before", defaultBranch: "main", region: "r", timeZone: "UTC",
            createdAt: Date(timeIntervalSince1970: 0))
        catalogue.add(project)
        let masterKey = try InstallationKey(text: InstallationKey.makeText())
        let repositories = ProjectRepositories(sites: [site], quorum: 1, masterKey: masterKey, catalogue: catalogue)
        try repositories.create(project.id)
        let id = project.id

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
        project.title = "after"
        catalogue.add(project)
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
        let store = try repositories.sites(of: id).store
        #expect(try ProjectJournal(store: store, masterKey: masterKey).read()?.facts.project.title == "after")
    }
}
