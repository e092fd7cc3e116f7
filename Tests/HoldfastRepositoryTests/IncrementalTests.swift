import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct IncrementalTests {
    @Test func `an unchanged second backup reads no file and puts no data`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 21)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        let inner = try FileBlobStore.create(root: directory("r"))
        let store = FaultyBlobStore(inner)
        let repository = try Repository.create(store: store, password: TestRepository.password, time: LaterTime())
        func backUp(_ parent: SnapshotID?) throws -> (CaptureStatistics, FinishedBackup) {
            let session = try repository.beginBackup(BackupOptions(parent: parent))
            let captured = try session.capture(directory("data"), as: "/a/b/data")
            return (captured, try session.finish(TestRepository.info()))
        }
        let (first, one) = try backUp(nil)
        #expect(first.filesRead == 40 && first.filesUnchanged == 0 && one.addedBytes > 0)
        let packs = try inner.list(.data)
        let indexes = try inner.list(.index)
        let (second, two) = try backUp(one.id)
        #expect(second.filesRead == 0 && second.filesUnchanged == 40 && second.bytes == first.bytes)
        #expect(two.addedBytes == 0 && two.logicalBytes == one.logicalBytes && two.files == 40)
        #expect(try Set(inner.list(.data)) == Set(packs))
        #expect(try Set(inner.list(.index)) == Set(indexes))
        #expect(try repository.snapshot(two.id).tree == repository.snapshot(one.id).tree)
        #expect(try repository.snapshot(two.id).parent == one.id)
    }

    @Test func `a file that changed just before it was read is read again next time`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        try writeFile(directory("data/file"), "one")
        let test = try TestRepository(directory, time: SystemTime())
        let first = try test.backUp(directory("data")).finished
        let second = try test.backUp(directory("data"), parent: first.id)
        #expect(second.captured.filesRead == 1 && second.captured.filesUnchanged == 0)
        try test.restic.check()
    }

    @Test func `every kind of change between two backups is seen`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try RandomTree.makeMany(directory("data"), files: 50, using: &generator)
        var parent = try test.backUp(directory("data")).finished.id
        for round in 0..<4 {
            let done = try RandomTree.disturb(directory("data"), using: &generator)
            parent = try test.backUp(directory("data"), parent: parent).finished.id
            #expect(try test.restore(parent, to: "out\(round)").problems == [], "seed \(seed)")
            try expectSame(directory("data"), directory("out\(round)"))
            #expect(!done.isEmpty, "seed \(seed)")
        }
        try test.restic.check()
    }

    @Test func `equal content is stored once`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 23)
        let bytes = generator.bytes(3 << 20)
        try makeDirectory(directory("data"))
        for name in ["a", "b", "c"] { try writeFile(directory("data/\(name)"), bytes) }
        let test = try TestRepository(directory)
        let finished = try test.backUp(directory("data")).finished
        #expect(finished.logicalBytes == 9 << 20)
        #expect(finished.addedBytes < 3_300_000)
    }

    @Test func `what compresses is compressed, and what does not is stored as it is`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 24)
        try makeDirectory(directory("text"))
        try makeDirectory(directory("noise"))
        try writeFile(directory("text/a"), String(repeating: "a line like many others\n", count: 100_000))
        try writeFile(directory("noise/a"), generator.bytes(2_400_000))
        let test = try TestRepository(directory)
        #expect(try test.backUp(directory("text")).finished.addedBytes < 100_000)
        let noise = try test.backUp(directory("noise")).finished.addedBytes
        #expect((2_400_000..<2_402_000).contains(noise))
        try test.restic.check()
    }

    @Test func `excluded entries stay out, and a large file of many windows comes back whole`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 25)
        try makeDirectory(directory("data/skip/inner"))
        try makeDirectory(directory("data/keep"))
        let bytes = generator.bytes(21_000_003)
        try writeFile(directory("data/keep/large"), bytes)
        try writeFile(directory("data/skip/inner/file"), "x")
        try writeFile(directory("data/skip-not"), "y")
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        let captured = try session.capture(
            directory("data"), as: "/data", filter: CaptureFilter { $0 == "skip" })
        let finished = try session.finish(TestRepository.info())
        #expect(captured.files == 2 && captured.bytes == 21_000_004)
        #expect(try test.repository.list(finished.id, path: "/data").map(\.path) == ["/data/keep", "/data/skip-not"])
        #expect(try test.repository.file(snapshot: finished.id, path: "/data/keep/large") == bytes)
        try test.restic.check()
    }

    @Test func `a second capture of one place replaces the first`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        try writeFile(directory("data/one"), "first")
        try writeFile(directory("data/gone"), "first")
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        try FileManager.default.removeItem(atPath: directory("data/gone"))
        try writeFile(directory("data/one"), "second")
        try session.capture(directory("data"), as: "/data")
        let finished = try session.finish(TestRepository.info())
        #expect(try test.repository.list(finished.id, path: "/data").map(\.path) == ["/data/one"])
        #expect(try test.repository.file(snapshot: finished.id, path: "/data/one") == Array("second".utf8))
        try test.restic.check()
    }

    @Test func `calls after a failure are refused, and nothing stays behind`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        #expect(throws: HoldfastError.self) { try session.capture(directory("missing"), as: "/missing") }
        let error = #expect(throws: HoldfastError.self) { try session.capture(directory("data"), as: "/data") }
        #expect(error?.code == .conflict)
        #expect(throws: HoldfastError.self) { try session.finish(TestRepository.info()) }
        session.abandon()
        #expect(try test.repository.snapshots().isEmpty)
        #expect(try test.store.list(.lock).isEmpty)
    }

    @Test func `a stream is cut where a file of the same bytes is cut, however it arrives`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        var generator = SeededGenerator(seed: 39)
        for size in [0, 1, 5_000, 1 << 20, 8 << 20, (8 << 20) + 1, 21_000_000] {
            let bytes = generator.bytes(size)
            try writeFile(directory("file"), bytes)
            let session = try test.repository.beginBackup()
            try session.add(file: directory("file"), as: "/file")
            let first = try session.finish(TestRepository.info())
            let again = try test.repository.beginBackup()
            // A pipe gives at most what it holds, so that most reads end in the middle of a chunk.
            let pipe = Pipe()
            let writer = Thread {
                try? pipe.fileHandleForWriting.write(contentsOf: Data(bytes))
                try? pipe.fileHandleForWriting.close()
            }
            writer.start()
            #expect(try again.add(stream: pipe.fileHandleForReading.fileDescriptor, as: "/stream") == Int64(size))
            let second = try again.finish(TestRepository.info())
            // Only the tree is new.
            #expect(second.addedBytes < 2_000, "\(size): \(second.addedBytes) of \(first.addedBytes)")
            #expect(try test.repository.file(snapshot: second.id, path: "/stream") == bytes)
        }
    }
}
