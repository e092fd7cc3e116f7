import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// A site that holds another repository: somebody mounted the wrong disk.
@Suite(.serialized) struct StrangerTests {
    private typealias Contents = [BlobName: [UInt8]]

    private static func contents(_ store: any BlobStore) throws -> Contents {
        var contents: Contents = [:]
        for kind in BlobKind.allCases where kind != .lock {
            for entry in try store.list(kind) { contents[entry.name] = try store.get(entry.name) }
        }
        return contents
    }

    /// A repository of somebody else, with a snapshot.
    private static func stranger(
        _ bench: CrashBench, password: Secret = Secret("theirs")
    ) throws -> MemoryBlobStore {
        let store = MemoryBlobStore()
        let repository = try Repository.create(store: store, password: password, time: LaterTime())
        try bench.backUp(repository)
        // A lock of theirs is not in our way either.
        try store.put(BlobSamples.name(.lock, 1), [1, 2, 3])
        return store
    }

    private static func open(_ stores: [any BlobStore]) throws -> Repository {
        let sites = stores.enumerated().map { Site(name: "\($0)", region: "r", location: "\($0)", store: $1) }
        return try CrashBench.open(ReplicatedBlobStore(sites: sites, quorum: 1))
    }

    enum Form: CaseIterable, Sendable { case whole, damagedConfig, withoutConfig }

    private static func change(_ store: MemoryBlobStore, _ form: Form) throws {
        let config = try store.get(.config)
        if form != .whole { try store.delete(.config) }
        if form == .damagedConfig { try store.put(.config, Array(config.reversed())) }
    }

    @Test(arguments: Form.allCases, [true, false])
    func `catching up neither reads nor changes it`(_ form: Form, _ isFirst: Bool) throws {
        let bench = try CrashBench(seed: 201)
        let (ours, theirs) = (try bench.store(), try Self.stranger(bench))
        try Self.change(theirs, form)
        let before = try (Self.contents(ours), Self.contents(theirs))
        let third = MemoryBlobStore()
        let stores = isFirst ? [theirs, ours, third] : [ours, theirs, third]
        let repository = try Self.open(stores)
        let reports = try repository.catchUpSites(
            limit: 1 << 40, comparesPacks: true, isWanted: { _ in true })
        let strange = isFirst ? 0 : 1
        #expect(reports[strange].copied == 0 && reports[strange].problem != nil && !reports[strange].isWhole)
        #expect(reports[1 - strange].copied == 0 && reports[1 - strange].isWhole)
        #expect(try Self.contents(ours) == before.0)
        #expect(try Self.contents(theirs) == before.1)
        #expect(try Self.contents(third) == before.0, "a new site gets what is ours, and nothing else")
        // Everything else works as if it were not there.
        #expect(try Set(repository.snapshots().map(\.id)) == Set(bench.snapshots.keys))
        try bench.backUp(repository)
        try repository.forget(bench.victim)
        let again = try Self.open(stores)
        try again.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        try bench.expectSound(again, mayLack: [bench.victim], "\(form)")
        #expect(try Self.contents(theirs) == before.1)
        let report = try again.check(readData: true)
        #expect(report.siteProblems.allSatisfy { $0.object.hasPrefix("site '\(strange)'") })
        #expect(!report.siteProblems.isEmpty)
    }

