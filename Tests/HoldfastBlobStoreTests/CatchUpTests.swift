import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Testing

@Suite struct CatchUpTests {
    private func store(_ stores: [any BlobStore]) throws -> ReplicatedBlobStore {
        try ReplicatedBlobStore(sites: zip(["a", "b", "c"], stores).map { Site.sample($0, $1) }, quorum: 1)
    }

    /// Four packs, two index files, two snapshots, a key and a config.
    private func fill(_ store: any BlobStore) throws {
        for number in 1...4 as ClosedRange<UInt64> {
            try store.put(BlobSamples.name(.data, number), BlobSamples.bytes(1000, seed: number))
        }
        for number in 1...2 as ClosedRange<UInt64> {
            for kind in [BlobKind.index, .snapshot] {
                try store.put(BlobSamples.name(kind, number), BlobSamples.bytes(100, seed: number))
            }
        }
        try store.put(BlobSamples.name(.key, 1), [1, 2, 3])
        try store.put(.config, [4, 5, 6])
    }

    private func catchUp(
        _ store: ReplicatedBlobStore, limit: Int64 = 1 << 30, comparesPacks: Bool = false,
        deleted: Set<BlobName> = [], isWanted: @escaping (BlobName) -> Bool = { _ in true }
    ) -> [SiteCatchUp] {
        store.catchUp(
            CatchUpScope(
                limit: limit, comparesPacks: comparesPacks, deleted: deleted, isOurs: { $0 == [4, 5, 6] },
                isGood: { _, _ in true }, isWanted: isWanted))
    }

    private func contents(_ store: any BlobStore) throws -> [BlobName: [UInt8]] {
        var contents: [BlobName: [UInt8]] = [:]
        for kind in BlobKind.allCases {
            for entry in try store.list(kind) { contents[entry.name] = try store.get(entry.name) }
        }
        return contents
    }

    @Test func `a site that was away gets everything, and then counts as complete`() throws {
        let (full, empty) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(full)
        let sites = try store([full, empty])
        _ = try sites.list(.index)
        #expect(sites.report().map(\.isComplete) == [true, false])
        let reports = catchUp(sites)
        #expect(reports.map(\.copied) == [0, 10])
        #expect(reports.map(\.isWhole) == [true, true])
        #expect(reports[0].snapshots == reports[1].snapshots && reports[1].snapshots.count == 2)
        #expect(sites.report().map(\.isComplete) == [true, true])
        for kind in [BlobKind.config, .key, .data, .index, .snapshot] {
            #expect(try Set(empty.list(kind)) == Set(full.list(kind)))
        }
        #expect(catchUp(sites).map(\.copied) == [0, 0])
    }

    @Test func `what only one site has goes to the other, both ways`() throws {
        let (one, two) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(one)
        try fill(two)
        try one.delete(BlobSamples.name(.index, 1))
        try two.delete(BlobSamples.name(.snapshot, 2))
        #expect(catchUp(try store([one, two])).map(\.copied) == [1, 1])
    }

    @Test func `packs are compared only if something else differs, or if asked to`() throws {
        let (one, two) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(one)
        try fill(two)
        try two.delete(BlobSamples.name(.data, 3))
        #expect(catchUp(try store([one, two])).map(\.copied) == [0, 0])
        #expect(catchUp(try store([one, two]), comparesPacks: true).map(\.copied) == [0, 1])
    }

    @Test func `a deleted snapshot is not brought back by a site that did not hear of it`() throws {
        let (here, back) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(here)
        try fill(back)
        let deleted = BlobSamples.name(.snapshot, 1)
        try here.delete(deleted)
        try back.delete(BlobSamples.name(.snapshot, 2))
        let reports = catchUp(try store([here, back]), isWanted: { $0 != deleted })
        #expect(reports.map(\.copied) == [0, 1])
        #expect(reports.map(\.isWhole) == [true, true])
        #expect(try here.list(.snapshot).map(\.name) == [BlobSamples.name(.snapshot, 2)])
    }

