import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct ReplicatedBlobStoreTests {
    private let bytes = BlobSamples.bytes(100_000, seed: 1)
    private let name = BlobSamples.name(.data, 1)

    private func store(
        _ stores: [any BlobStore], quorum: Int = 1, grace: Duration = .seconds(10), patience: Duration = .seconds(60)
    ) throws -> ReplicatedBlobStore {
        let sites = zip(["a", "b", "c"], stores).map { Site.sample($0, $1) }
        return try ReplicatedBlobStore(sites: sites, quorum: quorum, grace: grace, patience: patience)
    }

    @Test func `everything is on all sites, and all are complete`() throws {
        let stores = [MemoryBlobStore(), MemoryBlobStore(), MemoryBlobStore()]
        let replicated = try store(stores, quorum: 2)
        for number in 0..<20 as Range<UInt64> {
            try replicated.put(BlobSamples.name(.data, number), BlobSamples.bytes(1 << 20, seed: number))
        }
        for site in stores {
            for number in 0..<20 as Range<UInt64> {
                #expect(try site.get(BlobSamples.name(.data, number)) == BlobSamples.bytes(1 << 20, seed: number))
            }
        }
        let report = replicated.report()
        #expect(report.map(\.name) == ["a", "b", "c"])
        #expect(report.allSatisfy { $0.isComplete && $0.problem == nil && $0.isSeparate })
        #expect(report.allSatisfy { $0.storedObjects == 20 && $0.storedBytes == 20 << 20 })
        #expect(report[1].location == "rack b")
    }

    @Test func `a site that fails one put gets no more and is reported, while the quorum goes on`() throws {
        let full = FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(onPut: 2)])
        let good = MemoryBlobStore()
        let replicated = try store([full, good])
        for number in 1...5 as ClosedRange<UInt64> { try replicated.put(BlobSamples.name(.data, number), bytes) }
        try replicated.put(BlobSamples.name(.index, 1), [1])
        #expect(full.count(.put) == 2)
        #expect(try full.list(.data).count == 1)
        #expect(try good.list(.data).count == 5)
        let report = replicated.report()
        #expect(report.map(\.isComplete) == [false, true])
        #expect(report[0].problem?.contains("no space left") == true)
        #expect(report[0].placement == SitePlacement(site: "a", isComplete: false, problem: report[0].problem))
    }

    @Test func `the cause comes first in what is said below the quorum`() throws {
        let full = FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(fromPut: 1)])
        let error = #expect(throws: HoldfastError.self) { try store([full]).put(name, bytes) }
        #expect(error?.description.hasPrefix("no space left on device on site 'a', so data/") == true)
        #expect(error?.hint != nil)
    }

    @Test func `below the quorum a put fails with no space if a disk is full, else unavailable`() throws {
        let full = { FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(fromPut: 1)]) }
        let dead = { FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()]) }
        expectFailure(.noSpace) { try store([full()]).put(name, bytes) }
        expectFailure(.unavailable) { try store([dead()]).put(name, bytes) }
        expectFailure(.noSpace) { try store([full(), dead()]).put(name, bytes) }
        expectFailure(.unavailable) { try store([dead(), MemoryBlobStore()], quorum: 2).put(name, bytes) }
        expectFailure(.noSpace) { try store([MemoryBlobStore(), full(), dead()], quorum: 2).put(name, bytes) }
    }

    @Test func `a site that failed does not count for later puts either`() throws {
        let shaky = FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(onPut: 1)])
        let replicated = try store([MemoryBlobStore(), shaky], quorum: 2)
        expectFailure(.noSpace) { try replicated.put(name, bytes) }
        expectFailure(.noSpace) { try replicated.put(BlobSamples.name(.data, 2), bytes) }
        #expect(shaky.count(.put) == 1)
    }

    @Test func `a site that hangs is waited for once, then left behind, then given up`() throws {
        let gate = Gate()
        let hanging = FaultyBlobStore(MemoryBlobStore(), script: [Fault(.run { gate.pass() }, on: [.put])])
        let good = MemoryBlobStore()
        let replicated = try store([hanging, good], grace: .milliseconds(20))
        for number in 1...12 as ClosedRange<UInt64> { try replicated.put(BlobSamples.name(.data, number), bytes) }
        #expect(try good.list(.data).count == 12)
        #expect(hanging.count(.put) == 1)
        #expect(replicated.report().map(\.isComplete) == [false, true])
        // Reading, listing and deleting do not wait for it either.
        #expect(try replicated.get(name) == bytes)
        #expect(try replicated.list(.data).count == 12)
        try replicated.delete(name)
        gate.open()
        #expect(replicated.settle(atMost: .seconds(60)))
        #expect(replicated.report().map(\.isComplete) == [false, true])
    }

    @Test func `a site that is late and catches up is complete`() throws {
        let gate = Gate()
        let slow = FaultyBlobStore(
            MemoryBlobStore(), script: [Fault(.run { gate.pass() }, on: [.put], calls: 1...1)])
        let replicated = try store([MemoryBlobStore(), slow], grace: .milliseconds(20))
        for number in 1...3 as ClosedRange<UInt64> {
            try replicated.put(BlobSamples.name(.data, number), BlobSamples.bytes(3 << 20, seed: number))
        }
        #expect(!replicated.settle(atMost: .milliseconds(10)))
        #expect(replicated.report()[1].problem?.contains("not answered") == true)
        gate.open()
        #expect(replicated.settle(atMost: .seconds(60)))
        #expect(replicated.report().map(\.isComplete) == [true, true])
        for number in 1...3 as ClosedRange<UInt64> {
            #expect(try slow.get(BlobSamples.name(.data, number)) == BlobSamples.bytes(3 << 20, seed: number))
        }
    }

    @Test func `without a quorum a hanging site makes the put fail after the patience`() throws {
        let gate = Gate()
        defer { gate.open() }
        let hanging = FaultyBlobStore(MemoryBlobStore(), script: [Fault(.run { gate.pass() }, on: [.put])])
        let replicated = try store([MemoryBlobStore(), hanging], quorum: 2, patience: .milliseconds(50))
        expectFailure(.unavailable) { try replicated.put(name, bytes) }
    }

    @Test func `reads fall over from a site that fails, lacks or damaged an object`() throws {
        let good = MemoryBlobStore()
        try good.put(name, bytes)
        let torn = MemoryBlobStore()
        try torn.put(name, Array(bytes[..<10]))
        for bad in [MemoryBlobStore(), torn, FaultyBlobStore(good, script: [.unreachable()])] as [any BlobStore] {
            let replicated = try store([bad, good])
            #expect(try replicated.get(name, range: 5..<50) == Array(bytes[5..<50]))
            #expect(try replicated.get(name, range: nil) { $0 == bytes } == bytes)
            #expect(replicated.report()[1].isComplete)
        }
    }

    @Test func `a site found lacking in a read is not complete, and is asked last from then on`() throws {
        let empty = FaultyBlobStore(MemoryBlobStore())
        let good = MemoryBlobStore()
        try good.put(name, bytes)
        let replicated = try store([empty, good])
        for _ in 0..<5 { #expect(try replicated.get(name) == bytes) }
        #expect(empty.count(.get) == 1)
        #expect(replicated.report().map(\.isComplete) == [false, true])
    }

    @Test func `missing means that every site could look`() throws {
        let dead = FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()])
        expectFailure(.notFound) { try store([MemoryBlobStore(), MemoryBlobStore()]).get(name) }
        expectFailure(.unavailable) { try store([dead, MemoryBlobStore()]).get(name) }
        expectFailure(.unavailable) { try store([MemoryBlobStore(), dead]).get(.config) }
        expectFailure(.unavailable) { try store([dead, dead]).list(.data) }
        expectFailure(.unavailable) { try store([dead, dead]).delete(name) }
    }

    @Test func `a listing is the union, and finds the sites that lack something`() throws {
        let one = MemoryBlobStore()
        let two = MemoryBlobStore()
        try one.put(BlobSamples.name(.index, 1), [1])
        try two.put(BlobSamples.name(.index, 1), [1])
        try one.put(BlobSamples.name(.index, 2), [1, 2])
        try two.put(BlobSamples.name(.lock, 3), [1])
        let replicated = try store([one, two])
        #expect(try replicated.list(.lock).count == 1)
        #expect(replicated.report().allSatisfy { $0.isComplete })
        #expect(
            Set(try replicated.list(.index)) == [
                BlobEntry(name: BlobSamples.name(.index, 1), size: 1),
                BlobEntry(name: BlobSamples.name(.index, 2), size: 2),
            ])
        let report = replicated.report()
        #expect(report.map(\.isComplete) == [true, false])
        #expect(report[1].problem?.contains("lacks 1 index object") == true)
    }

    @Test func `a site that lacks older objects gets packs and no snapshot, unless no site is whole`() throws {
        let one = MemoryBlobStore()
        let two = MemoryBlobStore()
        try one.put(BlobSamples.name(.index, 1), [1])
        var replicated = try store([one, two])
        _ = try replicated.list(.index)
        try replicated.put(name, bytes)
        try replicated.put(BlobSamples.name(.snapshot, 1), [1])
        #expect(try two.get(name) == bytes)
        #expect(try one.list(.snapshot).count == 1)
        #expect(try two.list(.snapshot).isEmpty)

        try two.put(BlobSamples.name(.index, 2), [1])
        replicated = try store([one, two])
        _ = try replicated.list(.index)
        try replicated.put(BlobSamples.name(.snapshot, 2), [1])
        #expect(try one.size(BlobSamples.name(.snapshot, 2)) == 1)
        #expect(try two.size(BlobSamples.name(.snapshot, 2)) == 1)
        #expect(replicated.report().map(\.isComplete) == [false, false])
    }

    @Test func `a deletion reaches every site that is there, and the others are not complete`() throws {
        let one = MemoryBlobStore()
        let two = MemoryBlobStore()
        for site in [one, two] { try site.put(name, bytes) }
        let dead = FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()])
        let replicated = try store([one, dead, two])
        try replicated.delete(name)
        #expect(try one.list(.data).isEmpty)
        #expect(try two.list(.data).isEmpty)
        #expect(replicated.report().map(\.isComplete) == [true, false, true])
    }

    @Test func `sites with different configs are refused`() throws {
        let one = MemoryBlobStore()
        let two = MemoryBlobStore()
        try one.put(.config, [1])
        #expect(try store([two, one]).get(.config) == [1])
        try two.put(.config, [2])
        expectFailure(.damaged) { try store([one, two]).get(.config) }
        expectFailure(.conflict) { try store([one, two]).put(.config, [1]) }
    }

    @Test func `a site whose folder is removed in the middle degrades the rest, and reads go on`() throws {
        let folder = try ScratchFolder()
        let one = try FileBlobStore.create(root: folder.path + "/one")
        let two = try FileBlobStore.create(root: folder.path + "/two")
        let replicated = try store([one, two])
        for number in 0..<10 as Range<UInt64> {
            if number == 5 { try FileManager.default.removeItem(atPath: one.root) }
            try replicated.put(BlobSamples.name(.data, number), BlobSamples.bytes(5000, seed: number))
        }
        for number in 0..<10 as Range<UInt64> {
            #expect(try replicated.get(BlobSamples.name(.data, number)) == BlobSamples.bytes(5000, seed: number))
        }
        #expect(try replicated.list(.data).count == 10)
        let report = replicated.report()
        #expect(report.map(\.isComplete) == [false, true])
        #expect(report[0].problem?.contains("there is no repository in") == true)
        #expect(!FileManager.default.fileExists(atPath: one.root))
    }

    @Test func `sites on one device are not separate`() throws {
        let folder = try ScratchFolder()
        let stores: [any BlobStore] = [
            try FileBlobStore.create(root: folder.path + "/one"), MemoryBlobStore(),
            RetryingBlobStore(try FileBlobStore.create(root: folder.path + "/two")),
        ]
        let report = try store(stores).report()
        #expect(report.map(\.sharesDeviceWith) == [["c"], [], ["a"]])
        #expect(report.map(\.isSeparate) == [false, true, false])
    }

    @Test func `for every n, a site that fails its n-th call never costs what the quorum has`() throws {
        for call in 1...12 {
            let shaky = FaultyBlobStore(
                MemoryBlobStore(),
                script: [Fault(.fail(HoldfastError(.unavailable, "away")), calls: call...call)])
            let replicated = try store([shaky, MemoryBlobStore()])
            try replicated.put(.config, [1])
            for number in 0..<4 as Range<UInt64> { try replicated.put(BlobSamples.name(.data, number), bytes) }
            try replicated.put(BlobSamples.name(.index, 1), bytes)
            #expect(try replicated.list(.data).count == 4)
            #expect(try replicated.get(BlobSamples.name(.index, 1)) == bytes)
            for number in 0..<4 as Range<UInt64> {
                #expect(try replicated.get(BlobSamples.name(.data, number), range: 1..<9) == Array(bytes[1..<9]))
            }
            // Six puts and one listing; a read that fails once says nothing about what the site holds.
            #expect(replicated.report().map(\.isComplete) == [call > 7, true], "call \(call)")
        }
    }

    @Test func `impossible settings are refused`() {
        let site = Site.sample("a", MemoryBlobStore())
        expectFailure(.invalidInput) { try ReplicatedBlobStore(sites: [], quorum: 1) }
        expectFailure(.invalidInput) { try ReplicatedBlobStore(sites: [site, site], quorum: 1) }
        expectFailure(.invalidInput) { try ReplicatedBlobStore(sites: [site], quorum: 0) }
        expectFailure(.invalidInput) { try ReplicatedBlobStore(sites: [site], quorum: 2) }
    }
}

/// Holds threads up until it is opened.
private final class Gate: Sendable {
    private let group = DispatchGroup()
    init() { group.enter() }
    func pass() { group.wait() }
    func open() { group.leave() }
}
