import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Somebody takes the lock of a long piece of work for stale, and prunes.
@Suite(.serialized) struct LostLockTests {
    /// Into what is copied: it holds what the copies need, and no snapshot needs it.
    private static func target(_ bench: CrashBench, _ source: Repository) throws -> MemoryBlobStore {
        let store = MemoryBlobStore()
        let target = try Repository.create(store: store, password: TestRepository.password, time: LaterTime())
        for copied in try source.copy(of: source.records(), into: target).snapshots { try target.forget(copied.copy) }
        return store
    }

    @Test(arguments: [BlobKind.index, .snapshot], [false, true])
    func `a copy whose lock was removed takes back what it stored`(_ kind: BlobKind, _ hasNews: Bool) throws {
        let bench = try CrashBench(seed: 221)
        let origin = try bench.store()
        let source = try CrashBench.open(origin)
        let inner = try Self.target(bench, source)
        if hasNews { try bench.backUp(source) }
        let store = FaultyBlobStore(inner)
        let target = try CrashBench.open(store)
        store.setScript([
            Fault(
                .run {
                    let other = try CrashBench.open(inner, later: 7200)
                    try other.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
                }, on: [.put], of: [kind], calls: 1...1)
        ])
        if kind == .index && !hasNews {
            // Everything is there already: no index file is stored.
            _ = try source.copy(of: source.records(), into: target)
            #expect(try inner.list(.snapshot).count == 2)
        } else {
            let error = #expect(throws: HoldfastError.self) {
                try source.copy(of: source.records(), into: target)
            }
            #expect(error?.code == .locked)
            #expect(try inner.list(.snapshot).isEmpty)
        }
        let now = try CrashBench.open(inner, later: 7200)
        #expect(try now.check(readData: true).problems == [])
        // The next one brings everything.
        _ = try CrashBench.open(origin, later: 7200).copy(of: source.records(), into: now)
        #expect(try now.check(readData: true).problems == [])
        #expect(try now.snapshots().count == (hasNews ? 3 : 2))
    }

    @Test func `whoever works alone is told that he does not any more`() throws {
        let bench = try CrashBench(seed: 222)
        let store = try bench.store()
        try CrashBench.open(store).whileAlone { lock in
            try lock.requireHeld()
            try CrashBench.open(store, later: 7200).beginBackup().abandon()
            let error = #expect(throws: HoldfastError.self) { try lock.requireHeld() }
            #expect(error?.code == .locked)
        }
    }
}
