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
        isWanted: (BlobName) -> Bool = { _ in true }
    ) -> [SiteCatchUp] {
        store.catchUp(limit: limit, comparesPacks: comparesPacks, isWanted: isWanted, isGood: { _, _ in true })
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
}