    @Test func `with the same password nobody guesses which one is meant, and both are named`() throws {
        // Which key is tried first depends on their names. Both are drawn anew, so either order comes soon.
        var orders: Set<Bool> = []
        for _ in 0..<100 where orders.count < 2 {
            let bench = try CrashBench(seed: 204)
            let ours = try bench.store()
            let theirs = try Self.stranger(bench, password: TestRepository.password)
            let key = try #require(try ours.list(.key).first).name.name
            let isFirst = try #require(try theirs.list(.key).first).name.name < key
            guard orders.insert(isFirst).inserted else { continue }
            let before = try (Self.contents(ours), Self.contents(theirs))
            let (id, their) = try (CrashBench.open(ours).id, CrashBench.open(theirs).id)
            for stores in [[ours, theirs], [theirs, ours], [ours, MemoryBlobStore(), theirs]] {
                let error = #expect(throws: HoldfastError.self) { try Self.open(stores) }
                #expect(error?.code == .conflict)
                for text in [id, their, "'0'", "'\(stores.count - 1)'"] {
                    #expect(error?.message.contains(text) == true, "\(text): \(error?.message ?? "")")
                }
            }
            // Without a good config it is only a stranger.
            for form in [Form.damagedConfig, .withoutConfig] {
                try Self.change(theirs, form)
                for stores in [[ours, theirs], [theirs, ours]] { #expect(try Self.open(stores).id == id, "\(form)") }
                try theirs.delete(.config)
                try theirs.put(.config, #require(before.1[.config]))
            }
            #expect(try Self.contents(ours) == before.0)
            #expect(try Self.contents(theirs) == before.1)
        }
        #expect(orders.count == 2)
    }

    @Test func `a site whose config cannot be read when the repository is opened gets nothing`() throws {
        let bench = try CrashBench(seed: 205)
        let (ours, theirs) = (try bench.store(), MemoryBlobStore())
        // Made anew on a bare mount point.
        _ = try Repository.create(store: theirs, password: Secret("theirs"))
        let before = try Self.contents(theirs)
        let broken = FaultyBlobStore(
            theirs, script: [Fault(.fail(HoldfastError(.unavailable, "EIO")), on: [.get], of: [.config])])
        let repository = try Self.open([ours, broken])
        broken.setScript([])
        try bench.backUp(repository)
        #expect(try ours.list(.snapshot).count == 3)
        #expect(try Self.contents(theirs) == before)
        #expect(try theirs.list(.lock).isEmpty)
    }

    @Test func `a site of ours is known with a damaged config though all its keys were replaced meanwhile`() throws {
        let bench = try CrashBench(seed: 206)
        let (ours, away) = (try bench.store(), try bench.store())
        _ = try CrashBench.open(ours).changePassword(
            from: TestRepository.password, to: CrashStep.replacement, scrypt: .randomPassword)
        try Self.change(away, .damagedConfig)
        let report = try #require(try Self.open([ours, away]).healSites())
        #expect(report.isWhole)
        #expect(try away.get(.config) == ours.get(.config))
    }

    @Test func `if the keys of the good site cannot be listed a site with a damaged config is no stranger`() throws {
        let bench = try CrashBench(seed: 207)
        let (ours, damaged) = (try bench.store(), try bench.store())
        try Self.change(damaged, .damagedConfig)
        // The first listing is that of the opening, before the configs are looked at.
        let moody = FaultyBlobStore(
            ours, script: [Fault(.fail(HoldfastError(.unavailable, "EIO")), on: [.list], of: [.key], calls: 2...2)])
        let report = try #require(try Self.open([moody, damaged]).healSites())
        #expect(report.isWhole)
        #expect(try damaged.get(.config) == ours.get(.config))
    }

    @Test(arguments: Form.allCases)
    func `healing refuses to begin`(_ form: Form) throws {
        let bench = try CrashBench(seed: 202)
        let (ours, theirs) = (try bench.store(), try Self.stranger(bench))
        try Self.change(theirs, form)
        let before = try (Self.contents(ours), Self.contents(theirs))
        let error = #expect(throws: HoldfastError.self) { try Self.open([ours, theirs]).healSites() }
        #expect(error?.code == .conflict)
        #expect(try Self.contents(ours) == before.0)
        #expect(try Self.contents(theirs) == before.1)
    }

    @Test func `a site whose config cannot be read is left out of a healing`() throws {
        let bench = try CrashBench(seed: 203)
        let (ours, theirs) = (try bench.store(), try Self.stranger(bench))
        try theirs.delete(BlobSamples.name(.lock, 1))
        let before = try (Self.contents(ours), Self.contents(theirs))
        let broken = FaultyBlobStore(
            theirs, script: [Fault(.fail(HoldfastError(.unavailable, "EIO")), on: [.get], of: [.config])])
        let report = try #require(try Self.open([ours, broken]).healSites())
        #expect(report.problems.keys.sorted() == ["1"] && !report.isWhole && report.copied == 0)
        #expect(try Self.contents(ours) == before.0)
        #expect(try Self.contents(theirs) == before.1)
    }
}
