import Synchronization

/// How far a long piece of work is; thread-safe. Whoever shows it looks at it from time to time.
package final class ProgressMeter: Sendable {
    package struct Reading: Sendable, Hashable {
        package var items = 0
        package var bytes: Int64 = 0
        /// Nil as long as nobody knows.
        package var totalItems: Int?
        package var totalBytes: Int64?
        package init() {}
    }

    private let state = Mutex(Reading())

    package init() {}

    package func add(items: Int = 0, bytes: Int = 0) {
        state.withLock {
            $0.items += items
            $0.bytes += Int64(bytes)
        }
    }

    /// Says how much there is to do in all.
    package func expect(items: Int? = nil, bytes: Int64? = nil) {
        state.withLock {
            if let items { $0.totalItems = items }
            if let bytes { $0.totalBytes = bytes }
        }
    }

    package var reading: Reading { state.withLock { $0 } }
}
