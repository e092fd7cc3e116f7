import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Synchronization
import Testing

@Suite(.serialized) struct StagingTests {
    @Test func `after staging the backup is the directory at that instant, whatever happens later`() throws {
        for round in 0..<4 {
            let seed = UInt64.random(in: 0...UInt64.max)
            var generator = SeededGenerator(seed: seed)
            let directory = try ScratchFolder()
            let test = try TestRepository(directory)
            try RandomTree.makeMany(directory("data"), files: 60, using: &generator)
            let session = try test.repository.beginBackup()
            try session.capture(directory("data"), as: "/mounts/data")
            let changed = try RandomTree.disturb(directory("data"), using: &generator)
            session.pauseWork()
            let staged = try session.stageChanges(of: "/mounts/data", into: directory("staging"))
            let instant = try facts(of: directory("data"))
            session.resumeWork()
            _ = try RandomTree.disturb(directory("data"), using: &generator)
            let stored = try session.storeStaged()
            let finished = try session.finish(TestRepository.info())
            #expect(!changed.isEmpty && staged.filesStaged > 0 && stored.filesRead == staged.filesStaged)
            #expect(staged.unstable == [] && staged.filesStaged < 60)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory("staging")).isEmpty)
            #expect(
                try test.restore(finished.id, path: "/mounts/data", to: "out\(round)").problems == [], "seed \(seed)")
            try expectSame(instant, directory("out\(round)"))
            try test.restic.check()
        }
    }

    @Test func `nothing is copied aside if nothing changed`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 31)
        try RandomTree.makeMany(directory("data"), files: 20, using: &generator)
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        let staged = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(staged.filesStaged == 0 && staged.removed == 0 && staged.entries > 20)
        #expect(try session.storeStaged().filesRead == 0)
        let finished = try session.finish(TestRepository.info())
        #expect(try test.restore(finished.id, to: "out").problems == [])
        try expectSame(directory("data"), directory("out"))
    }

    @Test func `the room that copies take is counted without holes, and not at all where they share blocks`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        try writeFile(directory("data/full"), (0..<(256 << 10)).map { _ in UInt8.random(in: 0...255) })
        try writeFile(directory("data/hole"), "")
        #expect(truncate(directory("data/hole"), 8 << 20) == 0)
        let staged = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(staged.filesStaged == 2 && staged.bytesStaged == (8 << 20) + (256 << 10))
        let room = staged.filesCloned == 2 ? 0...0 : Int64(256 << 10)...Int64(1 << 20)
        #expect(room.contains(staged.bytesCopied), "\(staged.bytesCopied)")
        session.abandon()
    }

    @Test func `a file written in the same moment as it was read is copied again in the hold`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        try writeFile(directory("data/file"), "one")
        let test = try TestRepository(directory, time: SystemTime())
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        let staged = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(staged.filesStaged == 1)
        try session.storeStaged()
        let finished = try session.finish(TestRepository.info())
        #expect(try test.repository.file(snapshot: finished.id, path: "/data/file") == Array("one".utf8))
    }

    @Test func `an unstored stage cannot become a backup`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        try writeFile(directory("data/new"), "x")
        _ = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(throws: HoldfastError.self) { try session.finish(TestRepository.info()) }
        session.abandon()
        #expect(try test.repository.snapshots().isEmpty)
    }

    @Test func `files that vanish and change under a capture are left out or stored as read`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 33)
        try RandomTree.makeMany(directory("data"), files: 150, using: &generator)
        let test = try TestRepository(directory, time: SystemTime())
        let stop = Mutex(false)
        let done = DispatchSemaphore(value: 0)
        let path = directory("data")
        let thread = Thread {
            var generator = SeededGenerator(seed: 34)
            while !stop.withLock({ $0 }) { _ = try? RandomTree.disturb(path, using: &generator) }
            done.signal()
        }
        thread.start()
        let session = try test.repository.beginBackup()
        try session.capture(path, as: "/data", filter: CaptureFilter(mayVanish: true))
        stop.withLock { $0 = true }
        done.wait()
        let finished = try session.finish(TestRepository.info())
        try test.restic.check()
        #expect(try test.restore(finished.id, to: "out").problems == [])
    }

    @Test func `links that are put in the way lead nowhere`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("secret"))
        try writeFile(directory("secret/file"), "top secret")
        try makeDirectory(directory("data"))
        symlink(directory("secret"), directory("data/link"))
        let test = try TestRepository(directory)
        let finished = try test.backUp(directory("data")).finished
        let entries = try test.repository.list(finished.id, path: "/data")
        #expect(entries.map(\.type) == [.symlink] && entries.first?.target == directory("secret"))
    }
}
