import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Staging that is told by the kernel what was touched. Where that cannot be, these pass by looking at everything.
@Suite(.serialized) struct WatchTests {
    /// A repository, a tree with a few hundred files in it, and a session that has captured it.
    private struct Captured {
        let directory: ScratchFolder
        let test: TestRepository
        let session: BackupSession
        var data: String { directory("data") }

        init(_ fill: (String) throws -> Void) throws {
            directory = try ScratchFolder()
            try makeDirectory(directory("data"))
            try fill(directory("data"))
            test = try TestRepository(directory, time: SystemTime())
            session = try test.repository.beginBackup()
            try session.capture(data, as: "/data", willBeStaged: true)
        }

        func stage() throws -> StageStatistics {
            try session.stageChanges(of: "/data", into: directory("staging"))
        }

        /// Stages and stores what was done since, and compares all of it with the directory.
        func expectEqual() throws {
            let staged = try stage()
            #expect(staged.unstable == [])
            try session.storeStaged()
            let finished = try session.finish(TestRepository.info())
            #expect(try test.restore(finished.id, path: "/data", to: "out").problems == [])
            try expectSame(data, directory("out"))
        }
    }

    private static func makeMany(_ data: String) throws {
        for folder in 0..<20 {
            try makeDirectory("\(data)/\(folder)")
            for number in 0..<50 { try writeFile("\(data)/\(folder)/\(number)", "file \(folder) \(number)") }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "an unprivileged user may have used up the marks"))
    func `what was not touched is not looked at`() throws {
        let captured = try Captured(Self.makeMany)
        try writeFile("\(captured.data)/3/7", "changed")
        unlink("\(captured.data)/4/1")
        try writeFile("\(captured.data)/5/new", "new")
        let staged = try captured.stage()
        #expect(staged.isWatched)
        #expect(staged.filesStaged == 2 && staged.removed == 1)
        #expect(staged.entries < 20, "\(staged.entries) entries were looked at")
        try captured.session.storeStaged()
        // Nothing since: nothing to look at.
        #expect(try captured.stage().entries == 0)
        try captured.expectEqual()
    }

    @Test func `round after round the tree follows what happens to it`() throws {
        for _ in 0..<3 {
            let seed = UInt64.random(in: 0...UInt64.max)
            var generator = SeededGenerator(seed: seed)
            let captured = try Captured { try RandomTree.makeMany($0, files: 80, using: &generator) }
            for _ in 0..<3 {
                // What was done before may be in the way of some of it.
                _ = try? RandomTree.disturb(captured.data, using: &generator)
                _ = try captured.stage()
                try captured.session.storeStaged()
            }
            _ = try? RandomTree.disturb(captured.data, using: &generator)
            try captured.expectEqual()
            try captured.test.restic.check()
        }
    }

    @Test func `directories that are moved, exchanged, filled and emptied are followed`() throws {
        let captured = try Captured(Self.makeMany)
        let data = captured.data
        rename("\(data)/1", "\(data)/2/moved")
        rename("\(data)/3", "\(data)/gone")
        rename("\(data)/4", "\(data)/3")
        try FileManager.default.removeItem(atPath: "\(data)/5")
        try writeFile("\(data)/5", "a file now")
        rename("\(data)/6", captured.directory("outside"))
        rename(captured.directory("outside"), "\(data)/7/back")
        try makeDirectory("\(data)/new")
        try makeDirectory("\(data)/new/inner")
        try writeFile("\(data)/new/inner/file", "one")
        _ = try captured.stage()
        try captured.session.storeStaged()
        // In directories that were found in the round before.
        try writeFile("\(data)/new/inner/file", "two")
        try writeFile("\(data)/2/moved/9", "changed after the move")
        try writeFile("\(data)/7/back/9", "changed after the way out and back")
        chmod("\(data)/8", 0o750)
        try captured.expectEqual()
    }

    @Test func `a file with several links is followed when it is written by a name elsewhere`() throws {
        let directory = try ScratchFolder()
        let captured = try Captured { data in
            try Self.makeMany(data)
            link("\(data)/1/1", directory("elsewhere"))
        }
        Thread.sleep(forTimeInterval: 2.1)
        _ = try captured.stage()
        try captured.session.storeStaged()
        try writeFile(directory("elsewhere"), "by another name")
        #expect(try captured.stage().filesStaged == 1)
        try captured.session.storeStaged()
        let finished = try captured.session.finish(TestRepository.info())
        let stored = try captured.test.repository.file(snapshot: finished.id, path: "/data/1/1")
        #expect(stored == Array("by another name".utf8))
    }

    /// Another process that has a file mapped, and writes into its first page. What is written into a page that waits
    /// to be written back leaves no trace in the time stamps.
    private final class Mapping {
        private let process = Process()
        private let (orders, answers) = (Pipe(), Pipe())

        init(_ path: String) throws {
            let script = """
                import mmap, sys
                file = open(sys.argv[1], 'r+b')
                view = mmap.mmap(file.fileno(), 0)
                file.close()
                for line in sys.stdin:
                    view[:3] = line[:3].encode()
                    print('done', flush=True)
                """
            process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
            process.arguments = ["-c", script, path]
            process.standardInput = orders
            process.standardOutput = answers
            try process.run()
        }

        func write(_ text: String) {
            orders.fileHandleForWriting.write(Data("\(text)\n".utf8))
            #expect(!answers.fileHandleForReading.availableData.isEmpty)
        }

