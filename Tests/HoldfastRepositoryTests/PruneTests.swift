import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Synchronization
import Testing

@Suite(.serialized) struct PruneTests {
    /// A repository in which a part of most packs is not needed any more.
    private func wasteful(
        _ directory: ScratchFolder, seed: UInt64
    ) throws -> (test: TestRepository, kept: FinishedBackup) {
        var generator = SeededGenerator(seed: seed)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        try RandomTree.makeMany(directory("other"), files: 40, using: &generator)
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        try session.capture(directory("other"), as: "/other")
        let both = try session.finish(TestRepository.info())
        let kept = try test.backUp(directory("data")).finished
        try makeDirectory(directory("third"))
        try writeFile(directory("third/file"), generator.bytes(100_000))
        let third = try test.backUp(directory("third")).finished
        try test.repository.forget(both.id)
        try test.repository.forget(third.id)
        return (test, kept)
    }

    private func expectWhole(_ test: TestRepository, _ kept: FinishedBackup, _ place: String) throws {
        try test.restic.check()
        let repository = try Repository.open(store: test.store, password: TestRepository.password, time: LaterTime())
        #expect(try repository.check(readData: true).problems == [], "\(place)")
        let name = "out-\(place)"
        let report = try repository.restore(TreePath(kept.id, path: "/data"), to: test.directory(name))
        #expect(report.problems == [], "\(place)")
        try expectSame(test.directory("data"), test.directory(name))
        try FileManager.default.removeItem(atPath: test.directory(name))
    }

