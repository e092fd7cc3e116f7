import Foundation
import Synchronization

/// Runs every piece of work on a thread of its own and waits for all of them.
///
/// Used where a few blocking calls must happen at the same time, such as the marks of the services inside a hold.
/// - Returns: the results in the order of `work`.
/// - Throws: the first error in the order of `work`, after all have ended.
package func inParallel<Value: Sendable>(_ work: [@Sendable () throws -> Value]) throws -> [Value] {
    if work.count <= 1 { return try work.map { try $0() } }
    let results = ResultSlots<Value>(count: work.count)
    let group = DispatchGroup()
    for (index, piece) in work.enumerated() {
        group.enter()
        let thread = Thread {
            results.set(index, Result { try piece() })
            group.leave()
        }
        thread.name = "parallel-\(index)"
        thread.start()
    }
    group.wait()
    return try results.values().map { try $0.get() }
}

/// Runs `work` on threads of its own and, meanwhile, `here` on the calling one; waits for all.
///
/// - Throws: the first error of `work`, else what `here` threw.
package func inParallel(_ work: [@Sendable () throws -> Void], while here: () throws -> Void) throws {
    let results = ResultSlots<Void>(count: work.count)
    let group = DispatchGroup()
    for (index, piece) in work.enumerated() {
        group.enter()
        let thread = Thread {
            results.set(index, Result { try piece() })
            group.leave()
        }
        thread.name = "parallel-\(index)"
        thread.start()
    }
    let own = Result { try here() }
    group.wait()
    for result in results.values() { try result.get() }
    try own.get()
}

private final class ResultSlots<Value: Sendable>: Sendable {
    private let slots: Mutex<[Int: Result<Value, any Error>]>
    private let count: Int

    init(count: Int) {
        self.count = count
        slots = Mutex([:])
    }

    func set(_ index: Int, _ result: Result<Value, any Error>) { slots.withLock { $0[index] = result } }
    func values() -> [Result<Value, any Error>] { slots.withLock { slots in (0..<count).compactMap { slots[$0] } } }
}
