import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Stale locks, and clocks that jump.
@Suite(.serialized) struct LockTests {
    private static func waste(_ bench: CrashBench, _ store: any BlobStore) throws {
        try CrashBench.open(store).forget(bench.victim)
    }

    @Test func `the lock of a killed process of this machine is removed at once`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory, time: SystemTime())
        for kind in ["exclusive", "shared"] {
            let process = try ProofProcess("lock", test.path, kind)
            process.waitForOutput()
            #expect(throws: HoldfastError.self, "\(kind)") { try test.repository.lockExclusively() }
            process.kill()
            #expect(try test.store.list(.lock).count == 1)
            try test.repository.lockExclusively().release()
            #expect(try test.store.list(.lock).isEmpty)
        }
    }

    @Test func `a lock that is refreshed lives on, and an old one does not`() throws {
        let bench = try CrashBench(seed: 131)
        let store = try bench.store()
        let clock = MovableTime()
        let repository = try Repository.open(store: store, password: TestRepository.password, time: clock)
        let lock = try repository.lockExclusively()
        for _ in 0..<12 {
            clock.move(by: 300)
            lock.refresh()
            #expect(try store.list(.lock).count == 1)
            #expect(throws: HoldfastError.self) { try repository.beginBackup() }
        }
        clock.move(by: 31 * 60)
        try repository.beginBackup().abandon()
        #expect(try store.list(.lock).isEmpty)
        lock.release()
    }

    @Test func `a lock that was removed as stale is not brought back by its owner's refresh`() throws {
        let bench = try CrashBench(seed: 132)
        let store = try bench.store()
        let slept = try CrashBench.open(store).lockExclusively()
        // The other one's clock has jumped forward.
        let other = try CrashBench.open(store, later: 7200).lockExclusively()
        slept.refresh()
        #expect(try store.list(.lock).count == 1, "only the other one's")
        slept.release()
        #expect(throws: HoldfastError.self) { try CrashBench.open(store, later: 7200).beginBackup() }
        other.release()
    }

    @Test(arguments: [false, true])
    func `whoever refreshes a lock while another takes it for stale is seen by the other, or gives way`(
        _ hasSlept: Bool
    ) throws {
        let bench = try CrashBench(seed: 133)
        let inner = try bench.store()
        let clock = MovableTime()
        let owner = try Repository.open(store: inner, password: TestRepository.password, time: clock)
        let lock = try owner.lockExclusively()
        // Asleep for two hours, or the other one's clock is wrong.
        if hasSlept { clock.move(by: 7200) }
        // The other one has listed the locks and is about to remove the old one; the owner wakes up just then.
        let store = FaultyBlobStore(
            inner, script: [Fault(.run { lock.refresh() }, on: [.delete], of: [.lock], calls: 1...1)])
        let other = try CrashBench.open(store, later: 7200)
        do {
            let second = try other.lockExclusively()
            #expect(!hasSlept)
            #expect(throws: HoldfastError.self) { try lock.requireHeld() }
            try second.requireHeld()
            second.release()
        } catch let error as HoldfastError {
            #expect(error.code == .locked && hasSlept)
            try lock.requireHeld()
        }
        lock.release()
        #expect(try inner.list(.lock).isEmpty)
    }

    @Test func `a backup whose lock was removed while it slept fails, and leaves nothing that needs what was pruned`()
        throws
    {
        let bench = try CrashBench(seed: 134)
        for isLate in [false, true] {
            let store = try bench.store()
            let faulty = FaultyBlobStore(store)
            // Before the prune the backup builds on what a forgotten snapshot left.
            try Self.waste(bench, store)
            let session = try CrashBench.open(faulty).beginBackup()
            try session.capture(bench.directory("two"), as: "/next")
            let prune: @Sendable () throws -> Void = {
                let other = try CrashBench.open(store, later: 7200)
                try CrashStep.prune.run(other, bench)
            }
            if isLate {
                faulty.setScript([Fault(.run(prune), on: [.put], of: [.snapshot])])
            } else {
                try prune()
            }
            let error = #expect(throws: HoldfastError.self) { try session.finish(TestRepository.info(["next"])) }
            #expect(error?.code == .locked, "late: \(isLate)")
            let now = try CrashBench.open(store, later: 7200)
            #expect(try now.check(readData: true).problems == [], "late: \(isLate)")
            #expect(try now.snapshots().count == 1)
            try CrashStep.prune.run(now, bench)
            try bench.expectTidy(now, store, "late: \(isLate)")
        }
    }

    @Test func `a prune whose lock was removed stops before it removes anything more`() throws {
        let bench = try CrashBench(seed: 135)
        let inner = try bench.store()
        let store = FaultyBlobStore(inner)
        let plan = try CrashBench.open(store).planPrune(PruneOptions(maxUnusedPercent: 0))
        let held = Keep<BackupSession>()
        store.setScript([
            Fault(
                .run { held.keep(try CrashBench.open(inner, later: 7200).beginBackup()) },
                on: [.delete], of: [.data], calls: 1...1)
        ])
        let error = #expect(throws: HoldfastError.self) { try plan.execute() }
        #expect(error?.code == .locked)
        let session = try #require(held.value)
        try session.capture(bench.directory("two"), as: "/next/two")
        let finished = try session.finish(TestRepository.info(["next"]))
        let now = try CrashBench.open(inner, later: 7200)
        #expect(try now.check(readData: true).problems == [])
        #expect(try now.restore(TreePath(finished.id), to: bench.directory("out")).problems == [])
    }

    @Test func `a lock from the future is respected, and that of a dead process from the future is not`() throws {
        let directory = try ScratchFolder()
        // The clock went back by a day since this lock was taken.
        let test = try TestRepository(directory, time: LaterTime(seconds: 86_400))
        let future = try test.repository.lockExclusively()
        let now = try Repository.open(store: test.store, password: TestRepository.password)
        #expect(throws: HoldfastError.self) { try now.beginBackup() }
        future.release()
        try now.beginBackup().abandon()
        let process = try ProofProcess("lock", test.path, "exclusive")
        process.waitForOutput()
        process.kill()
        let earlier = try Repository.open(
            store: test.store, password: TestRepository.password, time: LaterTime(seconds: -86_400))
        try earlier.beginBackup().abandon()
        #expect(try test.store.list(.lock).isEmpty)
    }

    @Test func `a clock that went back between two backups loses no change`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try makeDirectory(directory("data"))
        try writeFile(directory("data/file"), "one")
        let first = try test.backUp(directory("data")).finished
        let back = try Repository.open(
            store: test.store, password: TestRepository.password, time: LaterTime(seconds: -86_400))
        try writeFile(directory("data/file"), "two")
        let second = try test.backUp(directory("data"), parent: first.id, in: back).finished
        #expect(try back.file(snapshot: second.id, path: "/data/file") == Array("two".utf8))
        try writeFile(directory("data/file"), "six")
        let third = try test.backUp(directory("data"), parent: second.id, in: back).finished
        #expect(try back.file(snapshot: third.id, path: "/data/file") == Array("six".utf8))
        try test.restic.check()
    }
}

/// A clock that a test moves.
final class MovableTime: TimeSource, @unchecked Sendable {
    private let lock = NSLock()
    private var offset: Double = 0

    func move(by seconds: Double) { lock.withLock { offset += seconds } }
    func now() -> Date { SystemTime().now().addingTimeInterval(lock.withLock { offset }) }
    func monotonicNanoseconds() -> UInt64 { SystemTime().monotonicNanoseconds() }
}

/// Something that a closure of another thread leaves for the test. Both wait for each other.
private final class Keep<Value>: @unchecked Sendable {
    private(set) var value: Value?
    func keep(_ value: Value) { self.value = value }
}
