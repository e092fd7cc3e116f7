import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct ResticJudgeTests {
    @Test func `restic checks and restores what we wrote, byte for byte`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 11)
        try RandomTree.makeZoo(directory("source"), using: &generator)
        let test = try TestRepository(directory)
        let (finished, captured) = try test.backUp(directory("source"))
        #expect(captured.filesRead == captured.files && captured.vanished == 0)
        #expect(finished.logicalBytes == captured.bytes)
        try test.restic.check()
        #expect(try test.repository.check(readData: true).problems == [])
        try test.restic.expect("restore", "\(finished.id)", "--target", directory("theirs"))
        try expectSame(directory("source"), directory("theirs/data"))
        let report = try test.restore(finished.id, to: "ours")
        #expect(report.problems == [] && report.remarks == [])
        #expect(report.bytes <= finished.logicalBytes)
        try expectSame(directory("source"), directory("ours"))
    }

    @Test func `what restic wrote is checked, listed and restored`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 12)
        try RandomTree.makeZoo(directory("source"), using: &generator)
        let restic = Restic(repository: directory("r"), password: "p")
        try restic.expect("init")
        try restic.expect("backup", directory("source"), "--tag", "theirs", "--host", "somewhere")
        let repository = try Repository.open(store: FileBlobStore(root: directory("r")), password: Secret("p"))
        let report = try repository.check(readData: true)
        #expect(report.problems == [] && report.snapshots == 1 && report.bytesRead > 9 << 20)
        let entry = try #require(try repository.snapshots().first)
        #expect(entry.snapshot.info.tags == ["theirs"] && entry.snapshot.info.hostname == "somewhere")
        let restored = try repository.restore(
            TreePath(entry.id, path: directory("source")), to: directory("ours"))
        #expect(restored.problems == [])
        try expectSame(directory("source"), directory("ours"))
        #expect(try repository.file(snapshot: entry.id, path: directory("source/one")) == Array("1".utf8))
        var seen: [String] = []
        try repository.walk(entry.id, path: directory("source")) { entry in
            seen.append(entry.path)
            return true
        }
        #expect(seen.contains(directory("source/sub/large")))
        let listed = try repository.list(entry.id, path: directory("source"))
        #expect(listed.contains { $0.path.hasSuffix("/dangling") })
    }

    @Test func `both write into one repository in turn`() throws {
        let directory = try ScratchFolder()
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        try RandomTree.makeMany(directory("data"), files: 60, using: &generator)
        let test = try TestRepository(directory)
        let first = try test.backUp(directory("data")).finished
        try test.restic.expect("backup", directory("data"))
        _ = try RandomTree.disturb(directory("data"), using: &generator)
        let second = try test.backUp(directory("data"), parent: first.id).finished
        try test.restic.expect("backup", directory("data"), "--force")
        try test.restic.check()
        #expect(try test.repository.check(readData: true).problems == [], "seed \(seed)")
        #expect(try test.repository.snapshots().count == 4)
        try test.repository.forget(first.id)
        try test.restic.expect("prune", "--max-unused", "0")
        try test.restic.check()
        #expect(try test.restore(second.id, to: "after-prune").problems == [])
        try expectSame(directory("data"), directory("after-prune"))
        let third = try test.backUp(directory("data"), parent: second.id)
        #expect(third.finished.addedBytes == 0, "seed \(seed): restic's prune kept all that is needed")
        try test.restic.check()
    }

    @Test func `restic finds our data when it backs up the same small files`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 14)
        try RandomTree.makeMany(directory("data"), files: 30, using: &generator)
        let test = try TestRepository(directory)
        try test.backUp(directory("data"))
        let packs = try test.store.list(.data).reduce(0) { $0 + $1.size }
        try test.restic.expect("backup", directory("data"))
        let after = try test.store.list(.data).reduce(0) { $0 + $1.size }
        #expect(after - packs < packs / 10)
    }

    @Test func `our snapshots have the tags, time and host that restic filters by`() throws {
        let directory = try ScratchFolder()
        try writeFile(directory("file"), "hello")
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.add(file: directory("file"), as: "/code/file")
        try session.add(bytes: Array("{}".utf8), as: "/manifest.json", mode: 0o640)
        let finished = try session.finish(
            SnapshotInfo(
                time: Date(timeIntervalSince1970: 1_700_000_000), hostname: "abc", tags: ["x", "y=z"], paths: ["/"]))
        let list = try test.restic.expect("snapshots", "--host", "abc", "--tag", "y=z", "--json")
        #expect(list.contains("\(finished.id)") && list.contains("2023-11-14T22:13:20Z"))
        #expect(try test.restic.expect("dump", "\(finished.id)", "/code/file") == "hello")
        #expect(try test.repository.file(snapshot: finished.id, path: "/manifest.json") == Array("{}".utf8))
        try test.restic.check()
    }

    @Test func `while a backup runs restic may write but not lock the repository for itself`() throws {
        let directory = try ScratchFolder()
        try writeFile(directory("file"), "hello")
        let test = try TestRepository(directory, time: SystemTime())
        let session = try test.repository.beginBackup()
        try test.restic.expect("backup", directory("file"))
        let outcome = try test.restic.run("prune")
        #expect(outcome.status != 0 && (outcome.errors + outcome.output).contains("locked"))
        session.abandon()
        try test.restic.expect("prune")
        let exclusive = try test.repository.lockExclusively()
        let error = #expect(throws: HoldfastError.self) { try test.repository.beginBackup() }
        #expect(error?.code == .locked)
        #expect(try test.restic.run("backup", directory("file")).status != 0)
        exclusive.release()
        try test.backUp(directory.path, parent: nil)
        #expect(try test.store.list(.lock).isEmpty)
    }

    @Test func `the lock of a dead process is removed`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory, time: LaterTime(seconds: -3600))
        let old = try test.repository.lockExclusively()
        let now = try Repository.open(store: test.store, password: TestRepository.password)
        try now.beginBackup().abandon()
        #expect(try test.store.list(.lock).isEmpty)
        old.release()
    }
}
