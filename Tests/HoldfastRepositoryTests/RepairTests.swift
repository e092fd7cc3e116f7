import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct RepairTests {
    private func sample(
        _ directory: ScratchFolder, seed: UInt64
    ) throws -> (test: TestRepository, finished: FinishedBackup) {
        var generator = SeededGenerator(seed: seed)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        let test = try TestRepository(directory)
        return (test, try test.backUp(directory("data")).finished)
    }

    private func flip(_ store: FileBlobStore, _ entry: BlobEntry, at offset: Int) throws {
        var bytes = try store.get(entry.name)
        bytes[offset] ^= 1
        let path = store.root + "/" + entry.name.path
        chmod(path, 0o600)
        try writeFile(path, bytes)
    }

    private func largest(_ store: FileBlobStore) throws -> BlobEntry {
        try #require(try store.list(.data).max { $0.size < $1.size })
    }

    @Test func `an index that is lost or damaged is rebuilt from the packs`() throws {
        for isLost in [true, false] {
            let directory = try ScratchFolder()
            let (test, finished) = try sample(directory, seed: 71)
            let packs = try test.store.list(.data).count
            for entry in try test.store.list(.index) {
                if isLost { try test.store.delete(entry.name) } else { try flip(test.store, entry, at: 30) }
            }
            let plan = try test.repository.planRepair(readData: false)
            #expect(plan.packsToIndex == packs && plan.packsToSalvage == 0 && plan.blobsLost == 0)
            #expect(plan.indexFilesDamaged == (isLost ? 0 : 1))
            #expect(try plan.execute().packsIndexed == packs)
            try test.restic.check()
            #expect(try test.repository.check(readData: true).problems == [])
            #expect(try test.restore(finished.id, to: "out").problems == [])
            try expectSame(directory("data"), directory("out"))
            #expect(try test.repository.planRepair().isEmpty)
        }
    }

    @Test func `of a damaged pack everything that verifies is saved, and only what is lost is missing`() throws {
        let directory = try ScratchFolder()
        let (test, finished) = try sample(directory, seed: 72)
        let pack = try largest(test.store)
        try flip(test.store, pack, at: pack.size / 2)
        let plan = try test.repository.planRepair()
        #expect(plan.packsToSalvage == 1 && plan.blobsLost == 1 && plan.blobsToSalvage > 5)
        #expect(plan.packsWhole >= 1 && plan.packsMissing == 0)
        let report = try plan.execute()
        #expect(report.blobsSalvaged == plan.blobsToSalvage && report.blobsLost == 1)
        #expect(try !test.store.list(.data).contains(pack))
        let check = try test.repository.check(readData: true)
        #expect(check.problems.allSatisfy { $0.reason.contains("is not in the repository") } && !check.isIntact)
        let restored = try test.restore(finished.id, to: "out")
        #expect(restored.files >= 38 && !restored.problems.isEmpty)
        // The next backup brings the missing blob back.
        try test.backUp(directory("data"))
        #expect(try test.repository.check(readData: true).problems == [])
        try test.restic.check()
    }

    @Test func `a pack without a readable header is salvaged by what the index says`() throws {
        let directory = try ScratchFolder()
        let (test, finished) = try sample(directory, seed: 73)
        let pack = try largest(test.store)
        let path = test.path + "/" + pack.name.path
        chmod(path, 0o600)
        truncate(path, off_t(pack.size - 10))
        let report = try test.repository.repair()
        #expect(report.healing == nil && report.packsSalvaged == 1 && report.blobsLost == 0)
        #expect(try test.repository.check(readData: true).problems == [])
        #expect(try test.restore(finished.id, to: "out").problems == [])
        try expectSame(directory("data"), directory("out"))
        try test.restic.check()
    }

    @Test func `for every n, a repair that stops at its n-th put or delete loses nothing more`() throws {
        let directory = try ScratchFolder()
        let (original, _) = try sample(directory, seed: 74)
        let pack = try largest(original.store)
        try flip(original.store, pack, at: pack.size / 2)
        for number in 1...30 {
            let copy = try original.copied("copy")
            let faulty = FaultyBlobStore(copy.store)
            let repository = try Repository.open(store: faulty, password: TestRepository.password, time: LaterTime())
            let plan = try repository.planRepair()
            faulty.setScript([
                Fault(.fail(HoldfastError(.unavailable, "killed")), on: [.put, .delete], calls: number...Int.max)
            ])
            let hasEnded = (try? plan.execute()) != nil
            for entry in try copy.store.list(.lock) { try copy.store.delete(entry.name) }
            if hasEnded {
                #expect(number > 5)
                return
            }
            _ = try copy.repository.repair()
            try copy.backUp(directory("data"))
            #expect(try copy.repository.check(readData: true).problems == [], "stop \(number)")
            try copy.restic.check()
        }
        Issue.record("the repair never ended")
    }

    @Test func `what one site lacks or has damaged comes from the other, and restic accepts both`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 75)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        let stores = try ["one", "two"].map { try FileBlobStore.create(root: directory($0)) }
        let sites = zip(["one", "two"], stores).map { Site(name: $0, region: "r", location: $0, store: $1) }
        func open() throws -> Repository {
            let store = try ReplicatedBlobStore(sites: sites, quorum: 1)
            return try Repository.open(store: store, password: TestRepository.password, time: LaterTime())
        }
        let created = try Repository.create(
            store: ReplicatedBlobStore(sites: sites, quorum: 2), password: TestRepository.password, time: LaterTime())
        let session = try created.beginBackup()
        try session.capture(directory("data"), as: "/data")
        let finished = try session.finish(TestRepository.info())

        let packs = try stores[0].list(.data).sorted { $0.size < $1.size }
        try flip(stores[0], packs[0], at: 40)
        try stores[0].delete(packs[1].name)
        try flip(stores[1], packs[1], at: packs[1].size / 2)
        for kind in [BlobKind.snapshot, .index] {
            for entry in try stores[1].list(kind) { try stores[1].delete(entry.name) }
        }
        // The second pack is nowhere whole: one copy is gone, the other damaged.
        let first = try open().healSites()
        #expect(first?.lost == [packs[1].name] && first?.replaced == 1 && (first?.copied ?? 0) >= 2)
        #expect(try open().planRepair().blobsLost == 1)
        try stores[0].put(packs[1].name, stores[1].get(packs[1].name))
        try flip(stores[0], packs[1], at: packs[1].size / 2)

        let repository = try open()
        let report = try repository.repair()
        #expect(report.healing?.isWhole == true && report.healing?.replaced == 1 && report.blobsLost == 0)
        for name in ["one", "two"] {
            try Restic(repository: directory(name), password: TestRepository.password.reveal()).check()
            let alone = try Repository.open(
                store: FileBlobStore(root: directory(name)), password: TestRepository.password, time: LaterTime())
            let restored = try alone.restore(TreePath(finished.id, path: "/data"), to: directory("out-" + name))
            #expect(restored.problems == [])
            try expectSame(directory("data"), directory("out-" + name))
        }
        let again = try #require(try repository.healSites())
        #expect(again.isWhole && again.copied == 0 && again.replaced == 0)
    }

    @Test func `a site that lost everything but its folder is rebuilt, and given nothing that a prune removed`() throws
    {
        let directory = try ScratchFolder()
        let (test, finished) = try sample(directory, seed: 76)
        let empty = try FileBlobStore.create(root: directory("empty"))
        let sites = [
            Site(name: "full", region: "r", location: "a", store: test.store),
            Site(name: "empty", region: "r", location: "b", store: empty),
        ]
        func open() throws -> Repository {
            try Repository.open(
                store: ReplicatedBlobStore(sites: sites, quorum: 1), password: TestRepository.password,
                time: LaterTime())
        }
        let packs = try test.store.list(.data).count
        #expect(packs >= 2)
        var report = try #require(try open().healSites())
        #expect(report.isWhole && report.copied == packs + 4 && report.replaced == 0)
        #expect(try Set(empty.list(.data)) == Set(test.store.list(.data)))
        try FileManager.default.removeItem(atPath: directory("empty"))
        _ = try FileBlobStore.create(root: directory("empty"))
        let repository = try open()
        try repository.forget(finished.id)
        try repository.planPrune().execute()
        #expect(try test.store.list(.data).isEmpty && empty.list(.data).isEmpty)
        report = try #require(try open().healSites())
        #expect(report.isWhole)
        #expect(try test.store.list(.data).isEmpty && empty.list(.data).isEmpty)
        for name in ["empty", "repository"] {
            try Restic(repository: directory(name), password: TestRepository.password.reveal()).check()
        }
    }

    @Test func `nothing is pruned while no site is complete`() throws {
        let directory = try ScratchFolder()
        let (test, finished) = try sample(directory, seed: 77)
        _ = try test.copied("other")
        let other = FileBlobStore(root: directory("other"))
        let packs = try test.store.list(.data)
        try test.store.delete(packs[0].name)
        try other.delete(packs[1].name)
        let store = try ReplicatedBlobStore(
            sites: [
                Site(name: "a", region: "r", location: "a", store: test.store),
                Site(name: "b", region: "r", location: "b", store: other),
            ], quorum: 1)
        let repository = try Repository.open(store: store, password: TestRepository.password, time: LaterTime())
        try repository.forget(finished.id)
        let error = #expect(throws: HoldfastError.self) { try repository.planPrune().execute() }
        #expect(error?.code == .unavailable)
        #expect(try test.store.list(.data).count == packs.count - 1)
    }
}