    @Test func `a prune does what its plan says, and restic has nothing left to prune`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try wasteful(directory, seed: 61)
        let before = try test.store.list(.data)
        let plan = try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0))
        #expect(try Set(test.store.list(.data)) == Set(before), "a plan changes nothing")
        #expect(plan.packsRepacked >= 1 && plan.packsRemoved >= 1 && plan.packsUnreferenced == 0)
        #expect(plan.bytesBefore == before.reduce(0) { $0 + $1.size } && plan.bytesUnused == 0)
        let report = try plan.execute()
        let after = try test.store.list(.data).reduce(0) { $0 + $1.size }
        #expect(report.bytesFreed == plan.bytesBefore - after)
        #expect(abs(report.bytesFreed - plan.bytesFreed) < 1000, "new headers are all that the plan neglects")
        try expectWhole(test, kept, "after")
        #expect(try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).isEmpty)
        let theirs = try test.restic.expect("prune", "--max-unused", "0", "--dry-run")
        #expect(theirs.contains("unused size after prune: 0 B"))
        #expect(theirs.contains("total prune:           0 blobs"), "\(theirs)")
        #expect(try test.store.list(.lock).isEmpty)
    }

    @Test func `what is unused stays as long as it is below the limit`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try wasteful(directory, seed: 62)
        let plan = try test.repository.planPrune(PruneOptions(maxUnusedPercent: 100))
        #expect(plan.packsRepacked == 0 && plan.bytesToCopy == 0 && plan.bytesUnused > 0 && plan.packsRemoved >= 1)
        #expect(try plan.execute().packsWritten == 0)
        try expectWhole(test, kept, "after")
        let error = #expect(throws: HoldfastError.self) {
            try test.repository.planPrune(PruneOptions(maxUnusedPercent: 101))
        }
        #expect(error?.code == .invalidInput)
    }

    @Test func `for every n, a prune that stops at its n-th put or delete loses nothing, and the next one ends it`()
        throws
    {
        let source = try ScratchFolder()
        let (original, kept) = try wasteful(source, seed: 63)
        for number in 1...60 {
            let copy = try original.copied("copy")
            let faulty = FaultyBlobStore(copy.store)
            let repository = try Repository.open(store: faulty, password: TestRepository.password, time: LaterTime())
            let plan = try repository.planPrune(PruneOptions(maxUnusedPercent: 0))
            faulty.setScript([
                Fault(
                    .fail(HoldfastError(.unavailable, "killed")), on: [.put, .delete], calls: number...Int.max)
            ])
            let hasEnded = (try? plan.execute()) != nil
            for entry in try copy.store.list(.lock) { try copy.store.delete(entry.name) }
            try expectWhole(copy, kept, "stop-\(number)")
            if hasEnded {
                #expect(number > 6, "lock, packs, index and deletions were each tried")
                return
            }
            try copy.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            #expect(try copy.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).isEmpty)
            #expect(try copy.repository.check(readData: true).problems == [])
            #expect(try copy.repository.check(readData: false).unusedPacks == 0)
        }
        Issue.record("the prune never ended")
    }

    @Test func `a prune and a backup exclude each other, whoever makes the backup`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try wasteful(directory, seed: 64)
        let plan = try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0))
        let session = try test.repository.beginBackup()
        #expect(throws: HoldfastError.self) { try plan.execute() }
        session.abandon()
        // In the middle of the prune, when it is about to remove the first thing.
        let faulty = FaultyBlobStore(test.store)
        let repository = try Repository.open(store: faulty, password: TestRepository.password, time: LaterTime())
        let seen = Mutex<[String]>([])
        faulty.setScript([
            Fault(
                .run {
                    let theirs = try test.restic.run("backup", directory("data"))
                    let error = #expect(throws: HoldfastError.self) { try test.repository.beginBackup() }
                    seen.withLock { $0 = ["\(theirs.status)", "\(error?.code.rawValue ?? "")"] }
                }, on: [.delete], of: [.index], calls: 1...1)
        ])
        try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        #expect(seen.withLock { $0 } == ["1", "locked"])
        try expectWhole(test, kept, "after")
    }

    @Test func `a plan that the repository has moved on from is refused, and touches nothing`() throws {
        let directory = try ScratchFolder()
        let (test, _) = try wasteful(directory, seed: 65)
        let plan = try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0))
        let meanwhile = try test.backUp(directory("other")).finished
        let before = try Set(test.store.list(.data) + test.store.list(.index))
        let error = #expect(throws: HoldfastError.self) { try plan.execute() }
        #expect(error?.code == .conflict)
        #expect(try Set(test.store.list(.data) + test.store.list(.index)) == before)
        #expect(try test.restore(meanwhile.id, to: "out").problems == [])
    }

    @Test func `blobs that are there twice are kept once`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 66)
        try RandomTree.makeMany(directory("data"), files: 30, using: &generator)
        let test = try TestRepository(directory)
        // Two sessions at once know nothing of each other.
        let sessions = [try test.repository.beginBackup(), try test.repository.beginBackup()]
        for session in sessions { try session.capture(directory("data"), as: "/data") }
        let finished = try sessions.map { try $0.finish(TestRepository.info()) }
        let size = try test.store.list(.data).reduce(0) { $0 + $1.size }
        let plan = try test.repository.planPrune()
        #expect(plan.duplicateBlobs > 20)
        try plan.execute()
        #expect(try test.store.list(.data).reduce(0) { $0 + $1.size } < size * 6 / 10)
        for (number, backup) in finished.enumerated() {
            #expect(try test.restore(backup.id, to: "out\(number)").problems == [])
            try expectSame(directory("data"), directory("out\(number)"))
        }
        try test.restic.check()
    }

    @Test func `what an interrupted backup left is removed, and nothing is pruned while something needed is missing`()
        throws
    {
        let directory = try ScratchFolder()
        let (test, kept) = try wasteful(directory, seed: 67)
        try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        let faulty = FaultyBlobStore(
            test.store, script: [Fault(.fail(HoldfastError(.unavailable, "killed")), on: [.put], of: [.index])])
        let repository = try Repository.open(store: faulty, password: TestRepository.password, time: LaterTime())
        #expect(throws: HoldfastError.self) { try test.backUp(directory("other"), in: repository) }
        let plan = try test.repository.planPrune()
        #expect(plan.packsUnreferenced >= 1 && plan.packsRemoved == 0 && plan.packsRepacked == 0)
        try plan.execute()
        try expectWhole(test, kept, "after")
        let needed = try #require(try test.store.list(.data).first)
        try test.store.delete(needed.name)
        let error = #expect(throws: HoldfastError.self) { try test.repository.planPrune() }
        #expect(error?.code == .damaged)
    }

    @Test func `what restic wrote and forgot is pruned, and restic restores the rest`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 69)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        try RandomTree.makeMany(directory("other"), files: 40, using: &generator)
        let restic = Restic(repository: directory("r"), password: "p")
        try restic.expect("init")
        try restic.expect("backup", directory("data"), directory("other"), "--tag", "both")
        try restic.expect("backup", directory("data"), "--tag", "one")
        let repository = try Repository.open(store: FileBlobStore(root: directory("r")), password: Secret("p"))
        let both = try #require(try repository.snapshots().first { $0.snapshot.info.tags == ["both"] })
        try restic.expect("forget", "\(both.id)")
        let plan = try repository.planPrune(PruneOptions(maxUnusedPercent: 0))
        #expect(plan.packsRepacked >= 1 && plan.bytesFreed > 0)
        try plan.execute()
        try restic.check()
        try restic.expect("restore", "latest", "--target", directory("out"))
        try expectSame(directory("data"), directory("out" + directory("data")))
    }
}
