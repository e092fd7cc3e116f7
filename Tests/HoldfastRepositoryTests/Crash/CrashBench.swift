import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// A small repository with all that a crash could hurt: two snapshots, and the waste of a third that is forgotten.
struct CrashBench {
    typealias Contents = [String: [UInt8]]

    /// All stored objects.
    let objects: [BlobName: [UInt8]]
    /// The files of each snapshot.
    let snapshots: [SnapshotID: Contents]
    let directory: ScratchFolder
    /// What the next backup brings.
    let next: Contents

    init(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        directory = try ScratchFolder()
        let store = MemoryBlobStore()
        let repository = try Repository.create(store: store, password: TestRepository.password, time: LaterTime())
        var ids: [SnapshotID] = []
        for name in ["one", "two", "three"] {
            try RandomTree.makeMany(directory(name), files: 9, using: &generator)
            // Each snapshot shares files with the next.
            let session = try repository.beginBackup()
            for part in [name, ids.isEmpty ? nil : "one"].compactMap({ $0 }) {
                try session.capture(directory(part), as: "/\(part)")
            }
            ids.append(try session.finish(TestRepository.info()).id)
        }
        try RandomTree.makeMany(directory("next"), files: 7, using: &generator)
        try repository.forget(ids[1])
        var snapshots: [SnapshotID: Contents] = [:]
        for id in [ids[0], ids[2]] { snapshots[id] = try Self.contents(of: id, in: repository) }
        self.snapshots = snapshots
        next = try Self.files(directory("next"), as: "/next")
        var objects: [BlobName: [UInt8]] = [:]
        for kind in BlobKind.allCases {
            for entry in try store.list(kind) { objects[entry.name] = try store.get(entry.name) }
        }
        self.objects = objects
    }

    /// A store with what the bench holds.
    func store() throws -> MemoryBlobStore { try Self.store(of: objects) }

    static func store(of objects: [BlobName: [UInt8]]) throws -> MemoryBlobStore {
        let store = MemoryBlobStore()
        for (name, bytes) in objects { try store.put(name, bytes) }
        return store
    }

    /// The same in a folder.
    func folder(_ name: String) throws -> FileBlobStore { try Self.folder(store(), directory(name)) }

    static func folder(_ store: any BlobStore, _ path: String) throws -> FileBlobStore {
        try? FileManager.default.removeItem(atPath: path)
        let folder = try FileBlobStore.create(root: path)
        for kind in BlobKind.allCases {
            for entry in try store.list(kind) { try folder.put(entry.name, store.get(entry.name)) }
        }
        return folder
    }

    /// With the password, or with the one that `CrashStep.newPassword` has replaced it by.
    static func open(_ store: any BlobStore, later seconds: Double = 60) throws -> Repository {
        let time = LaterTime(seconds: seconds)
        do {
            return try Repository.open(store: store, password: TestRepository.password, time: time)
        } catch let error as HoldfastError where error.code == .wrongPassword {
            return try Repository.open(store: store, password: CrashStep.replacement, time: time)
        }
    }

    func backUp(_ repository: Repository) throws {
        let session = try repository.beginBackup()
        defer { session.abandon() }
        try session.capture(directory("next"), as: "/next")
        _ = try session.finish(TestRepository.info(["next"]))
    }

    /// Whatever happened: the check is content, every snapshot but `mayLack` is there and whole, and what is new is
    /// whole too.
    func expectSound(_ repository: Repository, mayLack: Set<SnapshotID> = [], _ place: String) throws {
        let report = try repository.check(readData: true)
        #expect(report.problems == [], "\(place)")
        var found: Set<SnapshotID> = []
        for entry in try repository.snapshots() {
            found.insert(entry.id)
            let contents = try Self.contents(of: entry.id, in: repository)
            #expect(contents == snapshots[entry.id] ?? next, "\(place): snapshot \(entry.id)")
            #expect(snapshots[entry.id] != nil || entry.snapshot.info.tags == ["next"], "\(place)")
        }
        #expect(found.isSuperset(of: Set(snapshots.keys).subtracting(mayLack)), "\(place)")
    }

    /// Nothing is left over: no locks, and no packs or blobs that nobody needs.
    func expectTidy(_ repository: Repository, _ store: any BlobStore, _ place: String) throws {
        #expect(try store.list(.lock).isEmpty, "\(place)")
        #expect(try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).isEmpty, "\(place)")
        #expect(try repository.check(readData: false).unusedPacks == 0, "\(place)")
    }

    /// restic's opinion of a store.
    func expectResticContent(_ store: any BlobStore, _ place: String) throws {
        _ = try Self.folder(store, directory("judge"))
        var password = TestRepository.password
        do { _ = try Repository.open(store: store, password: password) } catch { password = CrashStep.replacement }
        let outcome = try Restic(repository: directory("judge"), password: password.reveal())
            .run("check", "--read-data", "--no-lock")
        #expect(outcome.status == 0, "\(place): \(outcome.output)\(outcome.errors)")
    }

    static func contents(of id: SnapshotID, in repository: Repository) throws -> Contents {
        var paths: [String] = []
        try repository.walk(id, path: "/") { entry in
            if entry.type == .file { paths.append(entry.path) }
            return true
        }
        var contents: Contents = [:]
        for path in paths { contents[path] = try repository.file(snapshot: id, path: path) }
        return contents
    }

    private static func files(_ path: String, as root: String) throws -> Contents {
        var contents: Contents = [:]
        for name in FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? [] {
            var status = stat()
            guard lstat(path + "/" + name, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            contents[root + "/" + name] = Array(FileManager.default.contents(atPath: path + "/" + name) ?? Data())
        }
        return contents
    }
}

/// Something that may be interrupted.
struct CrashStep: Sendable, CustomTestStringConvertible {
    let name: String
    /// Whether it makes a snapshot disappear.
    var forgets = false
    let run: @Sendable (Repository, CrashBench) throws -> Void
    var testDescription: String { name }

    static let backup = CrashStep(name: "backup") { try $1.backUp($0) }
    static let prune = CrashStep(name: "prune") { repository, _ in
        try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
    }
    static let forget = CrashStep(name: "forget", forgets: true) { repository, bench in
        try repository.forget(bench.victim)
    }
    static let newPassword = CrashStep(name: "new password") { repository, _ in
        _ = try repository.changePassword(
            from: TestRepository.password, to: replacement, scrypt: .randomPassword)
    }
    static let replacement = Secret("another")
    static let all = [backup, prune, forget, newPassword]
}

extension CrashBench {
    /// The snapshot that `forget` takes.
    var victim: SnapshotID { snapshots.keys.min { $0.description < $1.description } ?? SnapshotID.none }
}

extension SnapshotID {
    static var none: SnapshotID {
        guard let id = SnapshotID(String(repeating: "0", count: 64)) else { preconditionFailure("64 digits are an id") }
        return id
    }
}
