import HoldfastBlobStore
import HoldfastModel
import Synchronization

/// A store whose user dies at its n-th call: that call and all after it fail, and nothing is cleaned up.
///
/// Every call counts, reading ones too. The inner store is what the dead process leaves behind.
package final class StoppingBlobStore: BlobStore {
    private let inner: any BlobStore
    private let counter: StopCounter

    /// - Parameter counter: may be shared by several stores of one process.
    package init(_ inner: any BlobStore, _ counter: StopCounter) {
        self.inner = inner
        self.counter = counter
    }

    package func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        if counter.moment == .half, name.kind == .data {
            try call({ try inner.put(name, UnsafeRawBufferPointer(rebasing: bytes.prefix(bytes.count / 2))) }) {
                try inner.put(name, bytes)
            }
        } else {
            try call { try inner.put(name, bytes) }
        }
    }

    package func get(_ name: BlobName) throws -> [UInt8] { try call { try inner.get(name) } }

    package func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        try call { try inner.get(name, range: range) }
    }

    package func size(_ name: BlobName) throws -> Int { try call { try inner.size(name) } }

    package func list(_ kind: BlobKind) throws -> [BlobEntry] { try call { try inner.list(kind) } }

    package func delete(_ name: BlobName) throws { try call { try inner.delete(name) } }

    package func device() -> UInt64? { inner.device() }

    private func call<Answer>(_ half: () throws -> Void = {}, _ body: () throws -> Answer) throws -> Answer {
        let end = HoldfastError(.cancelled, "this process is dead")
        switch counter.count() {
        case .goOn: return try body()
        case .dead: throw end
        case .stop: break
        }
        switch counter.moment {
        case .before: break
        case .after: _ = try? body()
        case .half: try half()
        }
        throw end
    }
}

/// Counts the calls of one process, and says when it dies.
package final class StopCounter: Sendable {
    /// Where in the n-th call the end comes.
    package enum Moment: CaseIterable, Sendable {
        /// The call is not carried out.
        case before
        /// It is carried out, and nobody hears of it.
        case after
        /// Of a pack, half is stored, as a store does that does not keep its contract; other calls as `before`.
        case half
    }

    fileprivate enum Answer { case goOn, stop, dead }

    package let moment: Moment
    private let stop: Int
    private let calls = Mutex(0)

    /// - Parameter stop: number of the call, counted from 1.
    package init(stop: Int, _ moment: Moment) {
        self.stop = stop
        self.moment = moment
    }

    /// Whether the stop was reached.
    package var hasStopped: Bool { calls.withLock { $0 >= stop } }

    fileprivate func count() -> Answer {
        calls.withLock { calls in
            calls += 1
            return calls < stop ? .goOn : calls == stop ? .stop : .dead
        }
    }
}
