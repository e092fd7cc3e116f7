/// A trigger every so often, until its task is cancelled.
package struct Ticks: AsyncSequence, Sendable {
    private let interval: Duration

    package init(every interval: Duration) { self.interval = interval }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let interval: Duration

        package mutating func next() async -> Void? {
            do { try await Task.sleep(for: interval) } catch { return nil }
            return ()
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(interval: interval) }
}
