import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import Testing

/// Every kind of object, damaged in every way, on each of two sites.
@Suite(.serialized) struct SiteDamageTests {
    enum Damage: String, CaseIterable, Sendable {
        case flipped, truncated, lengthened, emptied, swapped, removed
    }

    private static let sites = ["one", "two"]

    /// What the test damages: a memory store takes any bytes under any name.
    private static func damage(
        _ store: MemoryBlobStore, _ kind: BlobKind, _ damage: Damage, _ number: Int = 0
    ) throws -> BlobName {
        let names = try store.list(kind).map(\.name).sorted { $0.name < $1.name }
        let name = names[number]
        let bytes = try store.get(name)
        try store.delete(name)
        switch damage {
        case .flipped:
            var flipped = bytes
            flipped[bytes.count / 2] ^= 4
            try store.put(name, flipped)
        case .truncated: try store.put(name, Array(bytes.dropLast(7)))
        case .lengthened: try store.put(name, bytes + [1, 2, 3, 4, 5, 6, 7])
        case .emptied: try store.put(name, [UInt8]())
        case .swapped:
            // With another one of its kind, or with something else if it is the only one.
            let snapshots = try store.list(.snapshot).map(\.name).sorted { $0.name < $1.name }
            let other = try #require(names.first { $0 != name } ?? snapshots.last)
            try store.put(name, store.get(other))
            if other.kind == kind { try store.put(other, bytes) }
        case .removed: break
        }
        return name
    }

    private static func replicated(_ stores: [MemoryBlobStore]) throws -> ReplicatedBlobStore {
        let sites = zip(sites, stores).map { Site(name: $0, region: "r", location: $0, store: $1) }
        return try ReplicatedBlobStore(sites: sites, quorum: 1)
    }

    private static func open(_ stores: [MemoryBlobStore]) throws -> Repository {
        try Repository.open(store: replicated(stores), password: TestRepository.password, time: LaterTime())
    }

    @Test(arguments: [BlobKind.config, .key, .snapshot, .index, .data], Damage.allCases)
    func `damage on one site is found and named, does not hinder a restore, and is repaired from the other site`(
        _ kind: BlobKind, _ damage: Damage
    ) throws {
        let bench = try CrashBench(seed: 121)
        for (number, site) in Self.sites.enumerated() {
            let stores = [try bench.store(), try bench.store()]
            let name = try Self.damage(stores[number], kind, damage)
            let place = "\(damage.rawValue) \(name) on \(site)"
            let repository = try Self.open(stores)
            let report = try repository.check(readData: true)
            #expect(report.problems == [], "\(place): another site has it")
            let isNamed = report.siteProblems.contains { $0.object == "site '\(site)': \(name)" }
            #expect(isNamed, "\(place): \(report.siteProblems)")
            #expect(report.siteProblems.allSatisfy { $0.object.hasPrefix("site '\(site)'") }, "\(place)")
            // By itself the site cannot be opened, or names what is damaged; a snapshot that is gone leaves no trace.
            do {
                let site = try CrashBench.open(stores[number])
                let alone = try site.check(readData: true)
                let isNamed = alone.problems.contains { $0.object == name.path }
                let leavesNoTrace = damage == .removed && kind == .snapshot
                // The blobs of an index that is gone are missed one by one, if a snapshot needs them.
                let isIndexGone = damage == .removed && kind == .index
                let isMissed = isIndexGone && !alone.problems.isEmpty
                #expect(isNamed || isMissed || leavesNoTrace || isIndexGone, "\(place): \(alone.problems)")
                if isIndexGone && !isMissed {
                    for (id, contents) in bench.snapshots {
                        #expect(try CrashBench.contents(of: id, in: site) == contents, "\(place) was not needed")
                    }
                }
            } catch let error as HoldfastError {
                #expect(kind == .config || kind == .key, "\(place): \(error)")
                #expect("\(error)".contains(kind == .config ? "config" : "key"), "\(place): \(error)")
            }
            for (id, contents) in bench.snapshots {
                #expect(try CrashBench.contents(of: id, in: repository) == contents, "\(place)")
            }
            let target = "\(number)-\(kind)-\(damage)"
            let restored = try repository.restore(
                TreePath(bench.victim, path: "/"), to: bench.directory(target))
            #expect(restored.problems == [], "\(place)")
            let healing = try #require(try Self.open(stores).repair().healing)
            #expect(healing.isWhole, "\(place): \(healing)")
            #expect(try Self.open(stores).check(readData: true).isWhole, "\(place)")
            for store in stores { try bench.expectSound(CrashBench.open(store), "healed: \(place)") }
            #expect(try stores[0].get(name) == bench.objects[name] && stores[1].get(name) == bench.objects[name])
        }
    }

