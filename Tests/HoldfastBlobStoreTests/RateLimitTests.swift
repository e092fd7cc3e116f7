import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct RateLimitTests {
    @Test func `a bucket lets a burst pass, then the rate, and saves no more than a burst`() {
        var bucket = TokenBucket(bytesPerSecond: 1000, now: 0)
        #expect(bucket.take(1000, now: 0) == .zero)
        #expect(bucket.take(500, now: 0) == .milliseconds(500))
        #expect(bucket.take(500, now: 500_000_000) == .milliseconds(500))
        // An hour of silence is worth one second's bytes; a clock that goes back is worth none.
        #expect(bucket.take(1000, now: 3_600_000_000_000) == .zero)
        #expect(bucket.take(100, now: 0) == .milliseconds(100))
    }

    @Test func `what is larger than the burst waits longer, and not for ever`() {
        var bucket = TokenBucket(bytesPerSecond: 1000, now: 0)
        #expect(bucket.take(11_000, now: 0) == .seconds(10))
        #expect(bucket.take(0, now: 10_000_000_000) == .zero)
    }

    @Test func `for any sequence of calls the long run is not above the rate`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var bucket = TokenBucket(bytesPerSecond: 1000, now: 0)
            var now: UInt64 = 0
            var passed = 0
            for _ in 0..<200 {
                now += UInt64.random(in: 0..<300_000_000, using: &generator)
                let bytes = Int.random(in: 0..<2000, using: &generator)
                let wait = bucket.take(bytes, now: now)
                now += UInt64(wait / .nanoseconds(1)) + 1
                passed += bytes
            }
            #expect(Double(passed) <= 1000 + 1000 * Double(now) / 1e9 + 1)
        }
    }

    @Test func `stores that share a limiter share its rate, in both directions`() throws {
        let waits = Mutex<[Duration]>([])
        let limiter = try RateLimiter(bytesPerSecond: 100, time: StoppedTime()) { wait in
            waits.withLock { $0.append(wait) }
        }
        let inner = MemoryBlobStore()
        let name = BlobSamples.name(.data, 1)
        try RateLimitedBlobStore(inner, limiter: limiter).put(name, BlobSamples.bytes(100, seed: 1))
        _ = try RateLimitedBlobStore(inner, limiter: limiter).get(name, range: 0..<50)
        _ = try RateLimitedBlobStore(inner, limiter: limiter).get(name)
        #expect(waits.withLock { $0 } == [.milliseconds(500), .milliseconds(1500)])
        expectFailure(.invalidInput) { try RateLimiter(bytesPerSecond: 0) }
    }
}

private struct StoppedTime: TimeSource {
    func now() -> Date { Date(timeIntervalSince1970: 0) }
    func monotonicNanoseconds() -> UInt64 { 0 }
}
