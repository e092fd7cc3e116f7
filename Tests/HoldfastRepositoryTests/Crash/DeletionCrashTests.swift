import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Removals on two sites: a process dies at its n-th call on either of them, for every n, and what it had begun to
/// remove never comes back from the other site, nor does anything go that was not to go.
@Suite(.serialized) struct DeletionCrashTests {
    private static let hours: Double = 3 * 3600
    private static let judgeStep = Patience.rounds(31, long: 5)
    private static let other = Secret("another")

    /// What is removed, by somebody who opened the repository with another password than the test's own.
    enum Removal: String, CaseIterable, Sendable {
        case key, snapshot, prune

        func run(_ repository: Repository, _ bench: Bench) throws {
            switch self {
            case .key:
                _ = try repository.whileAlone { lock in
                    try repository.removeKey(bench.oldKey.name, current: DeletionCrashTests.other, lock: lock)
                }
            case .snapshot: try repository.forget(bench.crash.victim)
            case .prune: try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
            }
        }
    }

    /// The objects of a `CrashBench` with a second key.
    struct Bench {
        let crash: CrashBench
        let objects: [BlobName: [UInt8]]
        let oldKey: BlobName
        let newKey: BlobName

        init(seed: UInt64) throws {
            crash = try CrashBench(seed: seed)
            let store = try crash.store()
            let old = try #require(try store.list(.key).first?.name)
            let new = try CrashBench.open(store).addKey(DeletionCrashTests.other, scrypt: .randomPassword)
            oldKey = old
            newKey = BlobName(kind: .key, name: new)
            var objects = crash.objects
            objects[newKey] = try store.get(newKey)
            self.objects = objects
        }

        func stores() throws -> [MemoryBlobStore] {
            [try CrashBench.store(of: objects), try CrashBench.store(of: objects)]
        }
    }

    private static func open(_ stores: [any BlobStore], later seconds: Double = 60) throws -> Repository {
        let sites = stores.enumerated().map { Site(name: "\($0)", region: "r", location: "\($0)", store: $1) }
        return try alone(ReplicatedBlobStore(sites: sites, quorum: 1), later: seconds)
    }

    private static func alone(_ store: any BlobStore, later seconds: Double = hours) throws -> Repository {
        try Repository.open(store: store, password: other, time: LaterTime(seconds: seconds))
    }

