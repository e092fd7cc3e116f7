import Foundation
import HoldfastBlobStore
import HoldfastControl
import HoldfastModel
import HoldfastRepository
import Synchronization

/// What the catalogue knows of a project: enough to list and restore its backups on a machine that lost everything.
///
/// Variables are not in it; they are in each backup, inside the repository.
package struct ProjectFacts: Sendable, Codable, Hashable {
    package var project: Project
    /// By id.
    package var environments: [Environment]
    /// In the order in which they were recorded, with all that was set on them; those of deleted environments too.
    package var backups: [Backup]
    /// Nil in a record of an earlier version, which has its backups by id.
    private var backupsAreInOrder: Bool?

    /// - Parameter backups: in the order in which they were recorded.
    package init(project: Project, environments: [Environment], backups: [Backup]) {
        self.project = project
        self.environments = environments.sorted { $0.id < $1.id }
        self.backups = backups
        backupsAreInOrder = true
    }

    /// The order in which backups were recorded, whatever the clock said: first those that are known here, then the
    /// others, which came after the record was written, by their times.
    package func inOrder(_ found: [Backup]) -> [Backup] {
        let known = backupsAreInOrder == true ? backups : []
        let positions = Dictionary(zip(known.map(\.id), known.indices)) { first, _ in first }
        return found.sorted { left, right in
            let (first, second) = (positions[left.id] ?? .max, positions[right.id] ?? .max)
            return first == second ? (left.createdAt, left.id) < (right.createdAt, right.id) : first < second
        }
    }
}

