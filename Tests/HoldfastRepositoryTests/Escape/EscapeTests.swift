import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Synchronization
import Testing

/// Nothing outside of the target is touched, whatever a snapshot says and whatever happens in the target meanwhile.
@Suite(.serialized) struct EscapeTests {
    private static let time =
        "\"mtime\":\"2026-01-01T00:00:00Z\",\"atime\":\"2026-01-01T00:00:00Z\",\"ctime\":\"2026-01-01T00:00:00Z\""

    private static func node(_ name: String, _ type: String, _ more: String = "\"content\":[]") -> String {
        "{\"name\":\"\(name)\",\"type\":\"\(type)\",\"mode\":511,\(time),\"uid\":1,\"gid\":1,\(more)}"
    }

    private static func snapshot(_ repository: Repository, _ nodes: [String]) throws -> SnapshotID {
        let session = try repository.beginBackup()
        let tree = "{\"nodes\":[\(nodes.joined(separator: ","))]}"
        return try session.finish(rawTree: Array(tree.utf8), TestRepository.info())
    }

    /// A directory with a file in it that nobody may change, and what they look like.
    private static func outside(_ directory: ScratchFolder) throws -> [[UInt8]: EntryFacts] {
        try makeDirectory(directory("outside/inner"))
        try writeFile(directory("outside/precious"), "precious")
        chmod(directory("outside/precious"), 0o600)
        RandomTree.setTime(directory("outside/precious"), 1_000_000, 1)
        RandomTree.setTime(directory("outside/inner"), 1_000_000, 1)
        RandomTree.setTime(directory("outside"), 1_000_000, 1)
        return try facts(of: directory("outside"))
    }

    @Test(arguments: ["file", "dir", "symlink", "fifo", "chardev", "socket"])
    func `no name of any type leads out of the target`(_ type: String) throws {
        let directory = try ScratchFolder()
        let before = try Self.outside(directory)
        let test = try TestRepository(directory)
        let empty = try test.repository.snapshot(Self.snapshot(test.repository, [])).tree
        let more = [
            "file": "\"content\":[]", "dir": "\"subtree\":\"\(empty)\"", "symlink": "\"linktarget\":\"/etc\"",
            "fifo": "\"content\":null", "chardev": "\"device\":259", "socket": "\"content\":null",
        ]
        let names = [
            "..", ".", "", "/", "//", "../escaped", "a/../../escaped", "..\\\\x2fescaped", "\\\\x2e\\\\x2e",
            "\\\\u002e\\\\u002e", "\\u002e\\u002e", "\\u002e.\\u002fescaped", "..\\\\057escaped", "nul\\\\x00",
            "nul\\u0000",
            directory("outside/absolute"), String(repeating: "x", count: 256),
        ]
        try makeDirectory(directory("inner"))
        for name in names {
            let id = try Self.snapshot(
                test.repository, [Self.node(name, type, more[type] ?? ""), Self.node("good", "file")])
            let target = directory("inner/out")
            let report = try test.repository.restore(TreePath(id), to: target)
            #expect(report.problems.count == 1 && report.files == 1, "\(name): \(report.problems)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: target) == ["good"], "\(name)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory("inner")) == ["out"], "\(name)")
            try FileManager.default.removeItem(atPath: target)
            #expect(try !test.repository.check(readData: true).problems.isEmpty, "\(name)")
            try test.repository.forget(id)
        }
        try expectSame(before, directory("outside"))
    }

