import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Every call on the blob store is a crash point: for every n a process dies at its n-th call.
@Suite(.serialized) struct StopTests {
    /// Longer than locks live.
    private static let hours: Double = 3 * 3600
    /// restic is asked at every so many-th point.
    private static let judgeStep = Patience.rounds(41, long: 7)

    @Test(arguments: CrashStep.all, StopCounter.Moment.allCases)
    func `wherever a process dies, nothing is lost or half there, and the next one goes on and cleans up`(
        _ step: CrashStep, _ moment: StopCounter.Moment
    ) throws {
        let bench = try CrashBench(seed: 101)
        for number in 1...500 {
            let store = try bench.store()
            let counter = StopCounter(stop: number, moment)
            do { try step.run(CrashBench.open(StoppingBlobStore(store, counter)), bench) } catch {
                #expect(counter.hasStopped, "\(step.name), \(number): \(error)")
            }
            let place = "\(step.name), \(moment) call \(number)"
            let mayLack: Set<SnapshotID> = step.forgets ? [bench.victim] : []
            let now = try CrashBench.open(store, later: Self.hours)
            try bench.expectSound(now, mayLack: mayLack, place)
            if number % Self.judgeStep == 0 { try bench.expectResticContent(store, place) }
            try step.run(now, bench)
            try CrashStep.prune.run(now, bench)
            try bench.expectSound(now, mayLack: mayLack, "after \(place)")
            try bench.expectTidy(now, store, "after \(place)")
            guard counter.hasStopped else {
                #expect(number > 4, "\(step.name) makes calls")
                return
            }
        }
        Issue.record("\(step.name) never ended")
    }

    @Test(arguments: StopCounter.Moment.allCases)
    func `wherever a repair dies, the next one brings everything back`(_ moment: StopCounter.Moment) throws {
        let bench = try CrashBench(seed: 102)
        for number in 1...500 {
            let store = try bench.store()
            // The largest pack lacks the end of its header, and one index file is gone: no blob is lost.
            let packs = try store.list(.data).sorted { ($0.size, $0.name.name) < ($1.size, $1.name.name) }
            let pack = try #require(packs.last)
            try store.put(pack.name, Array(store.get(pack.name).dropLast(10)))
            let index = try #require(
                try store.list(.index).first { !(try Self.names($0.name, pack.name, in: store)) })
            try store.delete(index.name)
            let counter = StopCounter(stop: number, moment)
            do { _ = try CrashBench.open(StoppingBlobStore(store, counter)).repair() } catch {
                #expect(counter.hasStopped, "\(number): \(error)")
            }
            let place = "repair, \(moment) call \(number)"
            let now = try CrashBench.open(store, later: Self.hours)
            #expect(try now.repair().blobsLost == 0, "\(place)")
            try bench.expectSound(now, "after \(place)")
            if number % Self.judgeStep == 0 { try bench.expectResticContent(store, place) }
            try CrashStep.prune.run(now, bench)
            try bench.expectSound(now, "pruned after \(place)")
            try bench.expectTidy(now, store, "after \(place)")
            if !counter.hasStopped { return }
        }
        Issue.record("the repair never ended")
    }

    @Test(arguments: StopCounter.Moment.allCases)
    func `wherever the healing of sites dies, the good site stays good, and the next one heals the other`(
        _ moment: StopCounter.Moment
    ) throws {
        let bench = try CrashBench(seed: 103)
        for number in 1...500 {
            let good = try bench.store()
            let bad = try bench.store()
            for (place, name) in bench.objects.keys.sorted(by: { $0.path < $1.path }).enumerated() {
                if name.kind == .config || name.kind == .key { continue }
                if place % 3 == 0 { try bad.delete(name) }
                if place % 3 == 1 { try bad.put(name, Array(bad.get(name).reversed())) }
            }
            let counter = StopCounter(stop: number, moment)
            let dying = [good, bad].map { StoppingBlobStore($0, counter) }
            do { _ = try Self.open(dying, later: 60).healSites() } catch {
                #expect(counter.hasStopped, "\(number): \(error)")
            }
            let place = "healing, \(moment) call \(number)"
            try bench.expectSound(CrashBench.open(good, later: Self.hours), place)
            let report = try #require(try Self.open([good, bad], later: Self.hours).healSites())
            #expect(report.isWhole, "\(place): \(report)")
            for store in [good, bad] {
                let alone = try CrashBench.open(store, later: Self.hours)
                try bench.expectSound(alone, "after \(place)")
                #expect(try store.list(.lock).isEmpty)
            }
            if number % Self.judgeStep == 0 { try bench.expectResticContent(bad, place) }
            if !counter.hasStopped { return }
        }
        Issue.record("the healing never ended")
    }

    @Test func `wherever the making of a repository dies, it can be made`() throws {
        for moment in StopCounter.Moment.allCases {
            for number in 1...50 {
                let store = MemoryBlobStore()
                let counter = StopCounter(stop: number, moment)
                _ = try? Repository.create(
                    store: StoppingBlobStore(store, counter), password: TestRepository.password)
                if try store.list(.config).isEmpty {
                    _ = try Repository.create(store: store, password: TestRepository.password)
                }
                #expect(try CrashBench.open(store).check(readData: true).problems == [], "\(moment) call \(number)")
                if !counter.hasStopped { break }
            }
        }
    }

    private static func open(_ stores: [any BlobStore], later seconds: Double) throws -> Repository {
        let sites = stores.enumerated().map { Site(name: "\($0)", region: "r", location: "\($0)", store: $1) }
        return try CrashBench.open(ReplicatedBlobStore(sites: sites, quorum: 1), later: seconds)
    }

    /// Whether an index file names a pack.
    private static func names(_ index: BlobName, _ pack: BlobName, in store: MemoryBlobStore) throws -> Bool {
        // Without this index file the pack would not be described by its own.
        let copy = MemoryBlobStore()
        for kind in BlobKind.allCases {
            for entry in try store.list(kind) where kind != .index || entry.name == index {
                try copy.put(entry.name, store.get(entry.name))
            }
        }
        let report = try CrashBench.open(copy).check(readData: false)
        return report.problems.contains { $0.object == pack.path }
    }
}