/// The facts of a project on its sites, in the kind `record` beside the repository: sealed with the installation's
/// master key, because whoever has only that must be able to begin.
///
/// ```json
/// {"version":1,"sequence":12,"project":"…","password":"<sealed, base64>","facts":"<sealed, base64>"}
/// ```
///
/// A record is never changed. A newer one, with a higher sequence, takes its place, and the older ones go then.
package struct ProjectJournal: Sendable {
    /// What was read.
    package struct Entry: Sendable {
        package let facts: ProjectFacts
        package let sealedPassword: [UInt8]
        let sequence: Int
    }

    private struct Record: Codable {
        var version = 1
        var sequence: Int
        var project: ProjectID
        var password: Data
        var facts: Data
    }

    private let store: any BlobStore
    private let masterKey: InstallationKey

    package init(store: any BlobStore, masterKey: InstallationKey) {
        self.store = store
        self.masterKey = masterKey
    }

    /// The newest record; nil if there is none.
    ///
    /// - Throws: `wrongPassword` if there are records, and the master key opens none of them.
    package func read() throws -> Entry? {
        var newest: Entry?
        var failure: HoldfastError?
        for name in try store.list(.record).map(\.name).sorted(by: { $0.name < $1.name }) {
            do {
                let entry = try entry(name)
                if entry.sequence > newest?.sequence ?? 0 { newest = entry }
            } catch let error as HoldfastError where [.damaged, .notFound, .wrongPassword].contains(error.code) {
                failure = error
            }
        }
        if newest == nil, let failure { throw failure }
        return newest
    }

    private func entry(_ name: BlobName) throws -> Entry {
        let bytes = try store.get(name, range: nil) { FileDigest.sha256(of: $0) == name.name }
        let record: Record
        do {
            record = try JSONDecoder().decode(Record.self, from: Data(bytes))
        } catch {
            throw HoldfastError(.damaged, "\(name) is no record of a project", cause: error)
        }
        guard record.version == 1 else {
            throw HoldfastError(
                .unsupported, "\(name) has version \(record.version), known is 1", hint: "Use a newer holdfast")
        }
        let text = try masterKey.open(Array(record.facts))
        let facts = try JSONDecoder().decode(ProjectFacts.self, from: Data(text.reveal().utf8))
        guard facts.project.id == record.project else {
            throw HoldfastError(.damaged, "\(name) is of another project than it says")
        }
        return Entry(facts: facts, sealedPassword: Array(record.password), sequence: record.sequence)
    }

    /// Makes sure that the sites say this, unless they do already. Durable when it returns.
    package func write(_ facts: ProjectFacts, sealedPassword: [UInt8]) throws {
        let older = try store.list(.record).map(\.name)
        let newest = (try? read()) ?? nil
        if let newest, newest.facts == facts, newest.sealedPassword == sealedPassword, older.count == 1 { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = Secret(String(decoding: try encoder.encode(facts), as: UTF8.self))
        let record = Record(
            sequence: (newest?.sequence ?? 0) + 1, project: facts.project.id, password: Data(sealedPassword),
            facts: Data(try masterKey.seal(text)))
        let bytes = Array(try encoder.encode(record))
        let name = BlobName(kind: .record, name: FileDigest.sha256(of: bytes))
        try store.put(name, bytes)
        for old in older where old != name { try store.delete(old) }
    }
}

extension ProjectRepositories {
    /// Brings the record of a project on its sites up to date. One at a time: facts that were read earlier must not be
    /// written later.
    package func writeJournal(of project: ProjectID) throws {
        try journals.withLock(of: project) {
            journals.begins(project)
            guard let password = try catalogue.sealedRepositoryPassword(project) else { return }
            let facts = ProjectFacts(
                project: try catalogue.project(project), environments: try catalogue.environments(in: project),
                backups: try catalogue.recordedBackups(in: project))
            try ProjectJournal(store: try sites(of: project).store, masterKey: masterKey)
                .write(facts, sealedPassword: password)
        }
    }
}

extension ProjectRepositories {
    /// As `writeJournal`, on a thread of its own, and returns after a moment at the latest: a site that hangs keeps
    /// nobody waiting. Whoever comes while another waits to begin leaves it to that one.
    ///
    /// - Parameters:
    ///   - patience: so many seconds are waited for sites that answer.
    ///   - failed: gets what went wrong, whenever that is.
    package func writeJournalSoon(
        of project: ProjectID, patience: TimeInterval = 2, failed: @escaping @Sendable (any Error) -> Void
    ) {
        guard journals.announce(project) else { return }
        let done = DispatchSemaphore(value: 0)
        startThread("journal") {
            do { try writeJournal(of: project) } catch { failed(error) }
            done.signal()
        }
        _ = done.wait(timeout: .now() + patience)
    }
}

extension ProjectRepositories {
    /// While this runs, nobody writes the project's record.
    package func withoutJournal(of project: ProjectID, _ body: () throws -> Void) rethrows {
        try journals.withLock(of: project, body)
    }
}

/// Who writes a project's record: one at a time.
final class JournalLocks: Sendable {
    private let locks = Mutex<[ProjectID: NSLock]>([:])
    /// Projects for which somebody waits who has read nothing yet.
    private let announced = Mutex<Set<ProjectID>>([])

    /// - Returns: false if somebody is waiting already, and will read all that is known now.
    func announce(_ project: ProjectID) -> Bool { announced.withLock { $0.insert(project).inserted } }

    /// From here on the facts are read: who comes later has to write again.
    func begins(_ project: ProjectID) { announced.withLock { _ = $0.remove(project) } }

    func withLock(of project: ProjectID, _ body: () throws -> Void) rethrows {
        let lock = locks.withLock { locks in
            let lock = locks[project] ?? NSLock()
            locks[project] = lock
            return lock
        }
        lock.lock()
        defer { lock.unlock() }
        try body()
    }
}

extension House {
    /// As `writeJournal`; what goes wrong is logged, because the next change writes it again.
    package func noteFacts(of project: ProjectID) {
        do { try repositories.writeJournal(of: project) } catch { noteUnwritten(project, error) }
    }

    /// As `noteFacts`, and returns after a moment at the latest: for changes that somebody waits for.
    package func noteFactsSoon(of project: ProjectID) {
        repositories.writeJournalSoon(of: project) { noteUnwritten(project, $0) }
    }

    private func noteUnwritten(_ project: ProjectID, _ error: any Error) {
        logger.warning(
            "cannot write a project's record to its sites",
            metadata: ["project": "\(project)", "error": "\(error)"])
    }
}
