import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct FaultyBlobStoreTests {
    private let inner = MemoryBlobStore()
    private let bytes = BlobSamples.bytes(1000, seed: 1)

    @Test func `the n-th put fails, those before and after it do not`() throws {
        let store = FaultyBlobStore(inner, script: [.diskFull(onPut: 3)])
        for number in 1...5 as ClosedRange<UInt64> {
            if number == 3 {
                expectFailure(.noSpace) { try store.put(BlobSamples.name(.data, number), bytes) }
            } else {
                try store.put(BlobSamples.name(.data, number), bytes)
            }
        }
        #expect(store.count(.put) == 5)
        #expect(store.count(.get) == 0)
        #expect(try store.list(.data).count == 4)
    }

    @Test func `a fault meets only its operations and kinds, and counts only those`() throws {
        let fault = Fault(.fail(HoldfastError(.unavailable, "away")), on: [.get], of: [.index], calls: 2...2)
        let store = FaultyBlobStore(inner, script: [fault])
        for kind in [BlobKind.data, .index] { try store.put(BlobSamples.name(kind, 1), bytes) }
        for _ in 0..<3 { #expect(try store.get(BlobSamples.name(.data, 1)) == bytes) }
        #expect(try store.get(BlobSamples.name(.index, 1)) == bytes)
        expectFailure(.unavailable) { try store.get(BlobSamples.name(.index, 1), range: 0..<3) }
        #expect(try store.get(BlobSamples.name(.index, 1)) == bytes)
    }

    @Test func `a torn put stores a prefix and throws, and the next put heals it`() throws {
        let store = FaultyBlobStore(inner, script: [Fault(.tear(300), on: [.put], calls: 1...1)])
        let name = BlobSamples.name(.data, 1)
        expectFailure(.unavailable) { try store.put(name, bytes) }
        #expect(try inner.get(name) == Array(bytes[..<300]))
        try store.put(name, bytes)
        #expect(try store.get(name) == bytes)
    }

    @Test func `torn and flipped reads answer with what the disk would`() throws {
        let name = BlobSamples.name(.data, 1)
        try inner.put(name, bytes)
        let store = FaultyBlobStore(
            inner, script: [Fault(.tear(10), on: [.get], calls: 1...1), Fault(.flip(2), on: [.get], calls: 2...2)])
        #expect(try store.get(name) == Array(bytes[..<10]))
        #expect(try store.get(name)[2] == bytes[2] ^ 1)
        #expect(try store.get(name) == bytes)
    }

    @Test func `a lost answer throws after the work is done`() throws {
        let name = BlobSamples.name(.data, 1)
        let store = FaultyBlobStore(
            inner, script: [Fault(.loseAnswer(HoldfastError(.timedOut, "lost")), calls: 1...1)])
        expectFailure(.timedOut) { try store.put(name, bytes) }
        #expect(try inner.get(name) == bytes)
    }

    @Test func `a delay waits as told, and a new script counts from its own beginning`() throws {
        let waits = Pauses()
        let store = FaultyBlobStore(
            inner, script: [Fault(.delay(.seconds(3)), on: [.list])], pause: { waits.add($0) })
        _ = try store.list(.data)
        _ = try store.list(.key)
        #expect(waits.all == [.seconds(3), .seconds(3)])
        store.setScript([.unreachable(fromCall: 2)])
        _ = try store.list(.data)
        expectFailure(.unavailable) { try store.list(.data) }
        #expect(store.count(.list) == 4)
    }
}

@Suite struct RetryingBlobStoreTests {
    private let name = BlobSamples.name(.data, 1)

    @Test func `a temporary error is tried again with growing pauses until it passes`() throws {
        let away = Fault(.fail(HoldfastError(.unavailable, "away")), on: [.put], calls: 1...4)
        let faulty = FaultyBlobStore(MemoryBlobStore(), script: [away])
        let waits = Pauses()
        let store = RetryingBlobStore(faulty, random: { 0.5 }, pause: { waits.add($0) })
        try store.put(name, [1, 2, 3])
        #expect(waits.all == [50, 100, 200, 400].map { .milliseconds($0) })
        #expect(faulty.count(.put) == 5)
        #expect(try store.get(name) == [1, 2, 3])
    }

    @Test func `after the last attempt the error comes through`() throws {
        let faulty = FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()])
        let waits = Pauses()
        let store = RetryingBlobStore(
            faulty, policy: RetryPolicy(attempts: 3), random: { 0 }, pause: { waits.add($0) })
        expectFailure(.unavailable) { try store.get(name) }
        #expect(faulty.count(.get) == 3)
        #expect(waits.all.count == 2)
    }

    @Test(arguments: [HoldfastError.Code.noSpace, .notFound, .damaged, .conflict, .system])
    func `an error that stays is not tried again`(_ code: HoldfastError.Code) throws {
        let faulty = FaultyBlobStore(
            MemoryBlobStore(), script: [Fault(.fail(HoldfastError(code, "no")), on: [.put])])
        let store = RetryingBlobStore(faulty, pause: { _ in Issue.record("it waited") })
        expectFailure(code) { try store.put(name, [1]) }
        #expect(faulty.count(.put) == 1)
    }

    @Test func `a put whose answer was lost is put again without harm, a config too`() throws {
        let lost = Fault(.loseAnswer(HoldfastError(.timedOut, "lost")), on: [.put], calls: 1...1)
        let inner = MemoryBlobStore()
        let store = RetryingBlobStore(FaultyBlobStore(inner, script: [lost]), pause: { _ in })
        try store.put(.config, [1, 2, 3])
        #expect(try inner.get(.config) == [1, 2, 3])
    }

    @Test func `no pause is longer than the longest, whatever the number of failures`() {
        let policy = RetryPolicy(attempts: 2000, firstPause: .milliseconds(100), longestPause: .seconds(5))
        let error = HoldfastError(.locked, "held")
        #expect(policy.pause(afterFailures: 1, error, random: 1) == .milliseconds(100))
        #expect(policy.pause(afterFailures: 6, error, random: 1) == .milliseconds(3200))
        #expect(policy.pause(afterFailures: 7, error, random: 1) == .seconds(5))
        #expect(policy.pause(afterFailures: 1999, error, random: 1) == .seconds(5))
        #expect(policy.pause(afterFailures: 2000, error, random: 1) == nil)
        #expect(policy.pause(afterFailures: 1, CancellationError(), random: 1) == nil)
    }
}

/// The pauses that a store would have made.
private final class Pauses: Sendable {
    private let list = Mutex<[Duration]>([])
    var all: [Duration] { list.withLock { $0 } }
    func add(_ duration: Duration) { list.withLock { $0.append(duration) } }
}