    @Test(arguments: [BlobKind.key, .snapshot, .index, .data], [Damage.truncated, .lengthened])
    func `catching up replaces a copy of the wrong length on the site that has it, whichever that is`(
        _ kind: BlobKind, _ damage: Damage
    ) throws {
        let bench = try CrashBench(seed: 126)
        for number in Self.sites.indices {
            let stores = [try bench.store(), try bench.store()]
            let name = try Self.damage(stores[number], kind, damage)
            let place = "\(damage.rawValue) \(name) on \(number)"
            // Before that the other one is not held to be the wrong one: it gets new snapshots.
            let backups = [try bench.store(), try bench.store()]
            _ = try Self.damage(backups[number], kind, damage)
            try bench.backUp(Self.open(backups))
            #expect(try backups[1 - number].list(.snapshot).count == 3, "\(place)")
            let sites = try Self.replicated(stores)
            let repository = try CrashBench.open(sites)
            _ = try sites.list(kind)
            #expect(sites.report().map(\.isComplete) == Self.sites.indices.map { $0 != number }, "\(place)")
            let reports = try repository.catchUpSites(limit: 1 << 30, comparesPacks: true, isWanted: { _ in true })
            #expect(reports.map(\.copied) == Self.sites.indices.map { $0 == number ? 1 : 0 }, "\(place)")
            #expect(reports.allSatisfy { $0.isWhole }, "\(place): \(reports)")
            for store in stores { #expect(try store.get(name) == bench.objects[name], "\(place)") }
            #expect(sites.report().allSatisfy { $0.isComplete }, "\(place)")
        }
    }

    @Test(arguments: Damage.allCases)
    func `a damaged lock is named, hinders no reader, and no writer works under it`(_ damage: Damage) throws {
        let bench = try CrashBench(seed: 122)
        let store = try bench.store()
        let other = try CrashBench.open(store).beginBackup()
        defer { other.abandon() }
        let name = try Self.damage(store, .lock, damage)
        let repository = try CrashBench.open(store)
        let report = try repository.check(readData: true)
        #expect(report.problems.map(\.object) == (damage == .removed ? [] : [name.path]))
        #expect(try repository.restore(TreePath(bench.victim), to: bench.directory("\(damage)")).problems == [])
        if damage == .removed { return }
        for attempt in [{ try repository.beginBackup().abandon() }, { try repository.planPrune().execute() }] {
            let error = #expect(throws: HoldfastError.self) { try attempt() }
            #expect(error?.code == .locked && error?.message.contains(name.name) == true)
        }
    }

    @Test(arguments: Damage.allCases)
    func `what no site has intact is named by the restore, and all the rest comes back`(_ damage: Damage) throws {
        let bench = try CrashBench(seed: 123)
        var named = 0
        for number in try bench.store().list(.data).indices {
            let stores = [try bench.store(), try bench.store()]
            for store in stores { _ = try Self.damage(store, .data, damage, number) }
            let repository = try Self.open(stores)
            let report = try repository.check(readData: true)
            #expect(!report.isIntact && !report.isWhole)
            for (id, contents) in bench.snapshots {
                let target = bench.directory("out-\(damage)-\(number)-\(id)")
                let restored = try repository.restore(TreePath(id), to: target)
                named += restored.problems.count
                for (path, bytes) in contents {
                    let found = FileManager.default.contents(atPath: target + path).map { Array($0) }
                    let isNamed = restored.problems.contains { problem in
                        problem.path == "/" || path == "/" + problem.path || path.hasPrefix("/" + problem.path + "/")
                    }
                    #expect(found == bytes || (isNamed && found == nil), "\(damage): \(path)")
                }
            }
        }
        // What lacks only its last bytes, or has more, has all its blobs.
        #expect((named > 0) == ![.truncated, .lengthened].contains(damage))
    }

    @Test func `a repository with a damaged key is opened with a whole one`() throws {
        let bench = try CrashBench(seed: 124)
        let store = try bench.store()
        let first = try #require(try store.list(.key).first)
        _ = try CrashBench.open(store).addKey(Secret("another"), scrypt: .randomPassword)
        try store.put(first.name, Array(store.get(first.name).reversed()))
        _ = try Repository.open(store: store, password: Secret("another"), time: LaterTime())
        let error = #expect(throws: HoldfastError.self) { try CrashBench.open(store) }
        #expect(error?.code == .damaged && error?.message.contains(first.name.name) == true)
    }

    @Test func `a site with another repository's config is left alone`() throws {
        let bench = try CrashBench(seed: 125)
        let ours = try bench.store()
        let theirs = MemoryBlobStore()
        _ = try Repository.create(store: theirs, password: Secret("theirs"))
        let before = try theirs.get(.config)
        let repository = try Self.open([ours, theirs])
        try bench.backUp(repository)
        for kind in BlobKind.allCases where kind != .config && kind != .key {
            #expect(try theirs.list(kind).isEmpty, "\(kind)")
        }
        let error = #expect(throws: HoldfastError.self) { try repository.healSites() }
        #expect(error?.code == .conflict)
        #expect(try theirs.get(.config) == before)
    }
}