    @Test func `links keep their targets, and nothing is done to what they lead to`() throws {
        let directory = try ScratchFolder()
        let before = try Self.outside(directory)
        let test = try TestRepository(directory)
        let inner = try test.repository.snapshot(Self.snapshot(test.repository, [Self.node("precious", "file")])).tree
        let targets = [
            directory("outside"), directory("outside/precious"), "../outside", "../../../../etc/passwd", ".",
        ]
        var nodes: [String] = []
        for (number, target) in targets.enumerated() {
            nodes.append(Self.node("link\(number)", "symlink", "\"linktarget\":\"\(target)\",\"inode\":7,\"links\":2"))
            // Of the same name: a file, a directory, a pipe.
            nodes.append(Self.node("link\(number)", "file"))
            nodes.append(Self.node("link\(number)", "dir", "\"subtree\":\"\(inner)\""))
            nodes.append(Self.node("link\(number)", "fifo", "\"content\":null"))
        }
        let id = try Self.snapshot(test.repository, nodes)
        let report = try test.repository.restore(TreePath(id), to: directory("out"))
        #expect(report.problems.count == 3 * targets.count && report.others == targets.count)
        for (number, target) in targets.enumerated() {
            let path = directory("out/link\(number)")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: path) == target)
        }
        try expectSame(before, directory("outside"))
    }

    @Test func `a directory swapped for a link at any moment of the restore leads nowhere`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 161)
        for name in ["a", "b", "c"] {
            try makeDirectory(directory("data/\(name)/deep"))
            for number in 0..<3 { try writeFile(directory("data/\(name)/deep/f\(number)"), generator.bytes(9000)) }
            link(directory("data/a/deep/f0"), directory("data/\(name)/deep/hard"))
            mkfifo(directory("data/\(name)/deep/pipe"), 0o666)
            symlink("x", directory("data/\(name)/deep/link"))
        }
        let before = try Self.outside(directory)
        let inner = MemoryBlobStore()
        let finished = try TestRepository.backUp(directory("data"), to: inner)
        let outside = directory("outside/inner")
        for number in 1...40 {
            let store = FaultyBlobStore(inner)
            let repository = try CrashBench.open(store)
            let out = directory("out\(number)")
            let reads = Atomic(0)
            store.setScript([
                Fault(
                    .run {
                        reads.add(1, ordering: .relaxed)
                        for trap in [out + "/a/deep", out + "/b"] where rename(trap, trap + ".aside") == 0 {
                            symlink(outside, trap)
                        }
                    }, on: [.get], of: [.data], calls: number...number)
            ])
            let report = try repository.restore(TreePath(finished.id, path: "/data"), to: out)
            try expectSame(before, directory("outside"))
            if reads.load(ordering: .relaxed) == 0 {
                #expect(report.problems == [] && number > 4, "all reads were tried")
                return
            }
        }
        Issue.record("the restore never ended")
    }

    @Test(arguments: [false, true])
    func `what is put in the place of a pipe or device is not given its owner and mode`(_ isSymbolic: Bool) throws {
        let directory = try ScratchFolder()
        let store = MemoryBlobStore()
        let repository = try Repository.create(store: store, password: TestRepository.password, time: LaterTime())
        let count = 400
        let nodes = (0..<count).map { Self.node("p\($0)", "fifo", "\"content\":null") }
        let id = try Self.snapshot(repository, nodes)
        _ = try Self.outside(directory)
        try makeDirectory(directory("traps"))
        let precious = directory("outside/precious")
        for number in 0..<count {
            let trap = directory("traps/p\(number)")
            #expect((isSymbolic ? symlink(precious, trap) : link(precious, trap)) == 0)
        }
        let before = try facts(of: directory("outside"))
        let out = directory("out")
        let traps = directory("traps")
        let isDone = Flag()
        let swapper = Thread {
            var number = 0
            while !isDone.isSet && number < count {
                // As soon as a pipe is there, something else is in its place.
                if access(out + "/p\(number)", F_OK) == 0 { rename(traps + "/p\(number)", out + "/p\(number)") }
                if access(traps + "/p\(number)", F_OK) != 0 { number += 1 }
            }
            isDone.end()
        }
        swapper.start()
        _ = try repository.restore(TreePath(id), to: out)
        isDone.set()
        isDone.waitForEnd()
        var after = try facts(of: directory("outside"))
        after = after.mapValues { facts in
            var facts = facts
            facts.linkedTo = nil
            return facts
        }
        #expect(
            after
                == before.mapValues { facts in
                    var facts = facts
                    facts.linkedTo = nil
                    return facts
                })
    }

    @Test func `a file replaced by a link to a file outside is neither written nor linked through`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 162)
        try makeDirectory(directory("data"))
        try writeFile(directory("data/first"), generator.bytes(20_000))
        link(directory("data/first"), directory("data/second"))
        try writeFile(directory("data/large"), generator.bytes(12 << 20))
        let before = try Self.outside(directory)
        let inner = MemoryBlobStore()
        let finished = try TestRepository.backUp(directory("data"), to: inner)
        for isSymbolic in [true, false] {
            for number in 2...8 {
                let store = FaultyBlobStore(inner)
                let repository = try CrashBench.open(store)
                let out = directory("out-\(isSymbolic)-\(number)")
                let precious = directory("outside/precious")
                store.setScript([
                    Fault(
                        .run {
                            for name in ["first", "large"] where unlink(out + "/" + name) == 0 {
                                _ = isSymbolic ? symlink(precious, out + "/" + name) : link(precious, out + "/" + name)
                            }
                        }, on: [.get], of: [.data], calls: number...Int.max)
                ])
                _ = try repository.restore(TreePath(finished.id, path: "/data"), to: out)
                // Names inside the target are the owner's to give away; the file outside keeps all that it has.
                for name in ["first", "second", "large"] { unlink(out + "/" + name) }
                try expectSame(before, directory("outside"))
            }
        }
    }
}

extension TestRepository {
    /// Makes a repository in a store and backs a directory up as `/data`.
    static func backUp(_ source: String, to store: any BlobStore) throws -> FinishedBackup {
        let repository = try Repository.create(store: store, password: password, time: LaterTime())
        let session = try repository.beginBackup()
        defer { session.abandon() }
        try session.capture(source, as: "/data")
        return try session.finish(info())
    }
}

/// Tells a thread to end, and waits for it.
private final class Flag: Sendable {
    private let stop = Atomic(false)
    private let ended = Atomic(false)

    var isSet: Bool { stop.load(ordering: .sequentiallyConsistent) }
    func set() { stop.store(true, ordering: .sequentiallyConsistent) }
    func end() { ended.store(true, ordering: .sequentiallyConsistent) }
    func waitForEnd() { while !ended.load(ordering: .sequentiallyConsistent) { usleep(1000) } }
}
