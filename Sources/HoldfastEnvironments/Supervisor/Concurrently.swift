import Foundation
import HoldfastControl

/// Several blocking jobs at a time, each on a thread of its own.
enum Concurrently {
    /// Runs a job for each item and waits for all of them.
    ///
    /// - Throws: the first error, in the order of the items, after all have ended.
    static func forEach<Item: Sendable>(
        _ items: [Item], _ label: String, _ job: @Sendable @escaping (Item) throws -> Void
    ) throws {
        if items.count <= 1 {
            for item in items { try job(item) }
            return
        }
        let results = Monitor<[Int: (any Error)?]>([:])
        for (index, item) in items.enumerated() {
            startThread(label) {
                var failure: (any Error)?
                do { try job(item) } catch { failure = error }
                results.withLock { _ = $0.updateValue(failure, forKey: index) }
            }
        }
        let all = results.wait { results in
            results.count == items.count ? .done(results) : .sleep(until: nil)
        }
        for index in items.indices { if case .some(.some(let error)) = all[index] { throw error } }
    }
}
