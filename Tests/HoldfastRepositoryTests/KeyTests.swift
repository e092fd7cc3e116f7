import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct KeyTests {
    private static let second = Secret("second")

    /// A repository with two keys: the test's own, and `second`.
    private func bench(_ seed: UInt64) throws -> (store: MemoryBlobStore, own: BlobName, second: BlobName) {
        let store = try CrashBench(seed: seed).store()
        let own = try #require(try store.list(.key).first?.name)
        let name = try CrashBench.open(store).addKey(Self.second, scrypt: .randomPassword, username: "ada")
        return (store, own, BlobName(kind: .key, name: name))
    }

    @Test func `a damaged key is listed as such, can be removed, and is in nobody's way`() throws {
        for replacement in [[], Array("not a key".utf8), nil] as [[UInt8]?] {
            let (store, own, second) = try bench(191)
            let bytes = try store.get(second)
            try store.put(second, replacement ?? bytes.map { $0 == UInt8(ascii: "1") ? UInt8(ascii: "2") : $0 })
            let repository = try CrashBench.open(store)
            let keys = try repository.keys(current: TestRepository.password)
            #expect(Set(keys.map(\.id)) == [own.name, second.name])
            #expect(keys.filter { $0.fault != nil }.map(\.id) == [second.name])
            #expect(keys.filter(\.isCurrent).map(\.id) == [own.name])
            // The last whole one stays, however many damaged ones there are.
            let error = #expect(throws: HoldfastError.self) {
                try repository.removeKey(own.name, current: Secret("nobody's"))
            }
            #expect(error?.code == .conflict)
            #expect(try repository.removeKey(second.name, current: TestRepository.password) == second.name)
            #expect(try store.list(.key).map(\.name) == [own])
        }
    }

    @Test func `names in a key file are read with it`() throws {
        let (store, _, second) = try bench(192)
        let record = try #require(
            try CrashBench.open(store).keys(current: Self.second).first { $0.id == second.name })
        #expect(record.username == "ada" && record.isCurrent && record.fault == nil && record.created != nil)
    }

    @Test func `a key that is damaged on one site is whole by the other`() throws {
        let (one, own, second) = try bench(193)
        let two = MemoryBlobStore()
        for kind in BlobKind.allCases {
            for entry in try one.list(kind) { try two.put(entry.name, one.get(entry.name)) }
        }
        try one.put(second, [1, 2, 3])
        let sites = zip(["one", "two"], [one, two]).map { Site(name: $0, region: "r", location: $0, store: $1) }
        let repository = try CrashBench.open(ReplicatedBlobStore(sites: sites, quorum: 1))
        #expect(try repository.keys(current: TestRepository.password).allSatisfy { $0.fault == nil })
        #expect(try repository.removeKey(own.name, current: Self.second) == own.name)
        // A site that has not got a whole one for it keeps the old one until it is healed.
        #expect(try two.list(.key).map(\.name) == [second])
        #expect(try Set(one.list(.key).map(\.name)) == [own, second])
        #expect(try repository.healSites()?.isWhole == true)
        #expect(try one.list(.key).map(\.name) == [second] && two.list(.key).map(\.name) == [second])
    }

    @Test(arguments: [true, false])
    func `a key that was removed while a site was away opens nothing there afterwards`(_ byCatchUp: Bool) throws {
        let directory = try ScratchFolder()
        let test = try TwoSites(directory)
        try makeDirectory(directory("data"))
        try writeFile(directory("data/file"), "content")
        try test.backUp(directory("data"))
        let second = try test.open().addKey(Self.second, scrypt: .randomPassword)
        let old = try #require(
            try test.stores[0].list(.key).map(\.name.name).first { $0 != second })
        _ = try test.away("two") { try test.open(Self.second).removeKey(old, current: Self.second) }
        // As long as nobody told it, the old password opens the site that was away.
        _ = try test.openAlone("two")
        let repository = try test.open(Self.second)
        if byCatchUp {
            let reports = try repository.catchUpSites(
                limit: 1 << 30, comparesPacks: false, isWanted: { _ in true })
            #expect(reports.map(\.removed) == [0, 1] && reports.allSatisfy { $0.isWhole })
        } else {
            #expect(try repository.healSites()?.isWhole == true)
        }
        for (name, store) in zip(["one", "two"], test.stores) {
            #expect(try store.list(.key).map(\.name.name) == [second])
            let error = #expect(throws: HoldfastError.self) { try test.openAlone(name) }
            #expect(error?.code == .wrongPassword)
            _ = try test.openAlone(name, Self.second)
        }
        // The healing ends what the catching up began, and gives nothing back.
        #expect(try test.open(Self.second).healSites()?.isWhole == true)
        for store in test.stores {
            #expect(try store.list(.key).count == 1 && store.list(.deletion).isEmpty)
        }
    }

    @Test func `a key that was removed on one site's folder alone goes on the other site too`() throws {
        let directory = try ScratchFolder()
        let test = try TwoSites(directory)
        // What tells a folder that it is one of several: the catalogue's notes lie there.
        let note = BlobName(kind: .record, name: String(repeating: "a", count: 64))
        for store in test.stores { try store.put(note, [1]) }
        let second = try test.open().addKey(Self.second, scrypt: .randomPassword)
        let old = try #require(try test.stores[0].list(.key).map(\.name.name).first { $0 != second })
        _ = try test.openAlone("one", Self.second).removeKey(old, current: Self.second)
        _ = try test.open(Self.second).healSites(readData: false)
        for store in test.stores { #expect(try store.list(.key).map(\.name.name) == [second]) }
    }

    @Test func `a key is not removed once the lock is lost`() throws {
        let (store, own, _) = try bench(194)
        let repository = try CrashBench.open(store)
        let error = #expect(throws: HoldfastError.self) {
            try repository.whileAlone { lock in
                // Somebody took it for stale.
                try CrashBench.open(store, later: 7200).lockExclusively().release()
                return try repository.removeKey(own.name, current: Self.second, lock: lock)
            }
        }
        #expect(error?.code == .locked)
        #expect(try store.list(.key).count == 2)
    }
}
