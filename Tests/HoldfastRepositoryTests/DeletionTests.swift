import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct DeletionTests {
    private func makeData(_ directory: ScratchFolder, _ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        try RandomTree.makeMany(directory("data"), files: 40, using: &generator)
        try RandomTree.makeMany(directory("other"), files: 30, using: &generator)
    }

    @Test(arguments: ["one", "two"])
    func `a site that was away in forget and prune deletes what went, and gives nothing back`(_ name: String) throws {
        let directory = try ScratchFolder()
        try makeData(directory, 81)
        let test = try TwoSites(directory)
        let old = try test.backUp(directory("data"))
        let kept = try test.backUp(directory("other"))
        let newest = try test.away(name) {
            try test.open().forget(old)
            let report = try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            #expect(report.packsRemoved > 0)
            return try test.backUp(directory("other"))
        }
        #expect(try test.restic(name).expect("snapshots", "--json").contains(old.description))
        // Before it is healed: what it still shows is not listed, and everything restores.
        #expect(try Set(test.open().snapshots().map(\.id)) == [kept, newest])
        let restored = try test.open().restore(TreePath(newest, path: "/data"), to: directory("out"))
        #expect(restored.problems == [])

        let report = try #require(try test.open().healSites())
        #expect(report.isWhole && report.removed > 1 && report.copied > 1)
        try test.expectEqualAndWhole()
        #expect(try Set(test.openAlone(name).snapshots().map(\.id)) == [kept, newest])
        let again = try #require(try test.open().healSites())
        #expect(again.isWhole && again.removed == 0 && again.copied == 0)
    }

    @Test func `what a backup on one site needs survives a prune that knew of the other site only`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 82)
        let test = try TwoSites(directory)
        let old = try test.backUp(directory("data"))
        try test.open().forget(old)
        // Nothing is new in it: all its data is what the prune is about to remove.
        let lonely = try test.away("one") { try test.backUp(directory("data")) }
        try test.away("two") { _ = try test.open().planPrune().execute() }
        #expect(try test.stores[0].list(.data).isEmpty)
        let report = try #require(try test.open().healSites())
        #expect(report.isWhole)
        try test.expectEqualAndWhole()
        for name in ["one", "two"] {
            let restored = try test.openAlone(name).restore(
                TreePath(lonely, path: "/data"), to: directory("out-" + name))
            #expect(restored.problems == [])
            try expectSame(directory("data"), directory("out-" + name))
        }
        // The next prune, which knows of both, removes what is really unused.
        try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        try test.expectEqualAndWhole()
    }

    @Test func `for every n, a heal that stops at its n-th put or delete leaves each site whole`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 83)
        let test = try TwoSites(directory)
        let old = try test.backUp(directory("data"))
        try test.backUp(directory("other"))
        try test.away("two") {
            try test.open().forget(old)
            try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            try test.backUp(directory("other"))
        }
        for number in 1...40 {
            let faulty = FaultyBlobStore(test.stores[1])
            let sites = [test.sites[0], Site(name: "two", region: "here", location: "two", store: faulty)]
            let repository = try Repository.open(
                store: ReplicatedBlobStore(sites: sites, quorum: 1), password: TestRepository.password,
                time: LaterTime())
            // The first put is the lock.
            faulty.setScript([
                Fault(
                    .fail(HoldfastError(.unavailable, "killed")), on: [.put, .delete],
                    of: [.data, .index, .snapshot, .deletion], calls: number...Int.max)
            ])
            let hasEnded = try repository.healSites()?.isWhole == true
            for entry in try test.stores[1].list(.lock) { try test.stores[1].delete(entry.name) }
            try test.restic("two").check()
            if hasEnded && number > 3 { break }
            #expect(number < 40)
        }
        _ = try test.open().healSites()
        try test.expectEqualAndWhole()
    }

    /// Two sites of which the second missed a forget, a prune and a backup; what is to stay, and what it had.
    private func makeStale(_ directory: ScratchFolder, _ test: TwoSites) throws -> SnapshotID {
        let old = try test.backUp(directory("data"))
        let kept = try test.backUp(directory("other"))
        try test.away("two") {
            try test.open().forget(old)
            let report = try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            #expect(report.packsRemoved > 0)
            try test.backUp(directory("other"))
        }
        return kept
    }

    /// The second site restores a backup while the first one is away, also when it is asked as one of two.
    private func expectRestorable(_ id: SnapshotID, _ directory: ScratchFolder, _ test: TwoSites) throws {
        try test.restic("two").check()
        try test.away("one") {
            for (name, repository) in [("both", try test.open()), ("alone", try test.openAlone("two"))] {
                let out = directory("out-\(name)-\(UInt32.random(in: 0 ... .max))")
                #expect(try repository.restore(TreePath(id, path: "/data"), to: out).problems == [])
                try expectSame(directory("other"), out)
            }
        }
    }

    @Test(arguments: [BlobKind.data, .index, .snapshot])
    func `a site loses nothing as long as the other one cannot give what replaces it`(_ kind: BlobKind) throws {
        let directory = try ScratchFolder()
        try makeData(directory, 88)
        let test = try TwoSites(directory)
        let kept = try makeStale(directory, test)
        let faulty = FaultyBlobStore(test.stores[0])
        let sites = [Site(name: "one", region: "here", location: "one", store: faulty), test.sites[1]]
        let repository = try Repository.open(
            store: ReplicatedBlobStore(sites: sites, quorum: 1), password: TestRepository.password, time: LaterTime())
        faulty.setScript([
            Fault(.fail(HoldfastError(.unavailable, "the line is cut")), on: [.get], of: [kind], calls: 1...Int.max)
        ])
        // Without what tells which is needed it does not even begin.
        #expect((try? repository.healSites())?.isWhole != true)
        for entry in try test.stores[1].list(.lock) { try test.stores[1].delete(entry.name) }
        try expectRestorable(kept, directory, test)
        #expect(try test.open().healSites()?.isWhole == true)
        try test.expectEqualAndWhole()
    }

    @Test func `a site that has heard of a prune, and got nothing of what it wrote, shows what it has`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 89)
        let test = try TwoSites(directory)
        let kept = try makeStale(directory, test)
        // A catching up that ends early does not bring the record before the rest.
        _ = try test.open().catchUpSites(limit: 1, comparesPacks: true, isWanted: { _ in true })
        #expect(try test.stores[1].list(.deletion).isEmpty)
        for entry in try test.stores[0].list(.deletion) {
            try test.stores[1].put(entry.name, test.stores[0].get(entry.name))
        }
        try expectRestorable(kept, directory, test)
        let healed = try test.away("one") { try test.open().healSites() }
        #expect(healed?.isWhole == false)
        try expectRestorable(kept, directory, test)
        #expect(try test.open().healSites()?.isWhole == true)
        try test.expectEqualAndWhole()
    }

    @Test func `a record that is not sealed with the repository's key condemns nothing`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 84)
        let test = try TwoSites(directory)
        let kept = try test.backUp(directory("data"))
        let text = "{\"version\":1,\"snapshots\":[\"\(kept)\"]}"
        let bytes = Array(text.utf8)
        try test.stores[1].put(BlobName(kind: .deletion, name: FileDigest.sha256(of: bytes)), bytes)
        #expect(try test.open().snapshots().map(\.id) == [kept])
        _ = try test.open().healSites()
        #expect(try test.open().snapshots().map(\.id) == [kept])
        #expect(try test.stores.allSatisfy { try $0.list(.snapshot).count == 1 })
    }

    @Test func `with one site there are no records, and with two there are none after all took part`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 85)
        let single = try TestRepository(directory)
        try single.repository.forget(single.backUp(directory("data")).finished.id)
        #expect(!FileManager.default.fileExists(atPath: single.path + "/holdfast-deletions"))
        let test = try TwoSites(directory)
        try test.open().forget(test.backUp(directory("data")))
        try test.open().planPrune().execute()
        try test.expectEqualAndWhole()
    }

    @Test func `a scrub in parts finds every damage once all parts were read`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 86)
        let test = try TwoSites(directory)
        try test.backUp(directory("data"))
        try test.backUp(directory("other"))
        let packs = try test.stores[0].list(.data)
        for entry in packs {
            var bytes = try test.stores[0].get(entry.name)
            bytes[entry.size / 2] ^= 1
            try test.stores[0].put(entry.name, bytes)
        }
        var replaced = 0
        for part in 1...3 {
            let report = try #require(try test.open().healSites(.part(part, of: 3)))
            #expect(report.isWhole)
            replaced += report.replaced
        }
        #expect(replaced == packs.count && packs.count > 1)
        try test.expectEqualAndWhole()
    }

    @Test func `a restore goes on from the other site wherever the first one breaks`() throws {
        let directory = try ScratchFolder()
        try makeData(directory, 87)
        let test = try TwoSites(directory)
        let id = try test.backUp(directory("data"))
        let gone = Fault.Effect.fail(HoldfastError(.unavailable, "the line is cut"))
        let scripts: [[Fault]] = [
            [Fault(gone, on: [.get], of: [.data], calls: 1...Int.max)],
            [Fault(gone, on: [.get], of: [.data], calls: 2...Int.max)],
            [Fault(gone, on: [.get, .list, .size], calls: 6...Int.max)],
            [Fault(.tear(1000), on: [.get], of: [.data])],
            [Fault(.flip(100), on: [.get], of: [.data])],
            [Fault(.flip(40), on: [.get], of: [.index, .snapshot])],
        ]
        for (number, script) in scripts.enumerated() {
            let faulty = FaultyBlobStore(test.stores[0])
            let sites = [Site(name: "one", region: "here", location: "one", store: faulty), test.sites[1]]
            let store = try ReplicatedBlobStore(sites: sites, quorum: 1)
            let repository = try Repository.open(store: store, password: TestRepository.password, time: LaterTime())
            faulty.setScript(script)
            let report = try repository.restore(TreePath(id, path: "/data"), to: directory("out-\(number)"))
            #expect(report.problems == [], "script \(number)")
            try expectSame(directory("data"), directory("out-\(number)"))
            #expect(faulty.count(.get) > 0)
        }
    }
}