    /// Each site holds the same, each is sound by itself, and no record is left.
    private static func expectAlike(_ stores: [MemoryBlobStore], _ bench: Bench, _ place: String) throws {
        for kind in BlobKind.allCases where kind != .lock {
            let listings = try stores.map { Set(try $0.list(kind)) }
            #expect(listings[0] == listings[1], "\(place): \(kind)")
            if kind == .deletion { #expect(listings[0].isEmpty, "\(place)") }
        }
        for store in stores { try bench.crash.expectSound(alone(store), mayLack: [bench.crash.victim], place) }
    }

    /// What the removal has begun to remove.
    private static func gone(_ removal: Removal, _ stores: [MemoryBlobStore], _ bench: Bench) throws -> Set<BlobName> {
        // Nothing goes before a record of it is on a site that can be reached.
        let missing = try bench.objects.keys.filter { name in
            try stores.contains { try !$0.list(name.kind).contains { $0.name == name } }
        }
        let isRecorded = try stores.contains { try !$0.list(.deletion).isEmpty }
        #expect(try isRecorded || stores.allSatisfy { try $0.hasNone(missing) }, "\(removal)")
        return Set(missing)
    }

    @Test(arguments: Removal.allCases, StopCounter.Moment.allCases)
    func `wherever a removal dies, each site is whole, and the next healing ends it on both`(
        _ removal: Removal, _ moment: StopCounter.Moment
    ) throws {
        let bench = try Bench(seed: 211)
        for number in stride(from: 1, to: 2000, by: removal == .prune ? Patience.rounds(5, long: 1) : 1) {
            let stores = try bench.stores()
            let counter = StopCounter(stop: number, moment)
            let dying = stores.map { StoppingBlobStore($0, counter) }
            do { try removal.run(Self.open(dying), bench) } catch {
                #expect(counter.hasStopped, "\(removal), \(number): \(error)")
            }
            let place = "\(removal.rawValue), \(moment) call \(number)"
            let gone = try Self.gone(removal, stores, bench)
            for store in stores {
                try bench.crash.expectSound(Self.alone(store), mayLack: [bench.crash.victim], place)
            }
            let report = try #require(try Self.open(stores, later: Self.hours).healSites())
            #expect(report.isWhole, "\(place): \(report)")
            try Self.expectAlike(stores, bench, "healed after \(place)")
            for store in stores {
                // A removal that began stays; snapshots and keys that it did not reach stay, too.
                for name in gone where name.kind == .key || name.kind == .snapshot {
                    #expect(try !store.list(name.kind).contains { $0.name == name }, "\(place): \(name)")
                }
                let allowed: Set = removal == .key ? [bench.oldKey] : []
                for name in [bench.oldKey, bench.newKey] where !allowed.contains(name) {
                    #expect(try store.list(.key).contains { $0.name == name }, "\(place): \(name)")
                }
            }
            if (number - 1) % Self.judgeStep == 0 && removal != .key {
                for store in stores { try bench.crash.expectResticContent(store, place) }
            }
            guard counter.hasStopped else {
                #expect(number > 4, "\(removal) makes calls")
                if removal == .key { #expect(gone == [bench.oldKey]) }
                return
            }
        }
        Issue.record("\(removal) never ended")
    }

    @Test(arguments: Removal.allCases, StopCounter.Moment.allCases)
    func `wherever the healing of a site that was away dies, both sites are whole, and the next one ends it`(
        _ removal: Removal, _ moment: StopCounter.Moment
    ) throws {
        let bench = try Bench(seed: 212)
        for number in stride(from: 1, to: 2000, by: Patience.rounds(4, long: 1)) {
            let stores = try bench.stores()
            let away = FaultyBlobStore(stores[1], script: [.unreachable()])
            try removal.run(Self.open([stores[0], away]), bench)
            #expect(try stores[0].list(.deletion).count >= 1 && stores[1].list(.deletion).isEmpty)
            let counter = StopCounter(stop: number, moment)
            let dying = stores.map { StoppingBlobStore($0, counter) }
            do { _ = try Self.open(dying).healSites() } catch {
                #expect(counter.hasStopped, "\(removal), \(number): \(error)")
            }
            let place = "healing of \(removal.rawValue), \(moment) call \(number)"
            for store in stores {
                try bench.crash.expectSound(Self.alone(store), mayLack: [bench.crash.victim], place)
            }
            if (number - 1) % Self.judgeStep == 0 && removal != .key {
                try bench.crash.expectResticContent(stores[1], place)
            }
            let report = try #require(try Self.open(stores, later: Self.hours).healSites())
            #expect(report.isWhole, "\(place): \(report)")
            try Self.expectAlike(stores, bench, "healed after \(place)")
            switch removal {
            case .key: #expect(try stores[1].list(.key).map(\.name) == [bench.newKey], "\(place)")
            case .snapshot:
                #expect(try stores[1].list(.snapshot).count == bench.crash.snapshots.count - 1, "\(place)")
            case .prune: try bench.crash.expectTidy(Self.alone(stores[1]), stores[1], "\(place)")
            }
            if !counter.hasStopped { return }
        }
        Issue.record("the healing never ended")
    }

    @Test(arguments: [Removal.key, .snapshot], StopCounter.Moment.allCases)
    func `wherever a catching up dies, the next one ends it, and brings nothing back`(
        _ removal: Removal, _ moment: StopCounter.Moment
    ) throws {
        let bench = try Bench(seed: 213)
        for number in 1...500 {
            let stores = try bench.stores()
            let away = FaultyBlobStore(stores[1], script: [.unreachable()])
            try removal.run(Self.open([stores[0], away]), bench)
            try bench.crash.backUp(Self.open([stores[0], away]))
            let counter = StopCounter(stop: number, moment)
            let dying = stores.map { StoppingBlobStore($0, counter) }
            do { try Self.catchUp(Self.open(dying)) } catch {
                #expect(counter.hasStopped, "\(removal), \(number): \(error)")
            }
            let place = "catching up after \(removal.rawValue), \(moment) call \(number)"
            for store in stores {
                try bench.crash.expectSound(Self.alone(store), mayLack: [bench.crash.victim], place)
            }
            try Self.catchUp(Self.open(stores, later: Self.hours))
            for kind in [BlobKind.key, .snapshot, .index] {
                #expect(try Set(stores[0].list(kind)) == Set(stores[1].list(kind)), "\(place): \(kind)")
            }
            #expect(try stores[0].list(.key).count == (removal == .key ? 1 : 2), "\(place)")
            #expect(try Self.open(stores, later: Self.hours).healSites()?.isWhole == true, "\(place)")
            try Self.expectAlike(stores, bench, "healed after \(place)")
            if !counter.hasStopped { return }
        }
        Issue.record("the catching up never ended")
    }

    private static func catchUp(_ repository: Repository) throws {
        let reports = try repository.catchUpSites(limit: 1 << 30, comparesPacks: true, isWanted: { _ in true })
        guard reports.allSatisfy(\.isWhole) else { throw HoldfastError(.unavailable, "\(reports)") }
    }
}

extension MemoryBlobStore {
    /// Whether none of these objects is there: then their record may be gone, too.
    fileprivate func hasNone(_ names: [BlobName]) throws -> Bool {
        try names.allSatisfy { name in try !list(name.kind).contains { $0.name == name } }
    }
}
