import Foundation
import HoldfastModel

/// How often and when a call is made again: exponential back-off with full jitter.
///
/// Source of the jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
public struct RetryPolicy: Sendable, Hashable {
    /// Calls altogether, the first included; at least 1.
    public let attempts: Int
    /// Upper bound of the pause after the first failure; it doubles with each further one.
    public let firstPause: Duration
    /// No pause is longer.
    public let longestPause: Duration

    /// Five attempts by default, with at most 0.1, 0.2, 0.4 and 0.8 seconds between them.
    public init(
        attempts: Int = 5, firstPause: Duration = .milliseconds(100), longestPause: Duration = .seconds(5)
    ) {
        self.attempts = max(attempts, 1)
        self.firstPause = firstPause
        self.longestPause = longestPause
    }

    /// What to do after a failure.
    ///
    /// - Parameters:
    ///   - failures: How many calls failed so far, at least 1.
    ///   - error: The error of the last of them.
    ///   - random: A number of 0..<1.
    /// - Returns: How long to wait before calling again; nil to give up.
    public func pause(afterFailures failures: Int, _ error: any Error, random: Double) -> Duration? {
        guard failures < attempts, let error = error as? HoldfastError, error.isTemporary else { return nil }
        var bound = firstPause
        for _ in 1..<max(failures, 1) where bound < longestPause { bound *= 2 }
        return min(bound, longestPause) * min(max(random, 0), 1)
    }
}

/// A store that makes calls again which failed for a reason that may pass (`HoldfastError.isTemporary`).
///
/// That is safe for every call, because all of them are idempotent.
public struct RetryingBlobStore: BlobStore {
    private let inner: any BlobStore
    private let policy: RetryPolicy
    private let random: @Sendable () -> Double
    private let pause: @Sendable (Duration) -> Void

    /// - Parameters:
    ///   - inner: The store that does the work.
    ///   - random: A number of 0..<1 for each pause.
    ///   - pause: How to wait; blocks the calling thread by default.
    public init(
        _ inner: any BlobStore, policy: RetryPolicy = RetryPolicy(),
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) },
        pause: @escaping @Sendable (Duration) -> Void = { Thread.sleep(forTimeInterval: $0 / .seconds(1)) }
    ) {
        self.inner = inner
        self.policy = policy
        self.random = random
        self.pause = pause
    }

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        try retrying { try inner.put(name, bytes) }
    }

    public func get(_ name: BlobName) throws -> [UInt8] { try retrying { try inner.get(name) } }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        try retrying { try inner.get(name, range: range) }
    }

    public func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        try retrying { try inner.get(name, range: range, where: isGood) }
    }

    public func size(_ name: BlobName) throws -> Int { try retrying { try inner.size(name) } }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] { try retrying { try inner.list(kind) } }

    public func delete(_ name: BlobName) throws { try retrying { try inner.delete(name) } }

    public func device() -> UInt64? { inner.device() }

    private func retrying<Answer>(_ call: () throws -> Answer) throws -> Answer {
        var failures = 0
        while true {
            do {
                return try call()
            } catch {
                failures += 1
                guard let wait = policy.pause(afterFailures: failures, error, random: random()) else { throw error }
                pause(wait)
            }
        }
    }
}