        func end() {
            try? orders.fileHandleForWriting.close()
            process.waitUntilExit()
        }
    }

    @Test func `what is written through a mapping is taken, then and in the next backup`() throws {
        let directory = try ScratchFolder()
        let path = directory("data/mapped")
        try makeDirectory(directory("data"))
        try writeFile(path, "abc")
        let mapping = try Mapping(path)
        defer { mapping.end() }
        mapping.write("one")
        // From now on its last change lies too far back to be suspect.
        Thread.sleep(forTimeInterval: 2.1)
        let test = try TestRepository(directory, time: SystemTime())
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data", willBeStaged: true)
        mapping.write("two")
        let staged = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(staged.filesStaged == 1)
        try session.storeStaged()
        let finished = try session.finish(TestRepository.info())
        #expect(try test.repository.file(snapshot: finished.id, path: "/data/mapped") == Array("two".utf8))

        mapping.write("six")
        let later = try test.repository.beginBackup(BackupOptions(parent: finished.id))
        try later.capture(directory("data"), as: "/data")
        let next = try later.finish(TestRepository.info())
        #expect(try test.repository.file(snapshot: next.id, path: "/data/mapped") == Array("six".utf8))
    }

    @Test func `a mapped file that was made or renamed after the capture is taken in each round`() throws {
        let captured = try Captured(Self.makeMany)
        let path = "\(captured.data)/3/mapped"
        try writeFile(path, "abc")
        let mapping = try Mapping(path)
        defer { mapping.end() }
        mapping.write("one")
        #expect(try captured.stage().filesStaged == 1)
        try captured.session.storeStaged()
        rename(path, "\(captured.data)/5/renamed")
        #expect(try captured.stage().filesStaged == 1)
        try captured.session.storeStaged()
        mapping.write("two")
        #expect(try captured.stage().filesStaged == 1)
        try captured.session.storeStaged()
        let finished = try captured.session.finish(TestRepository.info())
        let stored = try captured.test.repository.file(snapshot: finished.id, path: "/data/5/renamed")
        #expect(stored == Array("two".utf8))
    }

    @Test func `another directory in the place of the captured one is taken as it is`() throws {
        let captured = try Captured(Self.makeMany)
        rename(captured.data, captured.directory("before"))
        try makeDirectory(captured.data)
        try writeFile("\(captured.data)/other", "another")
        try captured.expectEqual()
    }

    @Test func `an event that tells of lost ones is understood, and one that is cut off ends the reading`() {
        // Of fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid.
        func event(length: UInt8, mask: UInt8) -> [UInt8] {
            [length, 0, 0, 0, 3, 0, 24, 0, 0, mask] + [UInt8](repeating: 0, count: 6)
                + [255, 255, 255, 255, 1, 0, 0, 0]
        }
        var change = holdfast_change()
        // FAN_Q_OVERFLOW is 0x4000.
        let overflow = event(length: 24, mask: 0x40)
        #expect(holdfast_next_change(overflow, overflow.count, 0, &change) == 24 && change.is_lost == 1)
        #expect(holdfast_next_change(overflow, overflow.count, 24, &change) == 0)
        // One that names no directory cannot be placed.
        let nameless = event(length: 24, mask: 0)
        #expect(holdfast_next_change(nameless, nameless.count, 0, &change) == 24 && change.is_lost == 1)
        for length: UInt8 in [0, 23, 25, 255] {
            let damaged = event(length: length, mask: 0)
            #expect(holdfast_next_change(damaged, damaged.count, 0, &change) == 0)
        }
        #expect(holdfast_next_change(overflow, 23, 0, &change) == 0)
    }

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `a file system that is mounted inside the tree is looked at as a whole`() throws {
        let directory = try ScratchFolder()
        let inner = directory("data/inner")
        try makeDirectory(directory("data"))
        try makeDirectory(inner)
        try #require(mount("tmpfs", inner, "tmpfs", 0, nil) == 0)
        defer { umount(inner) }
        try writeFile("\(inner)/file", "one")
        let test = try TestRepository(directory, time: SystemTime())
        let session = try test.repository.beginBackup()
        try session.capture(directory("data"), as: "/data", willBeStaged: true)
        try writeFile("\(inner)/file", "two")
        let staged = try session.stageChanges(of: "/data", into: directory("staging"))
        #expect(!staged.isWatched)
        try session.storeStaged()
        let finished = try session.finish(TestRepository.info())
        #expect(try test.repository.file(snapshot: finished.id, path: "/data/inner/file") == Array("two".utf8))
    }

    @Test(.enabled(if: geteuid() == 0, "needs a file system of its own"))
    func `a full disk in staging is said as such, and the session stores nothing`() throws {
        let captured = try Captured(Self.makeMany)
        let staging = captured.directory("staging")
        try makeDirectory(staging)
        try #require(mount("tmpfs", staging, "tmpfs", 0, "size=1m") == 0)
        defer { umount(staging) }
        try writeFile("\(captured.data)/1/large", [UInt8](repeating: 7, count: 3 << 20))
        let error = #expect(throws: HoldfastError.self) { try captured.stage() }
        #expect(error?.code == .noSpace, "\(String(describing: error))")
        #expect(throws: HoldfastError.self) { try captured.session.finish(TestRepository.info()) }
        captured.session.abandon()
        #expect(try captured.test.repository.snapshots().isEmpty)
    }
}