    @Test func `wherever it stops, no site lists an index or a snapshot before all packs, and it goes on`() throws {
        let (full, empty) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(full)
        var rounds = 0
        while true {
            rounds += 1
            let report = catchUp(try store([full, empty]), limit: 1)[1]
            #expect(report.copied == 1)
            let (packs, indexes) = (try empty.list(.data).count, try empty.list(.index).count)
            if indexes > 0 { #expect(packs == 4) }
            if try !empty.list(.snapshot).isEmpty { #expect(indexes == 2) }
            if report.isWhole { break }
            #expect(report.missing > 0 && report.problem == nil)
            try #require(rounds < 20)
        }
        #expect(rounds == 10)
    }

    @Test func `a site that cannot be reached or written to is named, and the others are served`() throws {
        let full = MemoryBlobStore()
        try fill(full)
        let gone = FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()])
        let small = FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(fromPut: 3)])
        let sites = try store([full, gone, small])
        let reports = catchUp(sites)
        #expect(reports.map(\.isReachable) == [true, false, true])
        #expect(reports[1].problem != nil)
        #expect(reports[2].copied == 2 && reports[2].missing == 8)
        #expect(reports[2].problem?.contains("no space left") == true)
        #expect(reports[0].isWhole && !reports[1].isWhole && !reports[2].isWhole)
    }

    enum Stranger: CaseIterable, Sendable {
        /// Another config and another key.
        case otherRepository
        /// The config is gone, and the keys are another's.
        case otherWithoutConfig
        /// Our keys, and a config that is not good.
        case damagedConfig
        /// Neither keys nor a good config: nobody can tell.
        case nothingKnown
    }

    @Test(arguments: Stranger.allCases)
    func `a site that is not known to be ours is neither read nor changed, and named`(_ stranger: Stranger) throws {
        let (ours, strange) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(ours)
        for number in 7...8 as ClosedRange<UInt64> {
            for kind in [BlobKind.data, .index, .snapshot] {
                try strange.put(BlobSamples.name(kind, number), BlobSamples.bytes(500, seed: number))
            }
        }
        if stranger != .otherWithoutConfig { try strange.put(.config, [6, 6, 6]) }
        if stranger != .nothingKnown {
            try strange.put(BlobSamples.name(.key, stranger == .damagedConfig ? 1 : 9), [1, 2, 3])
        }
        let before = try (contents(ours), contents(strange))
        let empty = MemoryBlobStore()
        let sites = try store([ours, strange, empty])
        let reports = catchUp(sites, comparesPacks: true, deleted: [BlobSamples.name(.snapshot, 7)])
        #expect(reports.map(\.copied) == [0, 0, 10])
        #expect(reports.map(\.isWhole) == [true, false, true])
        #expect(reports[1].problem != nil && reports[1].isReachable && reports[1].snapshots.isEmpty)
        #expect(try contents(ours) == before.0)
        #expect(try contents(strange) == before.1)
        #expect(try contents(empty) == before.0)
    }

    @Test func `without any good config nothing is copied`() throws {
        let (one, two) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(one)
        try one.delete(.config)
        #expect(catchUp(try store([one, two])).map(\.copied) == [0, 0])
        #expect(catchUp(try store([one, two])).allSatisfy { !$0.isWhole })
        #expect(try contents(two).isEmpty)
    }

    @Test func `what was deleted while a site was away goes there, and packs of it are not copied back`() throws {
        let (here, back) = (MemoryBlobStore(), MemoryBlobStore())
        try fill(here)
        try fill(back)
        try here.put(BlobSamples.name(.key, 2), [7, 8, 9])
        let deleted: Set = [
            BlobSamples.name(.key, 1), BlobSamples.name(.snapshot, 1), BlobSamples.name(.index, 1),
            BlobSamples.name(.data, 1),
        ]
        for name in deleted { try here.delete(name) }
        try here.put(BlobSamples.name(.deletion, 1), [1])
        let reports = catchUp(try store([here, back]), deleted: deleted)
        #expect(reports.map(\.copied) == [0, 2], "the new key, and the record")
        #expect(reports.map(\.removed) == [0, 2], "the old key, and the snapshot")
        #expect(reports.map(\.isWhole) == [true, true])
        for kind in [BlobKind.key, .snapshot, .deletion] { #expect(try Set(here.list(kind)) == Set(back.list(kind))) }
        #expect(try here.list(.data).count == 3 && back.list(.data).count == 4)
    }
}
