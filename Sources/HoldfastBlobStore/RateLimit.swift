import Foundation
import HoldfastModel
import Synchronization

/// A token bucket: who takes bytes learns how long to wait for them. The decision behind `RateLimiter`.
///
/// Source: J. Turner, "New directions in communications", IEEE Communications Magazine, 1986.
package struct TokenBucket: Sendable {
    private let bytesPerSecond: Double
    private let burst: Double
    /// May be negative: then somebody waits for it to be filled up.
    private var tokens: Double
    /// Nanoseconds on the monotonic clock.
    private var filledAt: UInt64

    /// - Parameters:
    ///   - bytesPerSecond: above 0.
    ///   - burst: bytes that may pass at once after a pause; one second's worth if nil.
    package init(bytesPerSecond: Double, burst: Double? = nil, now: UInt64) {
        self.bytesPerSecond = bytesPerSecond
        self.burst = burst ?? bytesPerSecond
        tokens = self.burst
        filledAt = now
    }

    /// Takes bytes, however many: a pack that is larger than the burst has to wait longer, and not for ever.
    ///
    /// - Returns: how long to wait before they may pass.
    package mutating func take(_ bytes: Int, now: UInt64) -> Duration {
        if now > filledAt {
            tokens = min(burst, tokens + Double(now - filledAt) / 1e9 * bytesPerSecond)
            filledAt = now
        }
        tokens -= Double(bytes)
        return tokens >= 0 ? .zero : .seconds(-tokens / bytesPerSecond)
    }
}

/// Lets so many bytes pass in a second, over all stores and threads that share it.
public final class RateLimiter: Sendable {
    private let bucket: Mutex<TokenBucket>
    private let time: any TimeSource
    private let pause: @Sendable (Duration) -> Void

    /// - Parameters:
    ///   - bytesPerSecond: in the long run; one second's worth may pass at once after a pause.
    ///   - pause: How to wait; blocks the calling thread by default.
    /// - Throws: `invalidInput` unless it is above 0.
    public init(
        bytesPerSecond: Int, time: any TimeSource = SystemTime(),
        pause: @escaping @Sendable (Duration) -> Void = { Thread.sleep(forTimeInterval: $0 / .seconds(1)) }
    ) throws {
        guard bytesPerSecond > 0 else {
            throw HoldfastError(
                .invalidInput, "\(bytesPerSecond) bytes per second let nothing pass", hint: "Give more than 0")
        }
        bucket = Mutex(TokenBucket(bytesPerSecond: Double(bytesPerSecond), now: time.monotonicNanoseconds()))
        self.time = time
        self.pause = pause
    }

    /// Blocks until that many bytes may pass.
    func pass(_ bytes: Int) {
        let wait = bucket.withLock { $0.take(bytes, now: time.monotonicNanoseconds()) }
        if wait > .zero { pause(wait) }
    }
}

/// A store whose line is shared with others: bytes pass at most at the limiter's rate, both ways.
///
/// A put waits before it begins. A range waits before it is read; a whole object, of which nobody knows the size yet,
/// after it.
public struct RateLimitedBlobStore: BlobStore {
    private let inner: any BlobStore
    private let limiter: RateLimiter

    public init(_ inner: any BlobStore, limiter: RateLimiter) {
        self.inner = inner
        self.limiter = limiter
    }

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        limiter.pass(bytes.count)
        try inner.put(name, bytes)
    }

    public func get(_ name: BlobName) throws -> [UInt8] {
        let bytes = try inner.get(name)
        limiter.pass(bytes.count)
        return bytes
    }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        limiter.pass(range.count)
        return try inner.get(name, range: range)
    }

    public func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        if let range { limiter.pass(range.count) }
        let bytes = try inner.get(name, range: range, where: isGood)
        if range == nil { limiter.pass(bytes.count) }
        return bytes
    }

    public func size(_ name: BlobName) throws -> Int { try inner.size(name) }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] { try inner.list(kind) }

    public func delete(_ name: BlobName) throws { try inner.delete(name) }

    public func device() -> UInt64? { inner.device() }
}
