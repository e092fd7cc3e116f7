import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Removals on one site that did not know what the other one holds: nothing that a backup needs is lost by them.
@Suite(.serialized) struct DeletionConflictTests {
    private let directory: ScratchFolder
    private let test: TwoSites

    init() throws {
        directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 91)
        for name in ["data", "first", "second"] {
            try RandomTree.makeMany(directory(name), files: 40, using: &generator)
        }
        test = try TwoSites(directory)
        // As projects have them on their sites: so each folder is known to be one of several.
        let note = BlobName(kind: .record, name: FileDigest.sha256(of: [1]))
        for store in test.stores { try store.put(note, [1]) }
    }

    private func expectRestorable(_ id: SnapshotID, _ repository: Repository, _ name: String) throws {
        let report = try repository.restore(TreePath(id, path: "/data"), to: directory(name))
        #expect(report.problems == [], "\(name)")
        try expectSame(directory("data"), directory(name))
    }

    /// Restorable at once, after a catch-up, after a heal, and then from each site by itself.
    private func expectKept(_ id: SnapshotID) throws {
        try expectRestorable(id, test.open(), "at-once")
        _ = try test.open().catchUpSites(limit: .max, comparesPacks: true, isWanted: { _ in true })
        try expectRestorable(id, test.open(), "after-catching-up")
        #expect(try test.open().healSites()?.isWhole == true)
        try test.expectEqualAndWhole()
        for name in ["one", "two"] { try expectRestorable(id, test.openAlone(name), "only-\(name)") }
    }

    @Test func `what is damaged on a site that was repaired by itself comes from the other one`() throws {
        let id = try test.backUp(directory("data"))
        for entry in try test.stores[0].list(.data) {
            var bytes = try test.stores[0].get(entry.name)
            bytes[entry.size / 2] ^= 1
            try test.stores[0].put(entry.name, bytes)
        }
        #expect(try test.openAlone("one").repair().blobsLost > 0)
        try expectKept(id)
    }

    @Test func `what is missing on a site that was repaired by itself comes from the other one`() throws {
        let id = try test.backUp(directory("data"))
        for entry in try test.stores[0].list(.data) { try test.stores[0].delete(entry.name) }
        #expect(try test.openAlone("one").repair().blobsLost > 0)
        try expectKept(id)
    }

    @Test func `two prunes that did not know of each other do not each remove the other copy`() throws {
        // Two backups at once both store what they share.
        let sessions = try [test.open().beginBackup(), test.open().beginBackup()]
        var ids: [SnapshotID] = []
        for (session, own) in zip(sessions, ["first", "second"]) {
            try session.capture(directory("data"), as: "/data")
            try session.capture(directory(own), as: "/own")
        }
        for session in sessions { ids.append(try session.finish(TestRepository.info()).id) }
        let id = try test.backUp(directory("data"))
        for (away, forgotten) in zip(["two", "one"], ids) {
            try test.away(away) {
                try test.open().forget(forgotten)
                let report = try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
                #expect(report.packsRemoved > 0)
            }
        }
        try expectKept(id)
    }

    @Test func `a prune does not claim to have looked at a backup that came to light under way`() throws {
        let old = try test.backUp(directory("data"))
        try test.backUp(directory("first"))
        try test.open().forget(old)
        // Nothing is new in it: all its data is what the prune is about to remove.
        let lonely = try test.away("one") { try test.backUp(directory("data")) }
        let (here, there) = (directory("two"), directory("two.away"))
        #expect(rename(here, there) == 0)
        let plan = try test.open().planPrune(PruneOptions(maxUnusedPercent: 0))
        do {
            try plan.execute {
                // The site comes back when the plan is made.
                if access(there, F_OK) == 0 { #expect(rename(there, here) == 0) }
            }
        } catch { #expect((error as? HoldfastError)?.code == .unavailable, "\(error)") }
        try expectKept(lonely)
    }

    @Test func `a prune that knew of the one before is carried out without another look`() throws {
        let old = try test.backUp(directory("first"))
        let older = try test.backUp(directory("second"))
        let kept = try test.backUp(directory("data"))
        let packs = try test.stores[1].list(.data)
        try test.away("two") {
            for id in [old, older] {
                try test.open().forget(id)
                let report = try test.open().planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
                #expect(report.packsRemoved > 0)
            }
        }
        #expect(try test.stores[1].list(.data) == packs)
        #expect(try test.open().healSites()?.removed ?? 0 > 2)
        try test.expectEqualAndWhole()
        try expectRestorable(kept, test.openAlone("two"), "out")
    }

    @Test func `keys that were removed on one site each do not leave a repository without any`() throws {
        let id = try test.backUp(directory("data"))
        let other = Secret("another one")
        let added = try test.open().addKey(other, scrypt: .randomPassword)
        let first = try #require(try test.stores[0].list(.key).map(\.name.name).first { $0 != added })
        _ = try test.openAlone("one").removeKey(added, current: TestRepository.password)
        _ = try test.openAlone("two", other).removeKey(first, current: other)
        for password in [TestRepository.password, other] {
            _ = try test.open(password).catchUpSites(limit: .max, comparesPacks: true, isWanted: { _ in true })
            #expect(try test.open(password).healSites() != nil)
            let restored = try test.open(password).restore(
                TreePath(id, path: "/data"), to: directory("by-\(password.reveal().count)"))
            #expect(restored.problems == [])
        }
        #expect(try test.stores.allSatisfy { try !$0.list(.key).isEmpty })
    }

    @Test func `a key stays on a site that has not got the one which replaces it`() throws {
        let faulty = FaultyBlobStore(test.stores[1])
        let sites = [test.sites[0], Site(name: "two", region: "here", location: "two", store: faulty)]
        let other = Secret("another one")
        func open(_ password: Secret) throws -> Repository {
            let store = try ReplicatedBlobStore(sites: sites, quorum: 1)
            return try Repository.open(store: store, password: password, time: LaterTime())
        }
        let first = try #require(try test.stores[0].list(.key).first).name.name
        let repository = try open(TestRepository.password)
        faulty.setScript([Fault(.fail(HoldfastError(.system, "the disk is full")), on: [.put], calls: 1...Int.max)])
        _ = try repository.addKey(other, scrypt: .randomPassword)
        _ = try open(other).removeKey(first, current: other)
        #expect(try test.stores[1].list(.key).map(\.name.name) == [first])
        _ = try test.openAlone("two")
        #expect(try test.open(other).healSites()?.isWhole == true)
        #expect(try test.stores.allSatisfy { try $0.list(.key).count == 1 && $0.list(.key) != [] })
        _ = try test.openAlone("two", other)
    }

    @Test func `a snapshot that is forgotten while the sites are healed stays forgotten`() throws {
        let id = try test.backUp(directory("data"))
        let name = BlobName(kind: .snapshot, name: id.description)
        try test.stores[1].delete(name)
        let faulty = FaultyBlobStore(test.stores[0])
        let sites = [Site(name: "one", region: "here", location: "one", store: faulty), test.sites[1]]
        let repository = try Repository.open(
            store: ReplicatedBlobStore(sites: sites, quorum: 1), password: TestRepository.password, time: LaterTime())
        let stores = test.stores
        faulty.setScript([
            Fault(.run { for store in stores { try store.delete(name) } }, on: [.get], of: [.snapshot], calls: 1...1)
        ])
        let report = try #require(try repository.healSites())
        #expect(report.isWhole && report.lost == [])
        #expect(try test.stores.allSatisfy { try $0.list(.snapshot).isEmpty })
    }
}
